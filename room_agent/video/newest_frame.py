"""Receives the frames of one track and holds the newest one, which is copied only if it is looked at.

`rtc.VideoStream` copies every frame and wakes the event loop for it. Here the library's own thread replaces the frame
held by the next one, and one frame a second is copied. It needs four names of livekit-rtc that are not public;
tests/contract/test_livekit_rtc.py fails where a version has others.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, FfiHandle
from livekit.rtc._proto import ffi_pb2, video_frame_pb2

END_FRAME_PX = 8
"""LiveKit delivers a frame of 8x8 when a track ends, which is skipped."""
CLOSE_TIMEOUT_S = 5.0
MAX_EARLY = 64


class DecodedFrame(Protocol):
    """A frame as LiveKit delivers it, and its rotation."""

    @property
    def frame(self) -> rtc.VideoFrame: ...

    @property
    def rotation(self) -> Any: ...


class UncopiedFrame:
    """A frame in the native library's memory, which is released with this object. Any thread may copy it."""

    def __init__(self, received: video_frame_pb2.VideoFrameReceived) -> None:
        self.rotation = received.rotation
        self._buffer = received.buffer
        self._handle = FfiHandle(received.buffer.handle.id)
        self._lock = threading.Lock()
        self._frame: rtc.VideoFrame | None = None

    @property
    def longer_side_px(self) -> int:
        return max(self._buffer.info.width, self._buffer.info.height)

    @property
    def frame(self) -> rtc.VideoFrame:
        """The frame, copied at the first access."""
        with self._lock:
            if self._frame is None:
                # The copying releases the buffer itself.
                self._handle.mark_consumed()
                self._frame = rtc.VideoFrame._from_owned_info(self._buffer)
            return self._frame


class NewestFrame:
    """The newest frame of a track, from construction to `aclose`, on the running event loop."""

    def __init__(self, track: rtc.Track) -> None:
        self.newest: DecodedFrame | None = None
        self.received = 0
        """The frames received so far."""
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._is_awaited = False
        self._lock = threading.Lock()
        self._early: deque[video_frame_pb2.VideoStreamEvent] | None = deque(maxlen=MAX_EARLY)
        self._stream = 0
        client = FfiClient.instance
        self._queue = client.queue.subscribe(self._loop, filter_fn=self._take)
        self._handle = self._open(client, track)

    async def next(self, seen: DecodedFrame | None) -> None:
        """Wait until another frame than `seen` is the newest, the track has ended, or `wake` is called."""
        self._arrived.clear()
        self._is_awaited = True
        # A frame that came before that line announces nothing.
        if self.newest is seen and not self.ended:
            await self._arrived.wait()

    def wake(self) -> None:
        """Let `next` return. For the event loop's thread."""
        self._arrived.set()

    async def aclose(self) -> None:
        """Close the stream, and take its last frames, so that their memory is released."""
        self._handle.dispose()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not self.ended:
                    await self.next(self.newest)
        FfiClient.instance.queue.unsubscribe(self._queue)

    def _open(self, client: FfiClient, track: rtc.Track) -> FfiHandle:
        request = ffi_pb2.FfiRequest()
        request.new_video_stream.track_handle = track._ffi_handle.handle
        request.new_video_stream.type = video_frame_pb2.VideoStreamType.VIDEO_STREAM_NATIVE
        request.new_video_stream.normalize_stride = True
        handle = FfiHandle(client.request(request).new_video_stream.stream.handle.id)
        with self._lock:
            self._stream = handle.handle
            early, self._early = self._early or (), None
            for event in early:
                self._add(event)
        return handle

    def _take(self, event: ffi_pb2.FfiEvent) -> bool:
        """Take an event of this stream on the library's thread. Returns False: none goes through the queue."""
        if event.WhichOneof("message") == "video_stream_event":
            with self._lock:
                if self._early is None:
                    self._add(event.video_stream_event)
                else:
                    # The number of this stream is not known yet.
                    self._early.append(event.video_stream_event)
        return False

    def _add(self, event: video_frame_pb2.VideoStreamEvent) -> None:
        if event.stream_handle != self._stream:
            return
        if event.HasField("frame_received"):
            frame = UncopiedFrame(event.frame_received)
            if frame.longer_side_px <= END_FRAME_PX:
                return
            self.newest = frame
            self.received += 1
        elif event.HasField("eos"):
            self.ended = True
        if self._is_awaited:
            self._is_awaited = False
            with suppress(RuntimeError):
                # The event loop of a room that was left may be closed.
                self._loop.call_soon_threadsafe(self._arrived.set)
