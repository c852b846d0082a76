"""Call a deployment over its Serve handle within a deadline, and cancel the calls that are given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from routing.deadline import Deadline
from routing.errors import Overloaded, ProviderError, ProviderTimeout, RayroomError, ReplicaLost
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest

# A replica ends its attempt itself; the handle waits this much longer before it counts the replica as stuck.
GRACE_S = 1.0
READY_TIMEOUT_S = 1.0


class ModelHandle:
    """A deployment as plain async calls: every error that is raised here is a RayroomError."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        # Made once: Serve makes a new handle each time a method is named. Both sides have the modules of all that is
        # sent, so plain pickle carries it, in a third of cloudpickle's time.
        plain = handle.options(request_serialization="pickle", response_serialization="pickle")
        self._answer = plain.options(method_name="answer")
        self._embed = plain.options(method_name="embed")
        self._stream = plain.options(method_name="stream", stream=True)

    async def answer(self, request: ModelRequest) -> Answer:
        answer: Answer = await within(self._answer.remote(request), request.timeout_s + GRACE_S)
        return answer

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        embeddings: EmbeddingResult = await within(self._embed.remote(request), request.timeout_s + GRACE_S)
        return embeddings

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return stream_within(self._stream.remote(request), request.timeout_s + GRACE_S)


class StartupCheck:
    """The deployments that have not answered a first time since the start.

    One that did is not called again: a replica that is lost later, or scaled to zero, is no failed start.
    """

    def __init__(self, handles: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._waiting = dict(handles)

    async def __call__(self) -> None:
        """Return once each deployment has answered; raises Overloaded."""
        for name, handle in list(self._waiting.items()):
            try:
                await within(handle.ready.remote(), READY_TIMEOUT_S)
            except ProviderError:
                raise Overloaded(f"The {name} deployment has no replica yet.", retry_after_s=1.0) from None
            self._waiting.pop(name, None)


async def within(response: Any, timeout_s: float) -> Any:
    """Await a handle's response for at most `timeout_s`.

    Every early end of the wait also cancels the call: `asyncio.timeout` alone would leave the replica running, and
    spending. Raises RayroomError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with _serve_cancellation_as_asyncio():
                return await response
    except TimeoutError:
        response.cancel()
        raise ProviderTimeout("The replica did not answer in time.") from None
    except asyncio.CancelledError:
        response.cancel()
        raise
    except Exception as error:
        raise as_rayroom_error(error) from None


async def stream_within(
    responses: Any, timeout_s: float, clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Delta, None]:
    """Yield a handle's stream, all of it within `timeout_s`; cancels the replica when the reader stops early.

    Each piece may be requested by another task, so no timer is open while one is yielded.
    """
    deadline = Deadline.after(timeout_s, clock())
    ended = False
    try:
        while True:
            try:
                async with asyncio.timeout(deadline.remaining_s(clock())):
                    with _serve_cancellation_as_asyncio():
                        delta = await anext(responses)
            except StopAsyncIteration:
                ended = True
                return
            except TimeoutError:
                raise ProviderTimeout("The replica did not answer in time.") from None
            except Exception as error:
                ended = True
                raise as_rayroom_error(error) from None
            yield delta
    finally:
        if not ended:
            responses.cancel()


@contextmanager
def _serve_cancellation_as_asyncio() -> Iterator[None]:
    """Convert the cancellation error of Serve's in-process mode into asyncio's."""
    try:
        yield
    except RequestCancelledError:
        raise asyncio.CancelledError from None


def as_rayroom_error(error: BaseException) -> RayroomError:
    """Return Ray's error as a RayroomError; the error that a replica raised is unwrapped."""
    match error:
        case RayTaskError() if isinstance(error.cause, RayroomError):
            return error.cause
        case RayroomError():
            return error
        case BackPressureError() | DeploymentUnavailableError():
            return Overloaded(retry_after_s=1.0)
        case RayActorError():
            return ReplicaLost()
    return ProviderError(f"The replica failed: {type(error).__name__}.")
