"""The ways to decide which looks are sent: the frame gate, perceptual hashes, SSIM, and every frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import imagehash
import numpy as np
import numpy.typing as npt
from livekit import rtc
from PIL import Image

from room_agent.frames.i420 import Planes
from room_agent.frames.verdict import Verdict
from room_agent.video.frame_gate import FrameGate
from tests.support.screens import packed

SSIM_PX = (480, 270)

Floats = npt.NDArray[np.float64]
Summary = int | Floats
"""The part of a picture that a peer compares: the bits of a hash, or a small grey picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOutcome:
    """Whether a look is paid for, and whether afterwards its content is known to the model."""

    sent: bool
    known: bool
    why: str = ""


class LookSampler(Protocol):
    """A way to decide on the looks of one track, offered in order."""

    def offer(self, planes: Planes, at_s: float) -> LookOutcome: ...


class GateSampler:
    """The frame gate."""

    def __init__(self) -> None:
        self._gate = FrameGate()
        self.first_look = False
        """Whether the last look counted as changed by itself, without the looks that follow."""

    def offer(self, planes: Planes, at_s: float) -> LookOutcome:
        decision = self._gate.offer(planes, at_s)
        self.first_look = decision.judgement.verdict in (Verdict.NEW, Verdict.CHANGED)
        # The description of a screen that was seen before is used again without a call.
        sent = decision.keep and decision.same_as is None
        return LookOutcome(sent=sent, known=decision.keep, why=decision.why)


class EverySampler:
    """Sends each look; the routed guide does too, and saves by the choice of the model alone."""

    def offer(self, planes: Planes, at_s: float) -> LookOutcome:
        return LookOutcome(sent=True, known=True)


class DistanceSampler:
    """Sends a look that is further than `limit` from the last one sent, by a peer's own measure."""

    def __init__(self, peer: Peer, limit: float) -> None:
        self._peer, self._limit = peer, limit
        self._sent: Summary | None = None

    def offer(self, planes: Planes, at_s: float) -> LookOutcome:
        summary = self._peer.summarize(planes)
        sent = self._sent is None or self._peer.distance(self._sent, summary) > self._limit
        if sent:
            self._sent = summary
        return LookOutcome(sent=sent, known=sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A measure of the difference of two pictures, 0 for equal ones."""

    name: str
    summarize: Callable[[Planes], Summary]
    distance: Callable[[Summary, Summary], float]


def _hash_of(side: int) -> Callable[[Planes], Summary]:
    def summarize(planes: Planes) -> Summary:
        bits = imagehash.phash(Image.fromarray(planes.y), hash_size=side).hash
        return int.from_bytes(np.packbits(bits).tobytes(), "big")

    return summarize


def _hamming(one: Summary, other: Summary) -> float:
    assert isinstance(one, int) and isinstance(other, int)
    return float((one ^ other).bit_count())


def _small_grey(planes: Planes) -> Summary:
    small = Image.fromarray(planes.y).resize(SSIM_PX, Image.Resampling.BOX)
    return np.asarray(small, np.float64)


def _dissimilarity(one: Summary, other: Summary) -> float:
    """Return 1 less the mean SSIM over windows of 7x7, with the constants of Wang et al. (2004)."""
    assert not isinstance(one, int) and not isinstance(other, int)
    mean_one, mean_other = _window_means(one), _window_means(other)
    variance_one = _window_means(one * one) - mean_one**2
    variance_other = _window_means(other * other) - mean_other**2
    covariance = _window_means(one * other) - mean_one * mean_other
    luma, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_one * mean_other + luma) * (2 * covariance + contrast)
    similar /= (mean_one**2 + mean_other**2 + luma) * (variance_one + variance_other + contrast)
    return float(1 - similar.mean())


def _window_means(values: Floats, side: int = 7) -> Floats:
    sums = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows: Floats = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return windows / side**2


PEERS = (
    Peer(name="phash-8", summarize=_hash_of(8), distance=_hamming),
    Peer(name="phash-16", summarize=_hash_of(16), distance=_hamming),
    Peer(name="SSIM 480x270", summarize=_small_grey, distance=_dissimilarity),
)


def converted_hash_ms(planes: Planes) -> float:
    """Return the time to convert a frame to RGB through LiveKit and to hash it with ImageHash, in ms."""
    frame = rtc.VideoFrame(planes.width_px, planes.height_px, rtc.VideoBufferType.I420, packed(planes))
    start_s = time.perf_counter()
    rgb = frame.convert(rtc.VideoBufferType.RGB24)
    imagehash.phash(Image.frombuffer("RGB", (planes.width_px, planes.height_px), np.frombuffer(rgb.data, np.uint8)))
    return (time.perf_counter() - start_s) * 1000
