"""List and call the tools that a room's tenant names, within limits, billed, and logged without content."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import structlog

from deployments.common.settings import ToolSettings
from deployments.gateway.metering import AdmittedRequest
from deployments.gateway.metrics import GatewayMetrics
from deployments.tools.billing import ToolBilling
from deployments.tools.listing import LeftOutTool, ListedTools, list_room, list_source
from deployments.tools.sources import BackendTools, ConnectTools, ToolConnection
from routing.errors import Overloaded, RayroomError, ToolChanged, ToolError, ToolTimeout, ToolUnconfirmed, ToolUnknown
from routing.models import Directory, Tenant
from routing.tools.models import RoomTool, ToolInvocation, ToolResult
from routing.tools.record import ToolServer, ToolSource

MAX_LOGGED = 8
"""The tools that are left out and named in one line of the log: a server may offer any number."""
MAX_LEFT_OUT = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCall:
    """A call as the room's agent requests it."""

    tool: str
    """The tool's full name."""
    digest: str
    """That of the tool as the model saw it."""
    arguments: Mapping[str, Any] = field(repr=False)
    participant: str = ""
    confirmed: bool = False
    """Whether this participant has said yes to the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledResult:
    """The result of a call, and its cost."""

    result: ToolResult
    cost_nanousd: int


class ToolService:
    """The tools of all rooms of one router replica. Every method raises RayroomError; any other error is a bug."""

    def __init__(
        self,
        settings: ToolSettings,
        directory: Directory,
        connect: ConnectTools | None,
        billing: ToolBilling,
        metrics: GatewayMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` is None where the configuration allows no host, so that no MCP server is ever reached."""
        self._settings = settings
        self._directory = directory
        self._connect = connect
        self._billing = billing
        self._metrics = metrics or GatewayMetrics()
        self._clock = clock
        self._active: Counter[str] = Counter()

    async def list(self, admitted: AdmittedRequest) -> ListedTools:
        """Return the tools of the tenant's room. A source that fails offers none, and delays the others by nothing."""
        tenant = admitted.billing.tenant
        with self._slot(tenant):
            sources = list(tenant.tools.sources())
            listed = list_room(await asyncio.gather(*(self._list_source(tenant, *one) for one in sources)))
        if listed.left_out:
            first = [f"{one.name}: {one.problem}" for one in listed.left_out[:MAX_LOGGED]]
            log.warning("tools left out", tenant=tenant.tenant_id, tools=len(listed.left_out), first=first)
        return replace(listed, left_out=listed.left_out[:MAX_LEFT_OUT])

    async def call(self, admitted: AdmittedRequest, wanted: WantedCall) -> BilledResult:
        """Return the result of a tool's call, once its cost is durable.

        Raises ToolUnknown, ToolChanged where the tool is not as the model saw it, ToolUnconfirmed, ToolError, and the
        errors of costs.
        """
        tenant, started_s = admitted.billing.tenant, self._clock()
        answered: BilledResult | None = None
        code = "internal_error"
        try:
            with self._slot(tenant):
                answered = await self._called(admitted, wanted)
            code = "tool_error" if answered.result.is_error else "ok"
            return answered
        except RayroomError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        finally:
            took_s = self._clock() - started_s
            self._metrics.tool_called(code, took_s)
            log.info(
                "tool called",
                room=admitted.billing.room,
                tool=wanted.tool,
                outcome=code,
                confirmed=wanted.confirmed,
                result_chars=len(answered.result.text) if answered is not None else 0,
                took_ms=round(1_000 * took_s),
            )

    async def _called(self, admitted: AdmittedRequest, wanted: WantedCall) -> BilledResult:
        billing = replace(admitted.billing, participant=wanted.participant)
        name, _, _ = wanted.tool.partition("_")
        source = billing.tenant.tools.source(name)
        if source is None:
            raise ToolUnknown(param="tool")
        timeout_s = self._settings.call_timeout_s
        async with self._connected(billing.tenant, source) as connection:
            tool = await self._as_seen(connection, name, source, wanted)
            call = ToolInvocation(
                tenant_id=billing.tenant.tenant_id,
                room=billing.room,
                participant=wanted.participant,
                tool=tool.remote_name,
                arguments=wanted.arguments,
                call_id=uuid.uuid4().hex,
            )
            async with self._billing.billed(billing, tool, timeout_s) as cost_nanousd:
                return BilledResult(result=await connection.call(call, timeout_s), cost_nanousd=cost_nanousd)

    async def _as_seen(self, connection: ToolConnection, name: str, source: ToolSource, wanted: WantedCall) -> RoomTool:
        """Return the tool if it is still the one that the model saw, and may be called now."""
        with self._connect_deadline():
            listed = list_source(name, source, await connection.offered())
        tool = next((one for one in listed.tools if one.name == wanted.tool), None)
        if tool is None:
            raise ToolUnknown(param="tool")
        if tool.digest != wanted.digest:
            raise ToolChanged(param="digest")
        if tool.changes and not wanted.confirmed:
            raise ToolUnconfirmed(param="confirmed")
        return tool

    async def _list_source(self, tenant: Tenant, name: str, source: ToolSource) -> ListedTools:
        try:
            async with self._connected(tenant, source) as connection:
                with self._connect_deadline():
                    return list_source(name, source, await connection.offered())
        except ToolError as error:
            return ListedTools(left_out=(LeftOutTool(name=name, problem=error.message),))

    @asynccontextmanager
    async def _connected(self, tenant: Tenant, source: ToolSource) -> AsyncIterator[ToolConnection]:
        """Yield a connection to a source; raises ToolError."""
        if not isinstance(source, ToolServer):
            yield BackendTools(self._directory, tenant.tenant_id)
            return
        if self._connect is None:
            raise ToolError("The configuration allows no host of tools: set tools.hosts.")
        connecting = self._connect(tenant.tenant_id, source.url, source.credential)
        async with self._entered(connecting) as connection:
            yield connection

    @asynccontextmanager
    async def _entered(self, connecting: AbstractAsyncContextManager[ToolConnection]) -> AsyncIterator[ToolConnection]:
        """Enter a connection within the deadline, which does not count its use."""
        with self._connect_deadline() as scope:
            async with connecting as connection:
                scope.deadline = math.inf
                yield connection

    @contextmanager
    def _connect_deadline(self) -> Iterator[anyio.CancelScope]:
        # Not asyncio's timeout: its cancellation breaks into the closing of sockets, which anyio's scopes shield.
        try:
            with anyio.fail_after(self._settings.connect_timeout_s) as scope:
                yield scope
        except TimeoutError:
            raise ToolTimeout("The tool's server did not say in time which tools it has.") from None

    @contextmanager
    def _slot(self, tenant: Tenant) -> Iterator[None]:
        """Count a call or listing of a tenant; raises Overloaded beyond its limit."""
        if self._active[tenant.tenant_id] >= self._settings.calls_per_tenant:
            raise Overloaded("Too many tools of this tenant are being called.", retry_after_s=1.0)
        self._active[tenant.tenant_id] += 1
        try:
            yield
        finally:
            self._active[tenant.tenant_id] -= 1
            if not self._active[tenant.tenant_id]:
                del self._active[tenant.tenant_id]
