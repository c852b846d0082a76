"""Asks a deployment over a Serve handle, within a deadline, and cancels what it gives up on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from routing.errors import Overloaded, ProviderError, ProviderTimeout, RayroomError, ReplicaLost
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest
from routing.retry import Deadline

# A leaf ends its attempt itself; the handle waits this much longer before it takes the replica for stuck.
GRACE_S = 1.0
READY_TIMEOUT_S = 1.0


class ModelHandle:
    """A deployment seen as plain async calls: every error that leaves here is ours."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        # Made once: Serve makes a new handle each time a method is named. What travels is of modules that both sides
        # have, so plain pickle carries it, in a third of cloudpickle's time.
        plain = handle.options(request_serialization="pickle", response_serialization="pickle")
        self._answer = plain.options(method_name="answer")
        self._embed = plain.options(method_name="embed")
        self._stream = plain.options(method_name="stream", stream=True)

    async def answer(self, ask: ModelRequest) -> Answer:
        answer: Answer = await within(self._answer.remote(ask), ask.timeout_s + GRACE_S)
        return answer

    async def embed(self, ask: EmbedRequest) -> EmbeddingResult:
        embeddings: EmbeddingResult = await within(self._embed.remote(ask), ask.timeout_s + GRACE_S)
        return embeddings

    def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        return stream_within(self._stream.remote(ask), ask.timeout_s + GRACE_S)


class StartupCheck:
    """Deployments that have yet to answer for the first time. One that did is not asked again: losing a replica is no
    news of the start, and one that scales to zero may.
    """

    def __init__(self, handles: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._waiting = dict(handles)

    async def __call__(self) -> None:
        """Return once each of them has answered; raises Overloaded."""
        for name, handle in list(self._waiting.items()):
            try:
                await within(handle.ready.remote(), READY_TIMEOUT_S)
            except ProviderError:
                raise Overloaded(f"The {name} deployment has no replica yet.", retry_after_s=1.0) from None
            self._waiting.pop(name, None)


async def within(response: Any, timeout_s: float) -> Any:
    """Await a handle's response for at most `timeout_s`.

    `asyncio.timeout` alone would leave the replica running and spending: whatever ends the wait early also cancels the
    call. Raises RayroomError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with _cancelled_as_asyncio_says():
                return await response
    except TimeoutError:
        response.cancel()
        raise ProviderTimeout("The replica did not answer in time.") from None
    except asyncio.CancelledError:
        response.cancel()
        raise
    except Exception as error:
        raise ours(error) from None


async def stream_within(
    responses: Any, timeout_s: float, clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Delta, None]:
    """Yield a handle's stream, all of it within `timeout_s`; cancels the replica when the reader stops early.

    Each piece may be asked for by another task, so no timer is open while one is yielded.
    """
    deadline = Deadline.after(timeout_s, clock())
    ended = False
    try:
        while True:
            try:
                async with asyncio.timeout(deadline.remaining_s(clock())):
                    with _cancelled_as_asyncio_says():
                        delta = await anext(responses)
            except StopAsyncIteration:
                ended = True
                return
            except TimeoutError:
                raise ProviderTimeout("The replica did not answer in time.") from None
            except Exception as error:
                ended = True
                raise ours(error) from None
            yield delta
    finally:
        if not ended:
            responses.cancel()


@contextmanager
def _cancelled_as_asyncio_says() -> Iterator[None]:
    """Turn Serve's own word for a cancelled wait, which its in-process mode uses, into the one asyncio acts on."""
    try:
        yield
    except RequestCancelledError:
        raise asyncio.CancelledError from None


def ours(error: BaseException) -> RayroomError:
    """Return Ray's error as ours; the cause that a replica raised is unwrapped."""
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
