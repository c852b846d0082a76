"""`rayroom check`: check every configured vendor's key, models, voice and quota. Prints no key."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.app import check_named
from cluster.check.model_probes import make_probe, run_probe
from cluster.check.plan import VendorCheck, plan_checks, unserved
from cluster.check.production_requests import CheckedRequest, send_requests, total_nanousd
from cluster.check.terminal import plain
from cluster.check.types import Availability, Probe, ProbeResult, ProbeTimer
from cluster.config.settings import AppSettings
from deployments.providers.errors import redirects
from deployments.providers.registry import SPEECH
from routing.errors import (
    ConfigurationError,
    ProviderAuth,
    ProviderError,
    ProviderQuota,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.units import NANOUSD_PER_USD
from routing.vendor_keys import hide_keys, keys_in


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedVendor:
    """The result of one vendor's check. `key_env` names the variable of its key; the key itself is never stored."""

    vendor: str
    simulated: bool
    key_env: str | None
    key_present: bool
    reachable: bool | None = None
    latency_ms: float | None = None
    models: Availability = field(default_factory=dict)
    voices: Availability = field(default_factory=dict)
    quota_left: float | None = None
    quota_unit: str = ""
    missing: tuple[str, ...] = ()
    requests: tuple[CheckedRequest, ...] = ()
    """One request for each configured model, with the shape of production's, and its cost."""
    unverified: tuple[str, ...] = ()
    """Checks that the key lacks the permission for; speech may work nevertheless."""


def check_all(
    settings: AppSettings, environment: Mapping[str, str], live: bool, timeout_s: float
) -> list[CheckedVendor]:
    """Check every vendor, and that every named model has one; raises ConfigurationError."""
    keys = _keys(settings, environment)
    try:
        check_named(settings)
        checked = asyncio.run(check_vendors(settings, environment, live, timeout_s))
        return [*checked, *(_without_keys(vendor, keys) for vendor in _vendors_without_row(settings, environment))]
    except ConfigurationError as error:
        raise ConfigurationError(hide_keys(error.message, keys), error.param) from None


async def check_vendors(
    settings: AppSettings, environment: Mapping[str, str], live: bool = False, timeout_s: float = 10.0
) -> list[CheckedVendor]:
    """Check every vendor with a key, concurrently; with `live`, a simulated one needs a key as well."""
    # Importing an SDK blocks the loop for seconds, constructing its client for 0.1 s: do both before any timer starts.
    rows = plan_checks(settings, environment, live)
    checks = [_check_with_requests(settings, row, _prepare(row), timeout_s) for row in rows]
    keys = _keys(settings, environment)
    return [_without_keys(vendor, keys) for vendor in await asyncio.gather(*checks)]


