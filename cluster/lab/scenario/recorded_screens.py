"""Record the scripted screens through the real frame path: kept frames, reasons, and JPEGs."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario import synthetic_screens
from cluster.lab.scenario.arrivals import RECORDINGS, Floats, Ints
from cluster.lab.scenario.scenario import RoomBehaviour
from cluster.lab.scenario.synthetic_screens import Scene, ScreenScript, Script
from deployments.api.jpeg import inspect_jpeg
from room_agent.core.models import KeptFrame
from room_agent.frames import classifier, detector, encoder, features, i420, motion, noise, phash, verdict
from room_agent.frames.i420 import Planes
from room_agent.video import frame_gate, looks
from room_agent.video.frame_gate import FrameGate, pack_frame
from routing.models import FrameFeatures

LOOP_S = 60
"""The length of a recording; a room that stays longer repeats it."""
# The gate settles before the loop is recorded, so that its end continues into its beginning.
SETTLING_S = 16
SCREEN_PX = (1_280, 720)
LONG_SIDE_PX = 1_024
TRACK = "TR_load"
CACHE = Path(".rayroom/recordings")

_FEATURE_HEADERS = ("text-density", "edge-energy", "changed-share", "novelty")
_SOURCE_MODULES = (
    synthetic_screens,
    classifier,
    detector,
    encoder,
    features,
    frame_gate,
    looks,
    i420,
    motion,
    noise,
    phash,
    verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedScreens:
    """`RECORDINGS` screens, one row each and one column per sample; the first sample follows the last one."""

    samples_per_second: float
    kept: NDArray[np.bool_]
    """By recording and sample. A room's first frame is always kept, because its agent has no earlier frame."""
    why: Ints
    """By recording and sample: an index of `reasons`."""
    reasons: tuple[str, ...]
    frame: Ints
    """By recording and sample: the index of the kept frame that shows it, in the arrays below."""
    size_bytes: Ints
    width_px: Ints
    height_px: Ints
    measured: Floats
    """By frame: text density, edge energy, changed share and novelty, from its headers."""
    phash: tuple[str, ...]
    jpegs: tuple[bytes, ...] = field(repr=False)

    @property
    def samples(self) -> int:
        return int(self.kept.shape[1])

    def sample(self, starts_at: int, number: int) -> int:
        """Return the column of a room's frame by its number, from 0; `starts_at` is in seconds."""
        return (round(starts_at * self.samples_per_second) + number) % self.samples

    def features(self, frame: int) -> FrameFeatures:
        density, energy, changed, novelty = map(float, self.measured[frame])
        return FrameFeatures(text_density=density, edge_energy=energy, changed_share=changed, novelty=novelty)

    def headers(self, frame: int, captured_at_s: float) -> dict[str, str]:
        """Return the headers that an agent sends with a frame."""
        feature_headers = {
            f"x-frame-{name}": f"{self.measured[frame, column]:.4f}" for column, name in enumerate(_FEATURE_HEADERS)
        }
        return feature_headers | {
            "x-frame-captured-at": f"{captured_at_s:.3f}",
            "x-frame-track": TRACK,
            "x-frame-source": "screen_share",
            "x-frame-phash": self.phash[frame],
        }


def load_recordings(
    rooms: RoomBehaviour, cache_directory: Path = CACHE, long_side_px: int = LONG_SIDE_PX
) -> RecordedScreens:
    """Return the screens of rooms with this behaviour from the cache, or draw them, which takes some seconds."""
    file = cache_directory / f"{_key(rooms, long_side_px)}.npz"
    if (cached := _read(file)) is not None:
        return cached
    drawn = record_screens(rooms, long_side_px)
    _write(drawn, file)
    return drawn


def record_screens(rooms: RoomBehaviour, long_side_px: int = LONG_SIDE_PX) -> RecordedScreens:
    """Draw every screen and pass it through the room agent's gate and encoder."""
    samples = samples_of(rooms)
    script = script_of(rooms.screens)
    loops = [
        _record_loop(ScreenScript(recording, *SCREEN_PX, script), samples, long_side_px)
        for recording in range(RECORDINGS)
    ]
    kept = np.array([[frame is not None for _, frame in loop] for loop in loops])
    frames = [frame for loop in loops for _, frame in loop if frame is not None]
    reasons_by_loop = [[why for why, _ in loop] for loop in loops]
    reasons = tuple(sorted({why for loop in reasons_by_loop for why in loop}))
    sizes = [inspect_jpeg(frame.jpeg) for frame in frames]
    return RecordedScreens(
        samples_per_second=samples / LOOP_S,
        kept=kept,
        why=np.array([[reasons.index(why) for why in loop] for loop in reasons_by_loop], dtype=np.int64),
        reasons=reasons,
        frame=_shown_frames(kept),
        size_bytes=np.array([len(frame.jpeg) for frame in frames], dtype=np.int64),
        width_px=np.array([size.width_px for size in sizes], dtype=np.int64),
        height_px=np.array([size.height_px for size in sizes], dtype=np.int64),
        measured=np.array([_feature_values(frame.headers) for frame in frames], dtype=np.float64),
        phash=tuple(frame.headers["x-frame-phash"] for frame in frames),
        jpegs=tuple(frame.jpeg for frame in frames),
    )


