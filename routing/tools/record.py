"""Parse the part of a tenant's record that names its tools: MCP servers, and the procedures of its backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

MAX_SERVERS = 4
MAX_TOOLS = 32
"""The most tools of a tenant: each is part of every question's prompt."""
MAX_PRICE_NANOUSD = 1_000_000_000_000
BACKEND = "backend"
"""The source name of the backend's own procedures, which no MCP server may have."""

PriceNanousd = Annotated[int, Field(ge=0, le=MAX_PRICE_NANOUSD)]
RemoteName = Annotated[str, Field(min_length=1, max_length=128)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)


class ToolTerms(_Record):
    """The terms of one tool."""

    changes: bool | None = None
    """Whether it changes something, so that a call needs a person's yes. None: unless its source denies it."""
    price_nanousd: PriceNanousd | None = None
    """The price of a call; None for that of its source."""


class ToolSource(_Record):
    """A place that offers tools, and the terms of those that the tenant names."""

    tools: Annotated[dict[RemoteName, ToolTerms], Field(max_length=MAX_TOOLS)] = {}
    price_nanousd: PriceNanousd = 0
    """The price of a call of any other of its tools."""

    def price_of(self, tool: str) -> int:
        """Return the nano-dollars that a call costs."""
        own = self.tools[tool].price_nanousd if tool in self.tools else None
        return self.price_nanousd if own is None else own

    def changes(self, tool: str, read_only: bool | None) -> bool:
        """Return whether a tool changes something; `read_only` is the source's own claim, None if it makes none."""
        own = self.tools[tool].changes if tool in self.tools else None
        return read_only is not True if own is None else own


class ToolServer(ToolSource):
    """An MCP server, reached over streamable HTTP."""

    # Without "_": a tool's full name can be split in one way only.
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    """The first part of the full names of its tools."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=1_024)]
    credential: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,63})?$")] = ""
    """The name of the secret that the operator keeps for this tenant; none if empty."""


class TenantTools(_Record):
    """The tools of one tenant."""

    servers: Annotated[tuple[ToolServer, ...], Field(max_length=MAX_SERVERS, strict=False)] = ()
    backend: ToolSource | None = None
    """The tools of the backend's procedures `tools.list` and `tools.invoke`; None if it has none."""

    @model_validator(mode="after")
    def _has_unique_names(self) -> TenantTools:
        names = [server.name for server in self.servers]
        if len({*names, BACKEND}) <= len(names):
            raise ValueError(f"the names of servers must be unique, and none may be {BACKEND!r}")
        return self

    def sources(self) -> Iterator[tuple[str, ToolSource]]:
        """Yield each source with its name."""
        if self.backend is not None:
            yield BACKEND, self.backend
        yield from ((server.name, server) for server in self.servers)

    def source(self, name: str) -> ToolSource | None:
        """Return the source of this name, or None."""
        return dict(self.sources()).get(name)
