"""`rayroom check`: says of every configured vendor whether its key, models, voice and quota will do. Shows no key."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.app import check_named
from cluster.check.model_probes import ask, load
from cluster.check.plan import VendorCheck, rows, unserved
from cluster.check.terminal import plain
from cluster.check.types import Ask, Known, ProbeResult, ProbeTimer
from cluster.config.settings import AppSettings
from deployments.providers.errors import redirects
from routing.errors import (
    ConfigurationError,
    ProviderAuth,
    ProviderError,
    ProviderQuota,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.vendor_keys import hide_keys, keys_in

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedVendor:
    """What became of one vendor's check. `key_env` is where its key is looked for; the key itself is nowhere here."""

    vendor: str
    simulated: bool
    key_env: str | None
    key_present: bool
    reachable: bool | None = None
    latency_ms: float | None = None
    models: Known = field(default_factory=dict)
    voices: Known = field(default_factory=dict)
    quota_left: float | None = None
    quota_unit: str = ""
    missing: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    """What the key may not ask; speech may work all the same."""


def check_all(
    settings: AppSettings, environment: Mapping[str, str], live: bool = False, timeout_s: float = TIMEOUT_S
) -> list[CheckedVendor]:
    """Check every vendor, and that every model that is asked for has one; raises ConfigurationError."""
    keys = _keys(settings, environment)
    try:
        check_named(settings)
        checked = asyncio.run(check_vendors(settings, environment, live, timeout_s))
        return [*checked, *(_hidden(one, keys) for one in _without_a_row(settings, environment))]
    except ConfigurationError as error:
        raise ConfigurationError(hide_keys(error.message, keys), error.param) from None


async def check_vendors(
    settings: AppSettings, environment: Mapping[str, str], live: bool = False, timeout_s: float = TIMEOUT_S
) -> list[CheckedVendor]:
    """Ask every vendor that has a key, all at once; with `live`, a simulated one is to have a key as well."""
    # To import an SDK holds the loop for seconds, to make its client a tenth of one: both before anyone's time runs.
    checks = [_check(row, _load(row), timeout_s) for row in rows(settings, environment, live)]
    keys = _keys(settings, environment)
    return [_hidden(one, keys) for one in await asyncio.gather(*checks)]


