"""What the emulator can be told to get wrong, and what it remembers of a request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request."""

    status: int | None = None
    code: str = "server_error"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_after_chunks: int | None = None
    """End a stream cleanly after so many chunks, without its finish marker."""
    reset_after_chunks: int | None = None
    """Break the connection after so many chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request the emulator got: enough to check a bill by, nothing of its content."""

    path: str
    model: str
    stream: bool
    prompt_tokens: int
    completion_tokens: int
    images: int
    status: int
