"""Times one sampled frame, repeated and changed, beside the usual way: convert to RGB, phash, images.encode.

Run `python -m tests.benchmarks.bench_frames`. All contestants take turns in random order in one process.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable

import imagehash
import numpy as np
from livekit import rtc
from livekit.agents.utils.images import EncodeOptions, ResizeOptions
from livekit.agents.utils.images import encode as livekit_encode
from PIL import Image
from rich.console import Console
from rich.table import Table

from room_agent.frames.encoder import encode
from room_agent.frames.features import features
from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.video.frame_gate import FrameGate
from tests.benchmarks.machine import machine_is_busy
from tests.support.screens import Desktop, packed, prose, psnr_db, rgb_of, through_jpeg

SIZE = (1920, 1080)
LONG_SIDE_PX, QUALITY = 1024, 80
SENT_PX = (1024, 576)
GOALS = {
    "repeat_peer_ratio": (">=", 30.0),
    "repeat_median_ms": ("<=", 1.0),
    "repeat_p99_ms": ("<=", 3.0),
    "changed_peer_ratio": (">=", 6.0),
    "changed_median_ms": ("<=", 5.0),
    "changed_psnr_gain_db": (">=", 0.0),
}

_LIVEKIT_OPTIONS = EncodeOptions(
    format="JPEG", quality=QUALITY, resize_options=ResizeOptions(*SENT_PX, strategy="scale_aspect_fit")
)


def run(rounds: int = 200, seed: int = 1) -> dict[str, float]:
    """Return medians and 99th percentiles in ms, the ratios of medians, PSNR in dB and sizes in bytes."""
    times_ms = _interleaved(_contestants(), rounds, random.Random(seed))
    figures = {"rounds": float(rounds)}
    for name, durations_ms in times_ms.items():
        figures[f"{name}_median_ms"] = statistics.median(durations_ms)
        figures[f"{name}_p99_ms"] = statistics.quantiles(durations_ms, n=100)[98]
    for peer in ("repeat_peer", "repeat_lean_peer", "changed_peer"):
        own = peer.partition("_")[0]
        figures[f"{peer}_ratio"] = figures[f"{peer}_median_ms"] / figures[f"{own}_median_ms"]
    return figures | _fidelity()


def missed(figures: dict[str, float]) -> list[str]:
    """Return the names of the figures that miss their goals."""
    return [
        name
        for name, (sign, goal) in GOALS.items()
        if not (figures[name] >= goal if sign == ">=" else figures[name] <= goal)
    ]


def _contestants() -> dict[str, Contestant]:
    desktop = Desktop(size=SIZE, lines=prose(42, words=20))
    # Samples of a still screen differ in their bytes: each has its own codec noise.
    quiet = [packed(through_jpeg(desktop.planes(), quality)) for quality in (70, 75, 80, 85)]
    pages = [packed(Desktop(size=SIZE, lines=prose(42, words=20, seed=seed)).planes()) for seed in (2, 3, 4, 5)]
    still, moving = FrameGate(), FrameGate()
    still.offer(desktop.planes(), 0.0)
    moving.offer(desktop.planes(), 0.0)
    return {
        "repeat": Contestant(quiet, lambda frame: _repeated(frame, still)),
        "repeat_peer": Contestant(quiet, _peer_phash),
        "repeat_lean_peer": Contestant(quiet, _lean_peer_phash),
        "changed": Contestant(pages, lambda frame: _changed(frame, moving)),
        "changed_peer": Contestant(pages, _peer_changed),
    }


class Contestant:
    """One way to process a frame, and the frames to process in turn."""

    def __init__(self, pictures: list[bytearray], process: Callable[[rtc.VideoFrame], object]) -> None:
        self._pictures = itertools.cycle(pictures)
        self._process = process

    def time_ms(self) -> float:
        """Return the time for the next frame. It is copied first, outside the timing, as LiveKit's VideoStream does."""
        frame = rtc.VideoFrame(*SIZE, rtc.VideoBufferType.I420, bytearray(next(self._pictures)))
        start_s = time.perf_counter()
        self._process(frame)
        return (time.perf_counter() - start_s) * 1000


