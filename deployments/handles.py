"""Call a deployment over its Serve handle within a deadline, and cancel the calls that are given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    PendingCallsLimitExceeded,
    RayActorError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
    RequestCancelledError,
)
from ray.serve.handle import DeploymentHandle

from deployments.common.streaming import is_being_cancelled
from routing.errors import Overloaded, ProviderError, ProviderTimeout, RayroomError, ReplicaLost
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest
from routing.retry import Deadline

# A replica ends its attempt itself; the handle waits this much longer before it counts the replica as stuck.
GRACE_S = 1.0
READY_TIMEOUT_S = 1.0
SEEN_S = 10.0
"""An answer, or an error that a replica raised, proves it for so long: a busy one need not answer this check too."""

REPLICA_LOST = (
    *(RayActorError, RayTaskError, ReplicaUnavailableError, TaskCancelledError),
    *(NodeDiedError, WorkerCrashedError, LocalRayletDiedError, ObjectLostError),
)
"""The call may have reached the replica, and its answer will not come."""
RAISED_BY_REPLICA = (RayTaskError, RayroomError)


class ModelHandle:
    """A deployment as plain async calls: every error that is raised here is a RayroomError."""

    def __init__(self, handle: DeploymentHandle[Any], clock: Callable[[], float] = time.monotonic) -> None:
        # Made once: Serve makes a new handle each time a method is named. Both sides have the modules of all that is
        # sent, so plain pickle carries it, in a third of cloudpickle's time.
        plain = handle.options(request_serialization="pickle", response_serialization="pickle")
        self._answer = plain.options(method_name="answer")
        self._embed = plain.options(method_name="embed")
        self._ready = plain.options(method_name="ready")
        self._stream = plain.options(method_name="stream", stream=True)
        self._clock = clock
        self.answered_at_s: float | None = None
        """When a replica last answered, by the handle's clock."""

    async def answer(self, request: ModelRequest) -> Answer:
        answer: Answer = await within(_call(self._answer, request), request.timeout_s + GRACE_S, self._answered)
        return answer

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        timeout_s = request.timeout_s + GRACE_S
        embeddings: EmbeddingResult = await within(_call(self._embed, request), timeout_s, self._answered)
        return embeddings

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return stream_within(_call(self._stream, request), request.timeout_s + GRACE_S, answered=self._answered)

    async def ready(self) -> None:
        """Return once a replica has answered, which may be a while ago; raises ProviderError."""
        if self.answered_at_s is None or self._clock() - self.answered_at_s >= SEEN_S:
            await within(_call(self._ready), READY_TIMEOUT_S, self._answered)

    def _answered(self) -> None:
        self.answered_at_s = self._clock()


def _call(method: DeploymentHandle[Any], *values: object) -> Any:
    """Return the response of a call that begins now; raises RayroomError where Serve takes no call."""
    try:
        return method.remote(*values)
    except Exception as error:
        raise as_rayroom_error(error) from None


class ReplicaCheck:
    """Whether each deployment has a replica that answers.

    A deployment that scales to zero is called until it has answered once: later it may have no replica until a request
    comes, which is no fault.
    """

    def __init__(self, handles: Mapping[str, ModelHandle], scaled_to_zero: frozenset[str] = frozenset()) -> None:
        self._handles = dict(handles)
        self._scaled_to_zero = scaled_to_zero

    async def __call__(self) -> None:
        """Return if each deployment answers; raises Overloaded."""
        # One after the other: the first that is missing decides.
        for name, handle in self._handles.items():
            if name in self._scaled_to_zero and handle.answered_at_s is not None:
                continue
            try:
                await handle.ready()
            except ProviderError:
                raise Overloaded(f"The {name} deployment has no replica that answers.", retry_after_s=1.0) from None


async def within(response: Any, timeout_s: float, answered: Callable[[], None] = lambda: None) -> Any:
    """Await a handle's response for at most `timeout_s`; `answered` is called when a replica gave it, or an error.

    Every early end of the wait also cancels the call: `asyncio.timeout` alone would leave the replica running, and
    spending. Raises RayroomError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with _serve_cancellation_as_asyncio():
                result = await response
    except TimeoutError:
        response.cancel()
        raise ProviderTimeout("The replica did not answer in time.") from None
    except asyncio.CancelledError:
        response.cancel()
        if not is_being_cancelled():
            raise ReplicaLost from None
        raise
    except Exception as error:
        if isinstance(error, RAISED_BY_REPLICA):
            answered()
        raise as_rayroom_error(error) from None
    answered()
    return result


async def stream_within(
    responses: Any,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    answered: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Delta, None]:
    """Yield a handle's stream, all of it within `timeout_s`; cancels the replica when the reader stops early.

    `answered` is called with the first piece, or with the error that the replica raised.

    Each piece may be requested by another task, so no timer is open while one is yielded.
    """
    deadline = Deadline.after(timeout_s, clock())
    ended = begun = False
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
            except asyncio.CancelledError:
                if not is_being_cancelled():
                    raise ReplicaLost from None
                raise
            except Exception as error:
                ended = True
                if isinstance(error, RAISED_BY_REPLICA):
                    answered()
                raise as_rayroom_error(error) from None
            if not begun:
                begun = True
                answered()
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
        case RayTaskError() if not isinstance(error.cause, asyncio.CancelledError):
            return ProviderError(f"The replica failed: {type(error.cause).__name__}.")
        case BackPressureError() | DeploymentUnavailableError() | PendingCallsLimitExceeded():
            return Overloaded(retry_after_s=1.0)
        case TimeoutError():
            return ProviderTimeout("The replica did not answer in time.")
        case error if isinstance(error, REPLICA_LOST):
            return ReplicaLost()
    return ProviderError(f"The replica failed: {type(error).__name__}.")