def show(checked: Sequence[CheckedVendor], console: Console, as_json: bool) -> None:
    """Print the checks, and below them the problems."""
    if as_json:
        print(json.dumps([asdict(vendor) for vendor in checked], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("vendor", "key", "answers", "first answer", "models", "voice", "left"):
        table.add_column(name, overflow="fold")
    for vendor in checked:
        table.add_row(*map(Text, map(plain, _cells(vendor))), style="red" if vendor.missing else None)
    console.print(table)
    _show_requests([request for vendor in checked for request in vendor.requests], console)
    for vendor in checked:
        for line in (*vendor.missing, *vendor.unverified):
            console.print(Text(plain(f"{vendor.vendor}: {line}")), soft_wrap=True)


def _show_requests(requests: Sequence[CheckedRequest], console: Console) -> None:
    """Print the requests that were sent to the models, and their cost."""
    if not requests:
        return
    table = Table(box=box.SIMPLE_HEAD, title="one request with production's shape to each model")
    for name in ("service", "model", "answered", "tokens in", "out", "cost, USD"):
        table.add_column(name, overflow="fold")
    for one in requests:
        cost = "unknown" if one.cost_nanousd is None else f"{one.cost_nanousd / NANOUSD_PER_USD:.6f}"
        cells = (one.service, one.model, "no" if one.problem else "yes", str(one.input_tokens), str(one.output_tokens))
        table.add_row(*map(Text, (*cells, "" if one.problem else cost)), style="red" if one.problem else None)
    console.print(table)
    console.print(f"together: {total_nanousd(requests) / NANOUSD_PER_USD:.6f} USD")


def _keys(settings: AppSettings, environment: Mapping[str, str]) -> list[str]:
    named = (vendor.api_key_env for vendor in settings.vendors.values())
    return keys_in(environment, [name for name in (*named, settings.backend.key_env) if name])


def _without_keys(vendor: CheckedVendor, keys: Sequence[str]) -> CheckedVendor:
    """Return a check without keys: one may be pasted into a voice, a model or an address."""
    return CheckedVendor(**{field.name: _redacted(getattr(vendor, field.name), keys) for field in fields(vendor)})


def _redacted(value: Any, keys: Sequence[str]) -> Any:
    if isinstance(value, str):
        return hide_keys(value, keys)
    if isinstance(value, Mapping):
        return {hide_keys(name, keys): inner for name, inner in value.items()}
    if isinstance(value, CheckedRequest):
        return replace(value, problem=hide_keys(value.problem, keys))
    return tuple(_redacted(item, keys) for item in value) if isinstance(value, tuple) else value


def _vendors_without_row(settings: AppSettings, environment: Mapping[str, str]) -> Iterator[CheckedVendor]:
    for vendor, missing in groupby(unserved(settings, environment), key=lambda pair: pair[0]):
        lines = tuple(line for _, line in missing)
        yield CheckedVendor(vendor=vendor, simulated=False, key_env=None, key_present=False, missing=lines)


def _prepare(row: VendorCheck) -> Probe | str:
    """Return the row's probe, or the problem that prevents it; an empty string when the row needs no check."""
    if row.key_problem:
        return row.key_problem
    if not row.account.key:
        return f"export {' or '.join(row.key_names)}.{row.keys_at}" if row.needed else ""
    try:
        return make_probe(row.account)
    except ImportError as error:
        return f"{error.name} is not installed: install rayroom[agent]."
    except ProviderError as error:
        return _failed(row, error, 0)


async def _check_with_requests(
    settings: AppSettings, row: VendorCheck, probe: Probe | str, timeout_s: float
) -> CheckedVendor:
    """Check the account, and where nothing is missing, send each model a request."""
    checked = await _check(row, probe, timeout_s)
    if not checked.reachable or checked.missing or row.settings.api in SPEECH:
        return checked
    requests = await send_requests(settings, row, timeout_s)
    refused = tuple(f"{one.service}: {one.model} {one.problem}" for one in requests if one.problem)
    return replace(checked, requests=requests, missing=refused)


async def _check(row: VendorCheck, probe: Probe | str, timeout_s: float) -> CheckedVendor:
    if isinstance(probe, str):
        return _vendor_result(row, (probe,) if probe else ())
    timer = ProbeTimer()
    try:
        result = await run_probe(probe, timer, timeout_s)
    except ProviderError as error:
        failed = _failed(row, error, timeout_s)
        return _vendor_result(row, (failed,), reachable=timer.first_s is not None, latency_ms=_ms(timer))
    return _vendor_result(
        row,
        tuple(_missing_items(result)),
        reachable=True,
        latency_ms=_ms(timer),
        models=result.models,
        voices=result.voices,
        quota_left=result.quota_left,
        quota_unit=result.quota_unit,
        unverified=tuple(_unverified(result)),
    )


def _vendor_result(row: VendorCheck, missing: tuple[str, ...], **details: Any) -> CheckedVendor:
    return CheckedVendor(
        vendor=row.name,
        simulated=row.settings.simulated,
        key_env=" or ".join(row.key_names) or None,
        key_present=bool(row.key_names and row.account.key),
        missing=(*row.unread_settings, *missing),
        **details,
    )


def _failed(row: VendorCheck, error: ProviderError, timeout_s: float) -> str:
    match error:
        case ProviderAuth() if not row.key_names:
            return f"the vendor wants a key: set vendors.{row.name}.api_key_env to its variable's name."
        case ProviderAuth():
            return f"the vendor rejects the key of {' or '.join(row.key_names)}: make another.{row.keys_at}"
        case ProviderQuota():
            return "the account's credit is spent: add to it."
        case ProviderTimeout():
            return f"no answer within {timeout_s:g} s: is the vendor reachable from here?"
        case ProviderUnreachable():
            return f"{error.message} {_address_hint(row) or 'Is the vendor reachable from here?'}"
        case ProviderTruncated():
            return f"{error.message} {_address_hint(row)}".strip()
    return _status_problem(row, error)


def _status_problem(row: VendorCheck, error: ProviderError) -> str:
    """Return the problem that a vendor's status indicates."""
    status = error.facts.get("vendor_status")
    if redirects(status):
        setting = row.address or f"vendors.{row.name}.base_url"
        return f"the vendor redirects (HTTP {status}): set {setting} to where it is."
    if status == 404:
        return f"the vendor has no such path (HTTP 404). {_address_hint(row)}".strip()
    # A check without a status was refused by the SDK before it was sent, as for an address that holds a password.
    return f"{error.message} {_address_hint(row)}".strip() if status is None else f"{error.message} (HTTP {status})"


def _address_hint(row: VendorCheck) -> str:
    """Return a question about a configured address, showing its scheme, host and path only."""
    # A password may hold an @, a slash or a question mark, and a query a key.
    url = re.split(r"[?#]", re.sub(r"//.*@", "//", row.account.base_url or ""))[0]
    return f"Is {row.address} right (seen: {url!r})?" if row.address else ""


def _missing_items(result: ProbeResult) -> Iterator[str]:
    for name, available in result.models.items():
        if available is False:
            yield f"the account knows no model {name}: ask the vendor for it, or configure another."
    for voice, available in result.voices.items():
        if available is False:
            yield f"the account has no voice {voice}: add it there, or set RAYROOM_VOICE_ID to another."
    if result.quota_left is not None and result.quota_left <= 0:
        yield f"no {result.quota_unit} are left: add to the account."


def _unverified(result: ProbeResult) -> Iterator[str]:
    for kind, names in (("models", result.models), ("voices", result.voices)):
        if None in names.values():
            yield f"the key may not read {kind}: speech may work all the same. Let it, to have them checked."


def _ms(timer: ProbeTimer) -> float | None:
    return None if timer.first_s is None else round(timer.first_s * 1_000, 1)


def _cells(vendor: CheckedVendor) -> tuple[str, ...]:
    answers = {True: "yes", False: "no", None: "simulated" if vendor.simulated else "not asked"}[vendor.reachable]
    left = "" if vendor.quota_left is None else f"{vendor.quota_left:,.10g} {vendor.quota_unit}"
    keyless = "" if vendor.reachable is None else "none needed"
    key = f"{vendor.key_env} {'set' if vendor.key_present else 'not set'}" if vendor.key_env else keyless
    latency = "" if vendor.latency_ms is None else f"{vendor.latency_ms:.0f} ms"
    return vendor.vendor, key, answers, latency, _availability(vendor.models), _availability(vendor.voices), left


def _availability(names: Availability) -> str:
    labels = {True: "", False: " (unknown)", None: " (not told)"}
    return ", ".join(f"{name}{labels[available]}" for name, available in names.items())
