"""A plain livekit-agents worker that samples video as LiveKit's examples do: the peer of `bench_agents`.

Run `python -m tests.benchmarks.plain_agent`. It subscribes to every track, reads every frame, and encodes one a second
with `images.encode`, as the video input of an AgentSession does while somebody speaks. It sends nothing anywhere.
"""

from __future__ import annotations

import asyncio
import math
import time

from livekit import rtc
from livekit.agents import AgentServer, JobContext
from livekit.agents.utils.images import EncodeOptions, ResizeOptions, encode

AGENT_NAME = "plain"
REGISTERED = "plain worker registered"
LONG_SIDE_PX = 1_024
OPTIONS = EncodeOptions(
    format="JPEG", resize_options=ResizeOptions(width=LONG_SIDE_PX, height=LONG_SIDE_PX, strategy="scale_aspect_fit")
)


async def run_job(context: JobContext) -> None:
    """Join one room and sample each of its video tracks."""
    tasks: set[asyncio.Task[None]] = set()

    def on_track(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.add(asyncio.create_task(_sample(track)))

    context.room.on("track_subscribed", on_track)
    await context.connect()


async def _sample(track: rtc.Track) -> None:
    encoded_s = -1.0
    async for event in rtc.VideoStream(track):
        if time.monotonic() - encoded_s >= 1.0:
            encoded_s = time.monotonic()
            await asyncio.to_thread(encode, event.frame, OPTIONS)


def main() -> None:
    """Run the worker until it is ended."""
    # Without the default limits: on a loaded machine no process would start in 10 s, and no job would be offered. The
    # threshold alone does not help, because livekit-server offers none to a worker whose load is 1.
    server = AgentServer(
        host="127.0.0.1",
        port=0,
        load_fnc=lambda: 0.0,
        load_threshold=math.inf,
        initialize_process_timeout=60.0,
    )
    server.rtc_session(run_job, agent_name=AGENT_NAME)
    server.on("worker_registered", lambda *_: print(REGISTERED, flush=True))
    asyncio.run(server.run())


if __name__ == "__main__":
    # By its own name, so that the job processes can import the entry point.
    from tests.benchmarks import plain_agent

    plain_agent.main()
