"""Builds the livekit-agents worker: accepts or rejects jobs, and starts a room session for each accepted one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from functools import cache

import structlog
from livekit import rtc
from livekit.agents import AgentServer, AutoSubscribe, JobContext, JobExecutorType, JobProcess, JobRequest

from room_agent.core.agents import DISPATCH_ATTRIBUTE, REPLACES_ATTRIBUTE
from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError
from room_agent.core.router_transport import HttpTransport, tls
from room_agent.core.settings import AgentSettings, load_settings
from room_agent.core.track_settings import TrackSettingsClient
from room_agent.core.worker_heartbeat import WorkerJob
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes
from room_agent.host.admission import Admission
from room_agent.host.host_use import HostMeter
from room_agent.host.process_tuning import stop_native_logs
from room_agent.host.room_guard import process_guard
from room_agent.log_redaction import redact_logs
from room_agent.records.recorder import MeetingRecorder, MeetingRoom
from room_agent.room_speech import RoomSpeech
from room_agent.session import RoomSession
from room_agent.succession import Succession, announce_watching
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UsageJournal
from room_agent.video.frame_gate import FrameGate
from room_agent.video.recorder import FrameRecorder
from routing.errors import RayroomError
from routing.process import configure_logs, freeze_startup_objects
from routing.rooms import check_metadata, parse_room
from routing.telemetry.trace_export import configure_tracing, flush_traces

log = structlog.get_logger()

REGISTERED = "worker registered"
"""The log event of a worker that the SFU may offer rooms to. The start of a whole stack waits for it."""
SID_TIMEOUT_S = 2.0
"""The SFU may send a room's id a little after the room was joined."""
SESSION = "session"
# Ten seconds, the default, are not enough for several job processes that start at once on a small machine.
INITIALIZE_TIMEOUT_S = 60.0
JOB_MEMORY_MB = 1_500.0
"""livekit-agents kills a job process above this, ten times the largest measured."""
MAX_SHARED_ROOMS = 32
"""Rooms that share a process share its interpreter too: so many with a 720p share take nine tenths of a core."""
HAND_OVER_TIMEOUT_S = 12.0
_WARMING = threading.Lock()


def build_server(settings: AgentSettings) -> AgentServer:
    """Return the worker, ready to run. It accepts explicit dispatches only, as long as the host has headroom."""
    shared = settings.rooms_share_a_process
    most_rooms = settings.max_rooms or (MAX_SHARED_ROOMS if shared else None)
    admission, meter = Admission(most_rooms), HostMeter(time.monotonic)
    server = AgentServer(
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret,
        host=settings.http_host,
        port=settings.http_port,
        initialize_process_timeout=INITIALIZE_TIMEOUT_S,
        load_fnc=lambda server: admission.load(meter.measure(), len(server.active_jobs)),
        # The admission decides on each job; the load only lets the SFU prefer the idlest worker.
        load_threshold=math.inf,
        job_executor_type=JobExecutorType.THREAD if shared else JobExecutorType.PROCESS,
        job_memory_limit_mb=JOB_MEMORY_MB,
        preload_modules=["room_agent.worker"],
        setup_fnc=warm_up,
    )

    async def on_request(request: JobRequest) -> None:
        await _answer_request(request, server, admission, meter)

    server.on("worker_registered", lambda worker_id, _: log.info(REGISTERED, worker=worker_id))
    server.rtc_session(run_job, agent_name=settings.agent_name, on_request=on_request, on_session_end=close_session)
    return server


async def _answer_request(request: JobRequest, server: AgentServer, admission: Admission, meter: HostMeter) -> None:
    """Accept a job if the tenants in its signed metadata and room name agree; a full worker leaves it to another."""
    try:
        check_metadata(parse_room(request.room.name), request.job.metadata)
    except RayroomError as error:
        log.warning("job refused", job=request.id, reason=error.code, field=error.param)
        await request.reject(terminate=True)
        return
    running = {job.job.id for job in server.active_jobs}
    if not admission.admit(request.id, running, meter.use, time.monotonic()):
        loads = {name: round(load, 2) for name, load in meter.use.loads().items()}
        log.warning("job left to another worker", job=request.id, rooms=len(running), **loads)
        await request.reject(terminate=False)
        return
    attributes = {DISPATCH_ATTRIBUTE: request.job.dispatch_id}
    if replaces := request.job.attributes.get(REPLACES_ATTRIBUTE):
        attributes[REPLACES_ATTRIBUTE] = replaces
    # The identity is unique a job: the SFU disconnects a participant when a second one joins with its identity.
    await request.accept(name="rayroom", identity=f"rayroom-{request.id}", attributes=attributes)


def running_jobs(server: AgentServer) -> list[WorkerJob]:
    """Return the jobs of the worker that have a process."""
    return [WorkerJob(room=job.job.room.name, identity=job.accept_arguments.identity) for job in server.active_jobs]


