"""The livekit-agents worker: which jobs it takes, and what a job starts. Everything else is in the attendance."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import structlog
from livekit.agents import AgentServer, AutoSubscribe, JobContext, JobProcess, JobRequest

from room_agent.core.router_client import RouterClient, RouterError
from room_agent.core.settings import AgentSettings, load_settings
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes
from room_agent.log_redaction import redact_logs
from room_agent.session import RoomSession, RoomSpeech
from room_agent.usage.journal import JournaledJob, UsageJournal
from room_agent.video.frame_gate import FrameGate
from room_agent.video.recorder import FrameRecorder
from routing.errors import RayroomError
from routing.process import configure_logs, freeze_startup_objects
from routing.rooms import check_metadata, parse_room

log = structlog.get_logger()

REGISTERED = "worker registered"
"""What a worker logs when the SFU knows it, and may offer it rooms: whoever starts one waits for this line."""
STARTING_S = 60.0
"""An accepted job that has not started by then was given to another worker, or died on the way."""


@dataclass(slots=True)
class Admission:
    """The rooms of one worker: those that run, and those it has said yes to.

    livekit-agents guesses the load of a job that it has accepted; with few jobs its guess fills a worker too early.
    """

    max_rooms: int
    accepted_at_s: dict[str, float] = field(default_factory=dict)

    def admit(self, job_id: str, running: Collection[str], now_s: float) -> bool:
        """Return whether there is room for the job, and count it if so."""
        self.accepted_at_s = {
            job: at_s for job, at_s in self.accepted_at_s.items() if job not in running and now_s - at_s < STARTING_S
        }
        if len(running) + len(self.accepted_at_s) >= self.max_rooms:
            return False
        self.accepted_at_s[job_id] = now_s
        return True


ATTENDANCE = "attendance"
# Ten seconds, the default, are not enough for several job processes that start at once on a small machine.
INITIALIZE_TIMEOUT_S = 60.0


def build_server(settings: AgentSettings) -> AgentServer:
    """Return the worker, ready to run. It takes explicit dispatches only, up to `max_rooms` at once."""
    server = AgentServer(
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret,
        host="127.0.0.1",
        port=settings.http_port,
        initialize_process_timeout=INITIALIZE_TIMEOUT_S,
        load_fnc=lambda server: len(server.active_jobs) / settings.max_rooms,
        # Whether there is room is the admission's to say; the load only tells the SFU which worker is idlest.
        load_threshold=math.inf,
        preload_modules=["room_agent.worker"],
        setup_fnc=warm_up,
    )

    admission = Admission(settings.max_rooms)

    async def on_request(request: JobRequest) -> None:
        await _take_or_leave(request, server, admission)

    server.on("worker_registered", lambda worker_id, _: log.info(REGISTERED, worker=worker_id))
    server.rtc_session(attend, agent_name=settings.agent_name, on_request=on_request, on_session_end=tell_last_figures)
    return server


async def _take_or_leave(request: JobRequest, server: AgentServer, admission: Admission) -> None:
    """Accept a job whose signed metadata and room name agree; a full worker leaves it to another."""
    try:
        check_metadata(parse_room(request.room.name), request.job.metadata)
    except RayroomError as error:
        log.warning("job refused", job=request.id, reason=error.code, field=error.param)
        await request.reject(terminate=True)
        return
    running = {job.job.id for job in server.active_jobs}
    if not admission.admit(request.id, running, time.monotonic()):
        log.warning("job left to another worker", job=request.id, rooms=len(running))
        await request.reject(terminate=False)
        return
    # With the job in it the identity is new each time: a second agent of one identity would throw the first out.
    await request.accept(name="rayroom", identity=f"rayroom-{request.id}")


def warm_up(_: JobProcess) -> None:
    """Pay, in a process that has no room yet, for what is imported and set up at its first use."""
    configure_logs()
    asyncio.run(_ask_nobody())
    blank = Planes.from_i420(bytes(64 * 64 * 3 // 2), 64, 64)
    FrameGate().offer(blank, 0.0)
    encode(blank)
    freeze_startup_objects()


async def _ask_nobody() -> None:
    """Ask a router that is not there: what it costs is the first request's imports and its TLS context."""
    # Refused at once: nothing listens on the discard port.
    nobody = RouterClient("http://127.0.0.1:9", "no key", "no room", "no job", "{}")
    with contextlib.suppress(RouterError):
        await nobody.open()
    await nobody.aclose()


async def tell_last_figures(context: JobContext) -> None:
    """End the attendance while there is time for it: a shutdown callback has ten seconds, this has five minutes."""
    attendance = context.proc.userdata.get(ATTENDANCE)
    if attendance is not None:
        await attendance.aclose()


async def attend(context: JobContext) -> None:
    """Attend one room until it closes or the worker drains."""
    redact_logs()
    settings = load_settings()
    room = context.job.room.name
    name = parse_room(room)
    check_metadata(name, context.job.metadata)
    structlog.contextvars.bind_contextvars(room=room, job=context.job.id)
    router = RouterClient(settings.router_url, settings.agent_key, room, context.job.id, context.job.metadata)
    recording = FrameRecorder(settings.record_dir, room) if settings.record_dir else None
    job = JournaledJob(room=room, job_id=context.job.id, metadata=context.job.metadata)
    journal = _journal(settings, job) if settings.speech.voice else None
    speech = RoomSpeech(context.room, router, settings.router_url, settings.speech, journal)
    attendance = RoomSession(context.room, router, settings.max_tracks, recording, speech)
    context.proc.userdata[ATTENDANCE] = attendance

    async def leave(reason: str) -> None:
        await attendance.aclose()
        await router.aclose()
        log.info("left the room", reason=reason, **attendance.counters.report())

    context.add_shutdown_callback(leave)
    await context.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    attendance.start()


def _journal(settings: AgentSettings, job: JournaledJob) -> UsageJournal | None:
    """Return the job's journal of usage; a full disk is no reason to leave people without an answer."""
    try:
        return UsageJournal.create(settings.usage_dir, job)
    except OSError as error:
        log.error("usage is not written down; a job that is killed loses some", error=error.strerror)
        return None