def show(checked: Sequence[CheckedVendor], console: Console, as_json: bool) -> None:
    """Print the checks, and below them what is missing."""
    if as_json:
        print(json.dumps([asdict(one) for one in checked], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("vendor", "key", "answers", "first answer", "models", "voice", "left"):
        table.add_column(name, overflow="fold")
    for one in checked:
        table.add_row(*map(Text, map(plain, _cells(one))), style="red" if one.missing else None)
    console.print(table)
    for one in checked:
        for line in (*one.missing, *one.untold):
            console.print(Text(plain(f"{one.vendor}: {line}")), soft_wrap=True)


def _keys(settings: AppSettings, environment: Mapping[str, str]) -> list[str]:
    named = (vendor.api_key_env for vendor in settings.vendors.values())
    return keys_in(environment, [name for name in (*named, settings.backend.key_env) if name])


def _hidden(one: CheckedVendor, keys: Sequence[str]) -> CheckedVendor:
    """Return a check without a key: one may be pasted where a voice, a model or an address belongs."""
    return CheckedVendor(**{each.name: _without(getattr(one, each.name), keys) for each in fields(one)})


def _without(value: Any, keys: Sequence[str]) -> Any:
    if isinstance(value, str):
        return hide_keys(value, keys)
    if isinstance(value, Mapping):
        return {hide_keys(name, keys): inner for name, inner in value.items()}
    return tuple(_without(one, keys) for one in value) if isinstance(value, tuple) else value


def _without_a_row(settings: AppSettings, environment: Mapping[str, str]) -> Iterator[CheckedVendor]:
    for vendor, missing in groupby(unserved(settings, environment), key=lambda pair: pair[0]):
        lines = tuple(line for _, line in missing)
        yield CheckedVendor(vendor=vendor, simulated=False, key_env=None, key_present=False, missing=lines)


def _load(row: VendorCheck) -> Ask | str:
    """Return what asks the row's vendor, or what is missing to ask it; an empty string where nothing is asked."""
    if row.wrong:
        return row.wrong
    if not row.account.key:
        return f"export {' or '.join(row.key_names)}.{row.keys_at}" if row.needed else ""
    try:
        return load(row.account)
    except ImportError as error:
        return f"{error.name} is not installed: install rayroom[agent]."
    except ProviderError as error:
        return _failed(row, error, 0)


async def _check(row: VendorCheck, asked: Ask | str, timeout_s: float) -> CheckedVendor:
    if isinstance(asked, str):
        return _checked(row, (asked,) if asked else ())
    watch = ProbeTimer()
    try:
        said = await ask(asked, watch, timeout_s)
    except ProviderError as error:
        failed = _failed(row, error, timeout_s)
        return _checked(row, (failed,), reachable=watch.first_s is not None, latency_ms=_ms(watch))
    return _checked(
        row,
        tuple(_lacks(said)),
        reachable=True,
        latency_ms=_ms(watch),
        models=said.models,
        voices=said.voices,
        quota_left=said.left,
        quota_unit=said.unit,
        untold=tuple(_untold(said)),
    )


def _checked(row: VendorCheck, missing: tuple[str, ...], **found: Any) -> CheckedVendor:
    return CheckedVendor(
        vendor=row.name,
        simulated=row.settings.simulated,
        key_env=" or ".join(row.key_names) or None,
        key_present=bool(row.key_names and row.account.key),
        missing=(*row.differs, *missing),
        **found,
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
            return f"{error.message} {_doubt(row) or 'Is the vendor reachable from here?'}"
        case ProviderTruncated():
            return f"{error.message} {_doubt(row)}".strip()
    return _told(row, error)


def _told(row: VendorCheck, error: ProviderError) -> str:
    """Return what a vendor's status says."""
    status = error.facts.get("vendor_status")
    if redirects(status):
        where = row.address or f"vendors.{row.name}.base_url"
        return f"the vendor redirects (HTTP {status}): set {where} to where it is."
    if status == 404:
        return f"the vendor has no such path (HTTP 404). {_doubt(row)}".strip()
    return error.message if status is None else f"{error.message} (HTTP {status})"


def _doubt(row: VendorCheck) -> str:
    """Return a question after the address, where it is not the vendor's own: its scheme, host and path."""
    # A password may hold an @, a slash or a question mark, and a query a key.
    url = re.split(r"[?#]", re.sub(r"//.*@", "//", row.account.base_url or ""))[0]
    return f"Is {row.address} right (seen: {url!r})?" if row.address else ""


def _lacks(said: ProbeResult) -> Iterator[str]:
    for name, known in said.models.items():
        if known is False:
            yield f"the account knows no model {name}: ask the vendor for it, or configure another."
    for voice, known in said.voices.items():
        if known is False:
            yield f"the account has no voice {voice}: add it there, or set RAYROOM_VOICE_ID to another."
    if said.left is not None and said.left <= 0:
        yield f"no {said.unit} are left: add to the account."


def _untold(said: ProbeResult) -> Iterator[str]:
    for what, names in (("models", said.models), ("voices", said.voices)):
        if None in names.values():
            yield f"the key may not read {what}: speech may work all the same. Let it, to have them checked."


def _ms(watch: ProbeTimer) -> float | None:
    return None if watch.first_s is None else round(watch.first_s * 1_000, 1)


def _cells(one: CheckedVendor) -> tuple[str, ...]:
    answers = {True: "yes", False: "no", None: "simulated" if one.simulated else "not asked"}[one.reachable]
    left = "" if one.quota_left is None else f"{one.quota_left:,.10g} {one.quota_unit}"
    keyless = "" if one.reachable is None else "none needed"
    key = f"{one.key_env} {'set' if one.key_present else 'not set'}" if one.key_env else keyless
    latency = "" if one.latency_ms is None else f"{one.latency_ms:.0f} ms"
    return one.vendor, key, answers, latency, _known(one.models), _known(one.voices), left


def _known(names: Known) -> str:
    said = {True: "", False: " (unknown)", None: " (not told)"}
    return ", ".join(f"{name}{said[known]}" for name, known in names.items())
