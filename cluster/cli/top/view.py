"""Render an overview for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cluster.cli.top.overview import DeploymentNow, ModelNow, MoneyNow, Overview, RoomsNow, TierNow

ERRORS = 6


def view(shown: Overview) -> RenderableType:
    """Return the overview as lines and tables."""
    return Group(
        _rooms(shown.rooms),
        _money(shown.money),
        _requests(shown),
        _tiers(shown.tiers),
        _models(shown.models),
        _deployments(shown.deployments),
    )


def _rooms(rooms: RoomsNow) -> Text:
    frames = "  ".join(f"{name} {rate:.1f}" for name, rate in rooms.frames_per_s.items())
    unattended = "" if rooms.unattended is None else f"  without an agent {rooms.unattended}"
    return Text(
        f"rooms     open {rooms.open}{unattended}  first sound {_number(rooms.first_sound_ms, 'ms')}  "
        f"look {_number(rooms.look_ms, 'ms')}  cores a room {_number(rooms.cores_a_room, digits=3)}\n"
        f"frames/s  {frames}"
    )


def _money(money: MoneyNow) -> Text:
    tenants = "  ".join(f"{name} ${usd:,.2f}" for name, usd in money.tenants_usd) or "-"
    per_room = "-" if money.usd_per_room_hour is None else f"${money.usd_per_room_hour:,.3f}"
    return Text(
        f"money     ${money.usd_per_hour:,.2f} an hour  {per_room} a room hour  "
        f"bill behind {money.behind_s:.0f} s  unsent {money.unsent}  parked {money.parked}\n"
        f"tenants   {tenants} this month",
        style="bold red" if money.parked or money.behind_s > 300 else "",
    )


def _requests(shown: Overview) -> Text:
    errors = "  ".join(f"{route} {code} {rate:.2f}" for route, code, rate in shown.errors_per_s[:ERRORS]) or "none"
    return Text(
        f"requests  {shown.requests_per_s:.1f} a second  5xx {_percent(shown.failed_share)}\nerrors/s  {errors}\n"
    )


def _tiers(tiers: Iterable[TierNow]) -> Table:
    table = _table("service", "requests/s", "complex share")
    for tier in tiers:
        table.add_row(tier.service, f"{tier.requests_per_s:.1f}", _percent(tier.complex_share))
    return table


def _models(models: Iterable[ModelNow]) -> Table:
    table = _table("model", "attempts/s", "failed", "p95", "first token p95", "breaker", "$/hour", first="vendor")
    for one in models:
        failing = one.breaker != "closed" or (one.failed_share or 0.0) > 0.2
        table.add_row(
            one.vendor,
            one.model,
            f"{one.attempts_per_s:.1f}",
            _percent(one.failed_share),
            _number(one.p95_s, "s", 2),
            _number(one.first_token_p95_s, "s", 2),
            one.breaker,
            f"{one.usd_per_hour:.2f}",
            style="red" if failing else "",
        )
    return table


def _deployments(deployments: Iterable[DeploymentNow]) -> Table:
    table = _table("target", "running", "waiting", "in progress", first="deployment")
    for one in deployments:
        target = "-" if one.target is None else str(one.target)
        table.add_row(one.name, target, str(one.running), str(one.waiting), str(one.ongoing))
    return table


def _table(*columns: str, first: str = "") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ((first,) if first else ()) + columns:
        left = column in ("vendor", "model", "service", "deployment", "breaker")
        table.add_column(column, justify="left" if left else "right")
    return table


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit and ' '}{unit}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
