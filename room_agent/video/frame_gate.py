"""Decides which sampled frames are worth sending, and packs those. The clock is a parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from room_agent.core.models import KeptFrame, Source
from room_agent.frames.detector import ChangeDetector, is_black, judgement_of
from room_agent.frames.encoder import encode
from room_agent.frames.features import features
from room_agent.frames.hypotheses import Hypotheses
from room_agent.frames.i420 import Planes
from room_agent.frames.motion import MotionMonitor
from room_agent.frames.noise import MANY_CELLS
from room_agent.frames.phash import phash
from room_agent.frames.picture import Picture
from room_agent.frames.regions import Region
from room_agent.frames.seen import SeenMatch, SeenPictures
from room_agent.frames.verdict import Finding, Judgement, RegionKind, Verdict
from room_agent.video.looks import MOTION_EVERY_S, SCENE_REST_S, TrackLooks, in_cells

MOTION_LOOK_S = 2.5
"""Two looks that lie farther apart say nothing about motion."""
MAX_MOVING_BOXES = 4
RETURNS_WITHIN_S = 3.0
"""For this time after a change, a picture like a kept one is looked at again: noise fades, and a caret blinks."""

ShareBox = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture."""
_NOT_BORNE_OUT = "small spot changed"
_EXPLAINED = (RegionKind.POINTER, RegionKind.CARET, RegionKind.CLOCK)


_Find = Callable[[], SeenMatch | None]
"""Finds the kept picture that a sample shows again, at most once a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """Whether to send a frame, and the judgement behind it.

    `key` numbers the kept frames of a track. `same_as` is the key of an earlier one that shows the same. `moving` are
    the largest boxes whose content changes all the time.
    """

    keep: bool
    judgement: Judgement
    key: int = 0
    phash: int | None = None
    same_as: int | None = None
    moving: tuple[ShareBox, ...] = ()

    @property
    def why(self) -> str:
        """The judgement's reason, a fixed phrase."""
        return self.judgement.why