def script_of(shares: Mapping[Scene, float]) -> Script:
    """Return a script of one loop in which each scene has its share of the time."""
    total = sum(shares.values())
    return tuple((scene, LOOP_S * share / total) for scene, share in shares.items() if share > 0)


def samples_of(rooms: RoomBehaviour) -> int:
    """Return the number of samples in a loop: an integer, so that all loops are equal."""
    return max(1, round(LOOP_S * rooms.frames_per_second))


def _record_loop(screen: ScreenScript, samples: int, long_side_px: int) -> list[tuple[str, KeptFrame | None]]:
    """Return, for each sample of a loop, the reason of the gate's decision, and the frame if it was kept."""
    # A room repeats its loop, and each frame of it is to reach the router.
    gate, period_s = FrameGate(reuse=False), LOOP_S / samples
    loop: list[tuple[str, KeptFrame | None]] = []
    for number in range(-max(1, round(SETTLING_S / period_s)), samples):
        at_s = number * period_s
        planes = Planes.from_i420(screen.i420(at_s), *SCREEN_PX)
        decision = gate.offer(planes, at_s)
        if number >= 0:
            frame = pack_frame(planes, decision, TRACK, "screen_share", long_side_px, at_s) if decision.keep else None
            loop.append((decision.why, frame))
    return loop if any(frame for _, frame in loop) else _first_kept(screen, loop, long_side_px)


def _first_kept(
    screen: ScreenScript, loop: list[tuple[str, KeptFrame | None]], long_side_px: int
) -> list[tuple[str, KeptFrame | None]]:
    """Keep the first frame of a loop without changes, as an agent does when it joins."""
    planes = Planes.from_i420(screen.i420(0.0), *SCREEN_PX)
    decision = FrameGate().offer(planes, 0.0)
    return [(decision.why, pack_frame(planes, decision, TRACK, "screen_share", long_side_px, 0.0)), *loop[1:]]


def _shown_frames(kept: NDArray[np.bool_]) -> Ints:
    """Return for each sample the index of the last frame kept up to it; the loop wraps around."""
    numbers = np.cumsum(kept.ravel()).reshape(kept.shape) - 1
    before_any = np.cumsum(kept, axis=1) == 0
    return np.where(before_any, numbers[:, -1:], numbers).astype(np.int64)


def _feature_values(headers: Mapping[str, str]) -> list[float]:
    return [float(headers[f"x-frame-{name}"]) for name in _FEATURE_HEADERS]


def _key(rooms: RoomBehaviour, long_side_px: int) -> str:
    """Return a cache key of everything the recordings depend on, including the code that draws them."""
    parameters = (script_of(rooms.screens), samples_of(rooms), RECORDINGS, LOOP_S, SETTLING_S, SCREEN_PX, long_side_px)
    return hashlib.blake2b(repr(parameters).encode() + _code(), digest_size=12).hexdigest()


@cache
def _code() -> bytes:
    files = [Path(__file__), *(Path(module.__file__) for module in _SOURCE_MODULES if module.__file__)]
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files)).digest()


def _write(recordings: RecordedScreens, file: Path) -> None:
    """Write recordings to disk atomically."""
    arrays = {
        name: getattr(recordings, name)
        for name in ("kept", "why", "frame", "size_bytes", "width_px", "height_px", "measured")
    }
    arrays |= {name: np.array(getattr(recordings, name)) for name in ("samples_per_second", "reasons", "phash")}
    arrays["jpegs"] = np.frombuffer(b"".join(recordings.jpegs), np.uint8)
    packed_bytes = io.BytesIO()
    np.savez(packed_bytes, **arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".writing-", dir=file.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(packed_bytes.getvalue())
    os.replace(temporary, file)


def _read(file: Path) -> RecordedScreens | None:
    """Return the recordings of a file, or None if it cannot be read."""
    try:
        # Opened here, because numpy does not close its own handle of a truncated file.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        jpeg_bytes, ends = arrays.pop("jpegs").tobytes(), np.cumsum(arrays["size_bytes"])
        ranges = zip(ends - arrays["size_bytes"], ends, strict=True)
        return RecordedScreens(
            samples_per_second=float(arrays.pop("samples_per_second")),
            reasons=tuple(map(str, arrays.pop("reasons"))),
            phash=tuple(map(str, arrays.pop("phash"))),
            jpegs=tuple(jpeg_bytes[start:end] for start, end in ranges),
            **arrays,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
