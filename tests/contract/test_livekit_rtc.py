"""The installed livekit-rtc still has the names by which its native library is spoken to."""

from __future__ import annotations

import subprocess
import sys

import pytest

TIMEOUT_S = 60.0
# The first stream starts the native media runtime, which logs some twenty debug records.
SCRIPT = """
import asyncio, logging, sys
from livekit import rtc
from room_agent.host.process_tuning import stop_native_logs

records = []
handler = logging.Handler()
handler.emit = records.append
logging.getLogger("livekit").addHandler(handler)
logging.getLogger("livekit").setLevel(logging.DEBUG)
if sys.argv[1] == "stopped":
    assert stop_native_logs()

async def main():
    source = rtc.VideoSource(64, 64)
    stream = rtc.VideoStream(rtc.LocalVideoTrack.create_video_track("track", source), capacity=1)
    source.capture_frame(rtc.VideoFrame(64, 64, rtc.VideoBufferType.I420, bytes(64 * 96)))
    async for event in stream:
        break
    # The library sends its records once a second.
    await asyncio.sleep(1.2)
    await stream.aclose()

asyncio.run(main())
print(sum("libwebrtc" in record.getMessage() for record in records))
"""


@pytest.mark.parametrize(("mode", "arrive"), [("as shipped", True), ("stopped", False)])
def test_the_native_log_records_can_be_kept_out_of_python(mode: str, arrive: bool) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env={"LIVEKIT_RTC_DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr
    assert (int(result.stdout) > 0) == arrive