def warm_up(process: JobProcess) -> None:
    """Import and set up everything that is built at its first use, while the process has no room yet.

    Where rooms share a process this is called for each of them, and only the first call does anything.
    """
    with _WARMING:
        _warm_up_process()
        if process.executor_type is JobExecutorType.THREAD:
            # livekit-rtc creates its client at its first use, without a lock: of two rooms that join at once, one would
            # lose its events, and the native library would end the process.
            stop_native_logs()


@cache
def _warm_up_process() -> None:
    configure_logs()
    tls()
    asyncio.run(_warm_up_client())
    blank = Planes.from_i420(bytes(64 * 64 * 3 // 2), 64, 64)
    FrameGate().offer(blank, 0.0)
    encode(blank)
    freeze_startup_objects()


async def _warm_up_client() -> None:
    """Send a request that fails: it pays for the first request's imports."""
    # Refused at once: nothing listens on the discard port.
    transport = HttpTransport("http://127.0.0.1:9")
    with contextlib.suppress(RouterError):
        await RouterClient(transport, "no key", "no room", "no job", "{}").open()
    await transport.aclose()


async def close_session(context: JobContext) -> None:
    """Close the room session while there is time: a shutdown callback has ten seconds, this hook has five minutes."""
    session = context.proc.userdata.get(SESSION)
    if session is not None:
        await session.aclose()


async def run_job(context: JobContext) -> None:
    """Join one room and run its session until the room closes or the worker drains."""
    redact_logs()
    stop_native_logs()
    settings = load_settings()
    room = context.job.room.name
    name = parse_room(room)
    check_metadata(name, context.job.metadata)
    structlog.contextvars.bind_contextvars(room=room, job=context.job.id)
    configure_tracing("rayroom-agent")
    transport = HttpTransport(settings.router_url)
    router = RouterClient(transport, settings.agent_key, room, context.job.id, context.job.metadata)
    recording = FrameRecorder(settings.record_dir, room) if settings.record_dir else None
    job = JournaledJob(room=room, job_id=context.job.id, metadata=context.job.metadata)
    journal = _journal(settings, job) if settings.speech.voice else None
    meeting = MeetingRoom(sid=context.job.room.sid, created_at_s=float(context.job.room.creation_time))
    recorder = MeetingRecorder(settings.usage_dir, job, meeting, settings.speech.names[0], time.time)
    speech = RoomSpeech(context.room, router, settings.router_url, settings.speech, journal, recorder)
    track_settings = TrackSettingsClient(settings.track_settings_url)
    session = RoomSession(context.room, router, settings.max_tracks, recording, speech, track_settings, recorder)
    context.proc.userdata[SESSION] = session

    async def leave(reason: str) -> None:
        await session.aclose()
        await transport.aclose()
        await track_settings.aclose()
        await asyncio.to_thread(flush_traces)
        log.info("room left", reason=reason, **session.counters.report())

    # Before connecting: a job that is shut down while it joins must close its room too.
    context.add_shutdown_callback(leave)
    if settings.rooms_share_a_process:
        process_guard().watch(context.job.id, room, context.shutdown)
    # Video tracks are subscribed one by one, by `VideoTracks`. Without voice no audio is sent, decoded or buffered.
    heard = AutoSubscribe.AUDIO_ONLY if settings.speech.voice else AutoSubscribe.SUBSCRIBE_NONE
    await context.connect(auto_subscribe=heard)
    # Before the room is opened at the router: an agent that is not needed costs nothing.
    if await _closed_meanwhile(context):
        context.shutdown("room closed while the agent started")
        return
    departure = Departure(session, context.shutdown)
    if not Succession(context.room, departure.begin).stays():
        return
    session.start()
    await announce_watching(context.room, session.wait_until_watching)


class Departure:
    """The way out of a room: at once, or after the conversation was handed over to a successor."""

    def __init__(self, session: RoomSession, shutdown: Callable[[str], None]) -> None:
        self._session = session
        self._shutdown = shutdown
        self._task: asyncio.Task[None] | None = None

    def begin(self, reason: str, successor: str | None) -> None:
        """Leave the room."""
        if successor is None:
            self._shutdown(reason)
        else:
            self._task = asyncio.create_task(self._hand_over(reason, successor), name="hand-over")

    async def _hand_over(self, reason: str, successor: str) -> None:
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                await self._session.hand_over(successor)
        except Exception as error:
            # No traceback: its values may quote the conversation.
            log.error("hand-over failed", error=type(error).__name__)
        self._shutdown(reason)


async def _closed_meanwhile(context: JobContext) -> bool:
    """Return whether the room was closed since the dispatch: joining opened an empty one of the same name."""
    others = context.room.remote_participants.values()
    if any(one.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT for one in others):
        return False
    try:
        async with asyncio.timeout(SID_TIMEOUT_S):
            return await context.room.sid != context.job.room.sid
    except TimeoutError:
        return False


def _journal(settings: AgentSettings, job: JournaledJob) -> UsageJournal | None:
    """Return the job's usage journal, or None where it cannot be written: a full disk must not silence the agent."""
    try:
        return UsageJournal.create(settings.usage_dir, job)
    except OSError as error:
        log.error("usage journal not created; a killed job loses its unbilled usage", error=error.strerror)
        return None
