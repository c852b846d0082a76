"""Assemble the tools of a router replica from its gateway."""

from __future__ import annotations

from pathlib import Path

from deployments.gateway.service import Gateway
from deployments.tools.billing import ToolBilling
from deployments.tools.service import ToolService
from deployments.tools.sources import ConnectTools


def tool_service(gateway: Gateway) -> ToolService:
    """Return the tools of the gateway's tenants."""
    settings = gateway.settings.tools
    connect: ConnectTools | None = None
    if settings.hosts or settings.internal_hosts:
        # The client takes 25 MB and 0.6 s to import, which a router without it saves.
        from deployments.tools.credentials import Credentials
        from deployments.tools.mcp_connection import McpServers

        connect = McpServers(settings, Credentials(Path(settings.credentials_dir)))
    billing = ToolBilling(gateway.meter, gateway.settings.intent_grace_s, gateway.metrics)
    return ToolService(settings, gateway.directory, connect, billing, gateway.metrics)
