"""Asks an app that runs already whether it takes this load: address, key and tenants. Nothing is begun before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from cluster.config.keys import ADMIN, AGENT, read_keys_file
from cluster.lab.load.app_under_test import AppUnderTest
from cluster.lab.load.http_client import AppError, LoadClient, connected
from cluster.lab.scenario.arrivals import tenant_name
from routing.errors import ConfigurationError

AT_ONCE = 16


def app_at(url: str, key_env: str, keys: Path, metrics_urls: tuple[str, ...], ray_address: str | None) -> AppUnderTest:
    """Return the app at `url` with the keys of the environment, or else of a keys file.

    Raises ConfigurationError where there is no agent key.
    """
    agent_key = _first_key(key_env, os.environ) or _first_key(AGENT, read_keys_file(keys))
    if not agent_key:
        said = f"There is no agent key: export {key_env}, or name a file that has {AGENT} with --keys (seen: {keys})."
        raise ConfigurationError(said, "keys")
    admin_key = _first_key(ADMIN, os.environ) or _first_key(ADMIN, read_keys_file(keys))
    return AppUnderTest(
        url=url, agent_key=agent_key, admin_key=admin_key, metrics_urls=metrics_urls, ray_address=ray_address
    )


async def check_app(app: AppUnderTest, tenants: int, run_id: str) -> bool:
    """Return whether the app's vendors are simulated; raises ConfigurationError for what would fail in every room."""
    async with connected(app.url) as client:
        try:
            await client.ready()
        except AppError as error:
            raise ConfigurationError(f"--url {app.url}: no app is ready there. {error.message}", "url") from None
        slots = asyncio.Semaphore(AT_ONCE)

        async def check(tenant: str) -> bool:
            async with slots:
                return await _check_tenant(client, app, tenant, run_id)

        try:
            async with asyncio.TaskGroup() as group:
                checks = [group.create_task(check(tenant_name(index))) for index in range(tenants)]
        except* ConfigurationError as errors:
            raise errors.exceptions[0] from None
    return any(check.result() for check in checks)


async def _check_tenant(client: LoadClient, app: AppUnderTest, tenant: str, run_id: str) -> bool:
    room = f"tenant_{tenant}_{run_id}-check"
    try:
        opened = await client.open(app.agent_key, room, tenant, f"{run_id}-check")
        await client.close(str(opened.get("token")), room)
    except AppError as error:
        raise ConfigurationError(f"--url {app.url}: {_why(error, tenant)}", "url") from None
    return bool(opened.get("simulated"))


def _why(error: AppError, tenant: str) -> str:
    if error.http_status == 401:
        return "the app refuses the agent key: it is another app's, or was changed."
    if error.http_status == 404:
        return f"the app does not know the tenant {tenant}: add it to backend.local_tenants, or at your backend."
    return f"a room of tenant {tenant} was not opened. {error.message}"


def _first_key(name: str, found: Mapping[str, str]) -> str | None:
    return next((key.strip() for key in found.get(name, "").split(",") if key.strip()), None)
