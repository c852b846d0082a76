"""Start the app under test on this machine, on its own ports and directories, or check one that runs."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.config.keys import ADMIN, AGENT, read_keys_file
from cluster.config.settings import DeploymentsScaling
from cluster.lab.emulator.server import BASE_PATHS
from cluster.lab.load.prometheus import SAMPLE_EVERY_S
from cluster.lab.load.timed_client import check_ready, connected
from cluster.lab.scenario.arrivals import tenant_name
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.stack import ray_node, startup
from cluster.lab.stack.plan import Plan
from cluster.lab.stack.processes import Processes
from deployments.common.settings import VendorSettings
from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError
from room_agent.core.router_transport import HttpTransport
from routing.errors import ConfigurationError

STOP_GRACE_S = 12.0
MAX_CONCURRENT_CHECKS = 16
# Unlimited capacity: a queue in the emulator would add to the measured times. Nobody reads the log of a load.
_UNLIMITED_LOAD = ("--free", "1000000", "--log", "1000")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUnderTest:
    """A running app: its address, its keys, and its metrics endpoints."""

    url: str
    agent_key: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)
    metrics_urls: tuple[str, ...] = ()
    ray_address: str | None = None
    faults_url: str | None = None
    """The emulator's route for faults; None if the app uses no emulator."""
    journal: Path | None = None
    excluded_pids: frozenset[int] = frozenset()
    """Child processes whose CPU time is not the app's: the vendor emulator."""

    @property
    def is_ours(self) -> bool:
        return self.journal is not None


async def start_app(scenario: Scenario, tenants: int, config: Path, plan: Plan, processes: Processes) -> AppUnderTest:
    """Start a Ray node with the app of `config` on it, as the scenario wants both; raises StartFailed."""
    uses_emulator = bool(scenario.vendors.faults)
    emulator_pid = await _start_emulator(scenario, plan, processes) if uses_emulator else None
    report_interval = {"RAY_metrics_report_interval_ms": f"{1_000 * SAMPLE_EVERY_S:.0f}"}
    environment = await startup.start_ray(plan, processes, _logical_cpus(scenario.scaling), report_interval)
    config_file = plan.directory / "serve_config.yaml"
    args = _args(scenario, tenants, read_args(config), plan, uses_emulator)
    ray_node.write_config(config, config_file, plan.http_port, args)
    await processes.start("serve", ray_node.serve_command(plan.ray_address, config_file), environment)
    await startup.wait_until(lambda: startup.responds(f"{plan.router_url}/readyz"), processes, "the Serve app")
    return AppUnderTest(
        url=plan.router_url,
        agent_key=plan.agent_key,
        admin_key=plan.admin_key,
        metrics_urls=(plan.metrics_url,),
        ray_address=plan.ray_address,
        faults_url=f"{plan.emulator_url}/_emulator/faults" if uses_emulator else None,
        journal=plan.journal,
        excluded_pids=frozenset() if emulator_pid is None else frozenset({emulator_pid}),
    )


def _logical_cpus(scaling: DeploymentsScaling) -> int:
    """Return the CPUs that the replicas may request: Ray only counts them, but starts an idle worker for each."""
    parts = (scaling.router, scaling.vision, scaling.llm, scaling.embeddings)
    return max(ray_node.LOGICAL_CPUS, math.ceil(1 + sum(part.max_replicas * part.num_cpus for part in parts)))


async def stop_app(processes: Processes) -> None:
    """Stop the app gracefully, so that it writes its pending costs."""
    for name in ("serve", "ray", "emulator"):
        await processes.stop(name, STOP_GRACE_S)