def _repeated(frame: rtc.VideoFrame, gate: FrameGate) -> None:
    if gate.offer(Planes.from_i420(frame.data, *SIZE), 0.0).keep:
        raise AssertionError("A repeat was kept, so this is not the time of a repeat.")


def _changed(frame: rtc.VideoFrame, gate: FrameGate) -> None:
    planes = Planes.from_i420(frame.data, *SIZE)
    decision = gate.offer(planes, 0.0)
    if not decision.keep:
        raise AssertionError("A new page was dropped, so this is not the time of a change.")
    features(planes, decision.judgement)
    phash(planes)
    encode(planes, long_side_px=LONG_SIDE_PX, quality=QUALITY)


def _peer_phash(frame: rtc.VideoFrame) -> None:
    """Convert a frame to Pillow as livekit-agents does in its own image helper."""
    rgba = frame.convert(rtc.VideoBufferType.RGBA)
    imagehash.phash(Image.frombytes("RGBA", SIZE, bytes(rgba.data)).convert("RGB"))


def _lean_peer_phash(frame: rtc.VideoFrame) -> None:
    """Convert a frame to Pillow with the fewest steps through RGB."""
    rgb = frame.convert(rtc.VideoBufferType.RGB24)
    imagehash.phash(Image.frombuffer("RGB", SIZE, np.frombuffer(rgb.data, np.uint8)))


def _peer_changed(frame: rtc.VideoFrame) -> None:
    _peer_phash(frame)
    livekit_encode(frame, _LIVEKIT_OPTIONS)


def _interleaved(contestants: dict[str, Contestant], rounds: int, rng: random.Random) -> dict[str, list[float]]:
    times_ms: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in [*contestants.values()] * 4:
        contestant.time_ms()
    turns = [*contestants] * rounds
    rng.shuffle(turns)
    for name in turns:
        times_ms[name].append(contestants[name].time_ms())
    return times_ms


def _fidelity() -> dict[str, float]:
    """Return the PSNR of both JPEGs against a neutral reference: the image resized in RGB by area."""
    planes = Desktop(size=SIZE, lines=prose(42, words=20), dialog="Save changes?").planes()
    reference = rgb_of(planes).resize(SENT_PX, Image.Resampling.BOX)
    own = encode(planes, long_side_px=LONG_SIDE_PX, quality=QUALITY).jpeg
    peer = livekit_encode(_frame(planes), _LIVEKIT_OPTIONS)
    own_db, peer_db = (psnr_db(Image.open(io.BytesIO(jpeg)).convert("RGB"), reference) for jpeg in (own, peer))
    return {
        "changed_psnr_db": own_db,
        "changed_peer_psnr_db": peer_db,
        "changed_psnr_gain_db": own_db - peer_db,
        "changed_jpeg_bytes": float(len(own)),
        "changed_peer_jpeg_bytes": float(len(peer)),
    }


def _frame(planes: Planes) -> rtc.VideoFrame:
    return rtc.VideoFrame(*SIZE, rtc.VideoBufferType.I420, packed(planes))


def _print(figures: dict[str, float]) -> None:
    table = Table("1080p frame", "median ms", "p99 ms", "times ours", "PSNR dB", "JPEG bytes")
    for name, label in {
        "repeat": "repeat: judge",
        "repeat_peer": "  as livekit-agents converts + phash",
        "repeat_lean_peer": "  convert RGB24 + phash",
        "changed": "changed: judge, keep, features, phash, encode",
        "changed_peer": "  as livekit-agents converts + phash + images.encode",
    }.items():
        cells = (figures.get(f"{name}_{figure}") for figure in ("median_ms", "p99_ms", "ratio", "psnr_db"))
        size = figures.get(f"{name}_jpeg_bytes")
        table.add_row(
            label, *("" if cell is None else f"{cell:.2f}" for cell in cells), "" if size is None else f"{size:.0f}"
        )
    console = Console()
    console.print(table)
    for name in GOALS:
        sign, goal = GOALS[name]
        console.print(f"{'MISSED' if name in missed(figures) else 'ok    '} {name} {figures[name]:.2f} {sign} {goal:g}")


def main() -> int:
    """Return 0 when every goal is met, 1 when one is missed, 2 when the machine is too busy to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    figures = run(options.rounds)
    _print(figures)
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
