"""Defines the nouns that several packages of the agent share: people, tracks, frames, and the events about frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from room_agent.core.router_client import Description

Source = Literal["screen_share", "camera"]
"""The kind of picture that a video track carries."""


@dataclass(frozen=True, slots=True)
class Person:
    """A human in the room."""

    identity: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTrack:
    """A participant's video track. `shared_by` is the participant's display name, `identity` is unique in the room."""

    sid: str
    source: Source
    shared_by: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """A part of a screen that changed, as a JPEG, and its left, top, right and bottom edges in the screen's pixels."""

    jpeg: bytes = field(repr=False)
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """A frame ready to send: its JPEG, its `x-frame-*` headers, and the gate's reason for keeping it.

    Where `parts` are there, they are sent with the smaller `overview` in place of `jpeg`. `known` is the description
    of a frame for which no model has to be called.
    """

    jpeg: bytes = field(repr=False)
    headers: Mapping[str, str]
    why: str
    captured_at_s: float
    """Wall-clock time."""
    size_px: tuple[int, int] | None = None
    """Width and height of `jpeg`."""
    known: Description | None = None
    overview: bytes | None = field(default=None, repr=False)
    parts: tuple[FramePart, ...] = ()
    screen_px: tuple[int, int] | None = None
    key: int = 0
    """The number of the frame among the kept ones of its track."""
    same_as: int | None = None
    """The key of an earlier frame that shows the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameKept:
    """Event: a frame shows something new and is about to be sent."""

    track: SharedTrack
    frame: KeptFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDescribed:
    """Event: the router answered a frame after `took_s`, or an earlier answer is used again: `reused`.

    The answer to an edit says only what is different; `whole` is then the description of the whole screen.
    """

    track: SharedTrack
    frame: KeptFrame
    answer: Description
    took_s: float
    reused: bool = False
    whole: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEnded:
    """Event: a sampled track was muted, unpublished, or displaced by another."""

    track: SharedTrack