def read_args(config: Path) -> dict[str, Any]:
    """Return the application's args in a Serve configuration; raises ConfigurationError."""
    try:
        (application,) = yaml.safe_load(config.read_text("utf-8"))["applications"]
        return dict(application["args"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ConfigurationError(f"{config}: is no Serve configuration with one application.", "config") from None


def _args(
    scenario: Scenario, tenants: int, shipped: Mapping[str, Any], plan: Plan, uses_emulator: bool
) -> startup.Args:
    vendors = scenario.vendors
    names = [tenant_name(index) for index in range(tenants)]
    profiles = {name: change.model_dump(exclude_none=True) for name, change in vendors.profiles.items()}
    args: startup.Args = {
        "scaling": scenario.scaling.model_dump(mode="json"),
        "simulation": {"speed": vendors.speed, "profiles": profiles},
        "backend": {
            "url": None,
            "local_path": str(plan.directory / "backend.db"),
            # No budget and no rate limit: the app is measured, not the limits of a tenant.
            "local_tenants": {name: {"name": name, "plan": "pro"} for name in names},
        },
        "costs": {"journal_path": str(plan.journal), "flush_every_s": 2},
        "keys": {"file": str(plan.directory / "keys.env")},
    }
    return args | ({"vendors": _emulated(shipped["vendors"], plan)} if uses_emulator else {})


def _emulated(vendors: Mapping[str, Mapping[str, Any]], plan: Plan) -> dict[str, Any]:
    """Return the same vendors, called through their own SDKs at the emulator's addresses."""
    emulated = {}
    for name, vendor in vendors.items():
        settings = VendorSettings.model_validate(vendor)
        url = plan.emulator_url + BASE_PATHS[settings.api]
        emulated[name] = {"api": settings.api, "base_url": url, "simulated": False}
    return emulated


async def _start_emulator(scenario: Scenario, plan: Plan, processes: Processes) -> int:
    """Start the vendor emulator and return its process id."""
    profiles = {name: change.model_dump(exclude_none=True) for name, change in scenario.vendors.profiles.items()}
    command = [sys.executable, "-c", "from cluster.cli.main import main; main()", "emulate"]
    command += ["--port", str(plan.emulator_port), "--speed", str(scenario.vendors.speed), *_UNLIMITED_LOAD]
    command += ["--seed", str(scenario.seed), "--profiles", json.dumps(profiles)]
    process = await processes.start("emulator", command)
    await startup.wait_until(lambda: startup.listens(plan.emulator_port), processes, "the vendors' emulator")
    return process.pid


def app_at(url: str, key_env: str, keys: Path, metrics_urls: tuple[str, ...], ray_address: str | None) -> AppUnderTest:
    """Return the app at `url` with the keys of the environment, or else of a keys file.

    Raises ConfigurationError where there is no agent key.
    """
    agent_key = _first_key(key_env, os.environ) or _first_key(AGENT, read_keys_file(keys))
    if not agent_key:
        message = (
            f"There is no agent key: export {key_env}, or name a file that has {AGENT} with --keys (seen: {keys})."
        )
        raise ConfigurationError(message, "keys")
    admin_key = _first_key(ADMIN, os.environ) or _first_key(ADMIN, read_keys_file(keys))
    return AppUnderTest(
        url=url, agent_key=agent_key, admin_key=admin_key, metrics_urls=metrics_urls, ray_address=ray_address
    )


async def check_app(app: AppUnderTest, tenants: int, run_id: str) -> bool:
    """Return whether the app's vendors are simulated; raises ConfigurationError if every room would fail."""
    async with connected(app.url) as transport:
        try:
            await check_ready(transport)
        except RouterError as error:
            raise ConfigurationError(f"--url {app.url}: no app is ready there. {error.message}", "url") from None
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

        async def check(tenant: str) -> bool:
            async with semaphore:
                return await _check_tenant(transport, app, tenant, run_id)

        try:
            async with asyncio.TaskGroup() as group:
                checks = [group.create_task(check(tenant_name(index))) for index in range(tenants)]
        except* ConfigurationError as errors:
            raise errors.exceptions[0] from None
    return any(check.result() for check in checks)


async def _check_tenant(transport: HttpTransport, app: AppUnderTest, tenant: str, run_id: str) -> bool:
    room, metadata = f"tenant_{tenant}_{run_id}-check", json.dumps({"tenant_id": tenant})
    client = RouterClient(transport, app.agent_key, room, f"{run_id}-check", metadata)
    try:
        opened = await client.open()
        await client.close()
    except RouterError as error:
        raise ConfigurationError(f"--url {app.url}: {_explain(error, tenant)}", "url") from None
    return opened.simulated


def _explain(error: RouterError, tenant: str) -> str:
    if error.http_status == 401:
        return "the app refuses the agent key: it is another app's, or was changed."
    if error.http_status == 404:
        return f"the app does not know the tenant {tenant}: add it to backend.local_tenants, or at your backend."
    return f"a room of tenant {tenant} was not opened. {error.message}"


def _first_key(name: str, values: Mapping[str, str]) -> str | None:
    return next((key.strip() for key in values.get(name, "").split(",") if key.strip()), None)