class FrameGate:
    """Judges the samples of one track in order; for one thread at a time.

    Without `reuse`, a picture that returns is a new one.
    """

    def __init__(self, *, reuse: bool = True) -> None:
        self._reuse = reuse
        self._detector = ChangeDetector()
        self._hypotheses = Hypotheses()
        self._seen = SeenPictures()
        self._looks: TrackLooks | None = None
        self._kept_s = self._size_since_s = 0.0
        self._size: tuple[int, ...] = ()
        self._key = 0
        self._lost = False

    @property
    def is_waiting(self) -> bool:
        """Whether a further look at the same picture may change the decision: something differs, or moved before."""
        looks = self._looks
        if looks is None or self._lost:
            return self._lost
        return bool(looks.motion.regions or (looks.judgement is not None and looks.judgement.findings))

    @property
    def is_unchanged(self) -> bool:
        """Whether the last sample showed the picture of the sample before."""
        return self._looks is not None and self._looks.is_unchanged

    @property
    def mutes(self) -> bool:
        """Whether a region that never rests, such as a video, is left out of the comparison."""
        return self._looks is not None and bool(self._looks.motion.regions)

    def forget(self) -> None:
        """Treat the next sample as new, because the last kept one was lost. May be called from another thread."""
        # A flag, not a new detector: `offer` may be running in a thread right now.
        self._lost = True

    def offer(self, planes: Planes, now_s: float) -> GateDecision:
        """Return whether to send `planes`. A frame to send becomes the reference for the next samples."""
        if self._lost:
            self._lost = False
            self._detector, self._seen, self._looks = ChangeDetector(), SeenPictures(), None
        picture = self._detector.picture(planes)
        if picture.luma.shape != self._size:
            self._size, self._size_since_s = picture.luma.shape, now_s
        if is_black(picture):
            return GateDecision(keep=False, judgement=Judgement(verdict=Verdict.SAME, why="black"))
        if self._looks is None or self._looks.shape != picture.grid.shape:
            self._looks = TrackLooks(picture.grid.shape)
        judgement = self._judge(self._looks, picture, now_s)
        hashed = cache(lambda: phash(planes))
        find = cache(lambda: self._match(picture, hashed()))
        keep, judgement = self._keeps(self._looks, judgement, picture, find, now_s)
        moving = tuple(self._looks.motion.boxes()[:MAX_MOVING_BOXES])
        if not keep:
            return GateDecision(keep=False, judgement=judgement, moving=moving)
        return self._keep(picture, hashed(), find, judgement, moving, now_s)

    def _judge(self, looks: TrackLooks, picture: Picture, now_s: float) -> Judgement:
        """Return how the picture differs from the kept one, as this and earlier looks bear it out."""
        step = looks.step(picture)
        changed = step.candidates if step.count > MANY_CELLS else step.indexes
        looks.times.changed(changed, now_s)
        judgement = looks.judgement if step.nothing else None
        # Where the picture is that of the look before, its findings are too.
        judgement = judgement or self._compared(looks, picture)
        explained = [finding.region for finding in judgement.findings if finding.kind in _EXPLAINED]
        looks.gap_s, looks.looked_s = now_s - looks.looked_s, now_s
        # At a low rate each look may show another slide, which is no motion.
        moved = changed if looks.gap_s <= MOTION_LOOK_S else changed[:0]
        if looks.motion.observe(moved, [*explained, *looks.explained]):
            judgement = self._compared(looks, picture)
        looks.explained, looks.judgement = explained, judgement
        return self._learned(looks, judgement, picture, now_s)

    def _compared(self, looks: TrackLooks, picture: Picture) -> Judgement:
        return self._detector.judge_picture(picture, looks.motion.still, self._hypotheses.known_shapes)

    def _learned(self, looks: TrackLooks, judgement: Judgement, picture: Picture, now_s: float) -> Judgement:
        findings = self._hypotheses.learn(
            judgement.findings, lambda region: looks.changed_in(region, now_s), looks.shape, now_s
        )
        looks.times.differ((finding.region for finding in findings), now_s)
        whole = judgement.verdict is Verdict.NEW or judgement.why == "size changed"
        return judgement if whole or not findings else judgement_of(findings, picture)

    def _keeps(
        self, looks: TrackLooks, judgement: Judgement, picture: Picture, find: _Find, now_s: float
    ) -> tuple[bool, Judgement]:
        """Return whether to keep the picture, and the judgement with the reason for that."""
        if judgement.verdict is Verdict.NEW:
            return True, judgement
        if judgement.why == "size changed":
            # A window that is being resized has another size in each sample.
            rests = now_s - self._size_since_s >= SCENE_REST_S
            return rests or now_s - self._kept_s >= MOTION_EVERY_S, judgement
        content = [finding.region for finding in judgement.findings if finding.kind is RegionKind.CONTENT]
        if any(looks.is_settled(region, content, now_s) for region in content):
            returning = all(looks.times.waiting_s(region, now_s) < RETURNS_WITHIN_S for region in content)
            if returning and (match := find()) is not None and not match.certain:
                return False, judgement
            looks.sent(content, now_s)
            return True, judgement
        due = self._hypotheses.due(judgement.findings, lambda region: looks.times.waiting_s(region, now_s), now_s)
        if due:
            unexplained = [replace(finding, kind=RegionKind.CONTENT) for finding in due]
            return True, replace(judgement_of([*judgement.findings, *unexplained], picture), why=_NOT_BORNE_OUT)
        if looks.motion.regions and now_s - self._kept_s >= MOTION_EVERY_S:
            return True, _moved_on(looks.motion, picture)
        return False, judgement

    def _match(self, picture: Picture, hashed: int) -> SeenMatch | None:
        """Return the kept picture that this one shows again, if there is one."""
        hypotheses = self._hypotheses
        return self._seen.find(picture, hashed, hypotheses.explains, hypotheses.known_shapes) if self._reuse else None

    def _keep(
        self,
        picture: Picture,
        hashed: int,
        find: _Find,
        judgement: Judgement,
        moving: tuple[ShareBox, ...],
        now_s: float,
    ) -> GateDecision:
        self._kept_s = now_s
        self._key += 1
        # A change that nothing bore out in time looks like a repeat, and is none.
        match = find() if judgement.why != _NOT_BORNE_OUT else None
        kept = self._detector.keep_picture(picture)
        if self._looks is not None:
            self._looks.kept()
        same_as = match.key if match is not None and match.certain else None
        if same_as is not None:
            judgement = replace(judgement, why="seen before")
        elif self._reuse:
            self._seen.add(self._key, kept, hashed)
        return GateDecision(keep=True, judgement=judgement, key=self._key, phash=hashed, same_as=same_as, moving=moving)


def _moved_on(motion: MotionMonitor, picture: Picture) -> Judgement:
    """Return the judgement that only the moving regions changed."""
    regions: Sequence[Region] = [in_cells(region) for region in motion.regions]
    found = judgement_of([Finding(kind=RegionKind.CONTENT, region=region) for region in regions], picture)
    return replace(found, why="motion went on", findings=())


def pack_frame(
    planes: Planes, decision: GateDecision, track_sid: str, source: Source, long_side_px: int, captured_at_s: float
) -> KeptFrame:
    """Return a frame that the gate keeps with its JPEG and its headers, ready to send.

    The router routes by the measured features. `captured_at_s` is wall-clock time.
    """
    measured = features(planes, decision.judgement)
    headers = {
        "x-frame-captured-at": f"{captured_at_s:.3f}",
        "x-frame-track": track_sid,
        "x-frame-source": source,
        "x-frame-phash": f"{phash(planes) if decision.phash is None else decision.phash:016x}",
        "x-frame-text-density": f"{measured.text_density:.4f}",
        "x-frame-edge-energy": f"{measured.edge_energy:.4f}",
        "x-frame-changed-share": f"{measured.changed_share:.4f}",
        "x-frame-novelty": f"{measured.novelty:.4f}",
    }
    if decision.moving:
        headers["x-frame-moving"] = ";".join(
            ",".join(str(round(1_000 * edge)) for edge in box) for box in decision.moving
        )
    encoded = encode(planes, long_side_px=long_side_px)
    return KeptFrame(
        jpeg=encoded.jpeg,
        headers=headers,
        why=decision.why,
        captured_at_s=captured_at_s,
        size_px=(encoded.width_px, encoded.height_px),
        key=decision.key,
        same_as=decision.same_as,
    )
