"""A server of tools has its time to connect, and closes its connection undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import pytest

from deployments.common.settings import ToolSettings
from deployments.gateway.metering import AdmittedRequest, BillingContext
from deployments.tools.billing import ToolBilling
from deployments.tools.service import ToolService
from deployments.tools.sources import ToolConnection
from routing.errors import ToolError
from routing.models import Directory, Tenant
from routing.tools.record import TenantTools, ToolServer

TENANT = Tenant(
    tenant_id="acme",
    name="Acme",
    plan="pro",
    active=True,
    budget_nanousd=None,
    requests_per_minute=None,
    tools=TenantTools(servers=(ToolServer(name="shop", url="https://shop.example/mcp"),)),
)
ADMITTED = AdmittedRequest(billing=BillingContext(tenant=TENANT, room="tenant_acme_shop", service="tools"), rate=None)


class LateServer:
    """A server whose sockets take longer to close than the connection may take to open."""

    def __init__(self, fails: bool) -> None:
        self.closed = False
        self._fails = fails

    @asynccontextmanager
    async def connect(self, tenant_id: str, url: str, credential: str) -> AsyncIterator[ToolConnection]:
        try:
            if self._fails:
                raise ToolError("The server refused the connection.")
            await asyncio.Event().wait()
            yield cast(ToolConnection, None)
        finally:
            with anyio.CancelScope(shield=True):
                closing = asyncio.Event()
                asyncio.get_running_loop().call_later(0.05, closing.set)
                await closing.wait()
                self.closed = True


@pytest.mark.parametrize(("fails", "problem"), [(True, "refused the connection"), (False, "did not say in time")])
async def test_a_connection_that_comes_to_nothing_is_closed_though_its_time_is_over(fails: bool, problem: str) -> None:
    server = LateServer(fails)
    settings = ToolSettings(hosts=("shop.example",), connect_timeout_s=0.01)
    service = ToolService(settings, cast(Directory, None), server.connect, cast(ToolBilling, None))
    (left_out,) = (await service.list(ADMITTED)).left_out
    assert problem in left_out.problem and server.closed
