"""Schema of a call of a room's tool."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from deployments.api.body import Body, Label, participant_of


class ToolCallRequest(Body):
    """A call of a room's tool, for the person who asked."""

    tool: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """That of the tool as it was listed: a tool that has changed since is not called."""
    arguments: dict[str, Any] = Field(default={})
    user: Label | None = None
    """The participant who asked, for the bill and for the tool."""
    confirmed: StrictBool = False
    """Whether this participant has said yes to this call; a tool that changes something needs it."""

    @property
    def participant(self) -> str:
        return participant_of(self.user)
