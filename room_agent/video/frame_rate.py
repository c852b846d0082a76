"""Decides how many frames of a track the SFU is asked for: all of them, or those of the base temporal layer."""

from __future__ import annotations

from dataclasses import dataclass

FAST_FPS = 6.0
"""At this rate or above, the base layer, a quarter of the frames, still holds more than one picture a second."""
FAST_INTERVALS = 3
"""The intervals in a row that must be fast."""
REPEATED_LOOKS = 5
"""After this many frames in a row with one picture, a publisher is known to repeat that of a screen at rest."""
AGAIN_S = 30.0
"""A reduced rate is asked for again in this time: a reconnected SFU has forgotten it."""
ALL = 120
"""More than any publisher sends. Zero would be no request at all: livekit-server leaves the earlier one in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFrames:
    """The frames to ask for; `key_frame` where the newest frame may have been withheld."""

    fps: int
    key_frame: bool = False


@dataclass(slots=True)
class FrameRateChoice:
    """The choice for one track. A publisher whose screen moves sends many frames, of which one a second is looked at.

    When its screen comes to rest it sends few, and of these the base layer holds one in four: the last change would
    come seconds late. So the first interval without a frame asks for all of them, beginning with a key frame. A
    publisher that sends a frame only where something is drawn has none to answer that with, and the last picture would
    stay unseen: fewer frames are asked for only of one that was seen to repeat a picture.
    """

    looked_at_fps: float
    reduced: bool = False
    repeats: bool = False
    fast: int = 0
    asked_s: float = 0.0

    def observe(self, frames: int, took_s: float, now_s: float, repeated_looks: int) -> WantedFrames | None:
        """Take the frames of an interval of about a second; return those to ask for now, or None for no change.

        `repeated_looks` is the number of frames in a row that showed the picture of the one before.
        """
        self.repeats = self.repeats or repeated_looks >= REPEATED_LOOKS
        if not self.reduced:
            self.fast = self.fast + 1 if frames >= FAST_FPS * took_s else 0
            if self.fast < FAST_INTERVALS or not self.repeats:
                return None
            self.reduced, self.fast = True, 0
        elif frames == 0:
            self.reduced = False
            return WantedFrames(fps=ALL, key_frame=True)
        elif now_s - self.asked_s < AGAIN_S:
            return None
        self.asked_s = now_s
        return WantedFrames(fps=max(1, round(self.looked_at_fps)))
