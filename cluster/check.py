"""`rayroom check`: says of every configured vendor whether its key, models, voice and quota will do. Shows no key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import AliasChoices
from rich import box
from rich.console import Console
from rich.table import Table

from cluster.check_vendors import Account, Ask, Said, Watch, ask, load
from cluster.settings import AppSettings
from deployments.settings import VendorSettings
from room_agent.settings import AgentSettings
from routing.catalogue import Catalogue, Model
from routing.errors import ConfigurationError, ProviderAuth, ProviderError, ProviderQuota, ProviderTimeout

TIMEOUT_S = 10.0
# Where an account's keys are made; the vendors' own pages, from memory.
_KEYS_AT = {
    "openai": "https://platform.openai.com/api-keys",
    "anthropic": "https://platform.claude.com/settings/keys",
    "gemini": "https://aistudio.google.com/apikey",
    "voyage": "https://dashboard.voyageai.com",
    "deepgram": "https://console.deepgram.com",
    "elevenlabs": "https://elevenlabs.io/app/settings/api-keys",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What became of one vendor's check. `key_env` is where its key is looked for; the key itself is nowhere here."""

    vendor: str
    simulated: bool
    key_env: str | None
    key_present: bool
    reachable: bool | None = None
    latency_ms: float | None = None
    models: dict[str, bool] = field(default_factory=dict)
    voices: dict[str, bool] = field(default_factory=dict)
    quota_left: float | None = None
    quota_unit: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One vendor's row as it is to be checked."""

    name: str
    settings: VendorSettings
    key_names: tuple[str, ...]
    account: Account
    needed: bool

    @property
    def keys_at(self) -> str:
        return "" if self.settings.base_url else f" Keys are made at {_KEYS_AT[self.settings.api]}."


async def check_vendors(
    settings: AppSettings, environment: Mapping[str, str], live: bool = False, timeout_s: float = TIMEOUT_S
) -> list[Checked]:
    """Ask every vendor that has a key, all at once; with `live`, a simulated one is to have a key as well."""
    rows = [_row(name, vendor, settings, environment, live) for name, vendor in settings.vendors.items()]
    # To import an SDK holds the loop for seconds: it is done before anyone's time runs.
    checks = [_check(row, _load(row), timeout_s) for row in rows]
    return list(await asyncio.gather(*checks))


def show(checked: Sequence[Checked], console: Console, as_json: bool) -> None:
    """Print the checks, and below them what is missing."""
    if as_json:
        print(json.dumps([asdict(one) for one in checked], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("vendor", "key", "answers", "first answer", "models", "voice", "left"):
        table.add_column(name, overflow="fold")
    for one in checked:
        table.add_row(*_cells(one), style="red" if one.missing else None)
    console.print(table)
    for one in checked:
        for line in one.missing:
            console.print(f"{one.vendor}: {line}", soft_wrap=True, highlight=False, markup=False)


def _row(name: str, vendor: VendorSettings, settings: AppSettings, environment: Mapping[str, str], live: bool) -> _Row:
    agent = _Agent(environment)
    catalogue = settings.catalogue()
    names = dict.fromkeys((vendor.api_key_env or "", *agent.key_names(vendor.api)))
    key_names = tuple(key_name for key_name in names if key_name)
    keys = (environment.get(key_name, "").strip() for key_name in key_names)
    account = Account(
        api=vendor.api,
        # A server of one's own may need none; its SDK needs a word all the same.
        key=next(filter(None, keys), "") if key_names else "none",
        base_url=vendor.base_url or agent.base_url(vendor.api),
        api_version=vendor.api_version,
        models=tuple(_models(name, vendor, settings, catalogue, agent)),
        voices=(agent.told("voice_id"),) if vendor.api == "elevenlabs" else (),
    )
    return _Row(name=name, settings=vendor, key_names=key_names, account=account, needed=live or not vendor.simulated)


def _models(
    name: str, vendor: VendorSettings, settings: AppSettings, catalogue: Catalogue, agent: _Agent
) -> Iterator[Model]:
    """Yield the models that the configuration, or the room agent, asks of a vendor."""
    spoken = {"deepgram": "stt_models", "elevenlabs": "tts_models"}.get(vendor.api)
    names = settings.model_names() if spoken is None else agent.told(spoken).split(",")
    for model_name in map(str.strip, names):
        model = catalogue.models.get(model_name)
        if model is None:
            raise ConfigurationError(f"The model {model_name!r} is not in models.toml.", spoken)
        if model.vendor == name:
            yield model


def _load(row: _Row) -> Ask | str:
    """Return what asks the row's vendor, or what is missing to ask it; an empty string where nothing is asked."""
    if not row.account.key:
        return f"export {' or '.join(row.key_names)}.{row.keys_at}" if row.needed else ""
    try:
        return load(row.settings.api)
    except ImportError as error:
        return f"{error.name} is not installed: install rayroom[agent]."


async def _check(row: _Row, asked: Ask | str, timeout_s: float) -> Checked:
    if isinstance(asked, str):
        return _checked(row, missing=(asked,) if asked else ())
    watch = Watch()
    try:
        said = await ask(asked, row.account, watch, timeout_s)
    except ProviderError as error:
        failed = _failed(row, error, timeout_s)
        return _checked(row, reachable=watch.first_s is not None, latency_ms=_ms(watch), missing=(failed,))
    return _checked(
        row,
        reachable=True,
        latency_ms=_ms(watch),
        models=said.models,
        voices=said.voices,
        quota_left=said.left,
        quota_unit=said.unit,
        missing=tuple(_lacks(said)),
    )


def _checked(row: _Row, **found: Any) -> Checked:
    return Checked(
        vendor=row.name,
        simulated=row.settings.simulated,
        key_env=" or ".join(row.key_names) or None,
        key_present=bool(row.key_names and row.account.key),
        **found,
    )


def _failed(row: _Row, error: ProviderError, timeout_s: float) -> str:
    keys = " or ".join(row.key_names)
    match error:
        case ProviderAuth():
            return f"the vendor rejects the key of {keys}: make another.{row.keys_at}"
        case ProviderQuota():
            return "the account's credit is spent: add to it."
        case ProviderTimeout():
            return f"no answer within {timeout_s:g} s: is the vendor reachable from here?"
    status = error.facts.get("vendor_status")
    return error.message if status is None else f"{error.message} (HTTP {status})"


def _lacks(said: Said) -> Iterator[str]:
    for name, known in said.models.items():
        if not known:
            yield f"the account knows no model {name}: ask the vendor for it, or configure another."
    for voice, known in said.voices.items():
        if not known:
            yield f"the account has no voice {voice}: add it there, or set RAYROOM_VOICE_ID to another."
    if said.left is not None and said.left <= 0:
        yield f"no {said.unit} are left: add to the account."


def _ms(watch: Watch) -> float | None:
    return None if watch.first_s is None else round(watch.first_s * 1_000, 1)


def _cells(one: Checked) -> tuple[str, ...]:
    answers = {True: "yes", False: "no", None: "simulated" if one.simulated else "not asked"}[one.reachable]
    left = "" if one.quota_left is None else f"{one.quota_left:,.10g} {one.quota_unit}"
    key = f"{one.key_env} {'set' if one.key_present else 'not set'}" if one.key_env else "none needed"
    latency = "" if one.latency_ms is None else f"{one.latency_ms:.0f} ms"
    return one.vendor, key, answers, latency, _known(one.models), _known(one.voices), left


def _known(names: Mapping[str, bool]) -> str:
    return ", ".join(name if known else f"{name} (unknown)" for name, known in names.items())


class _Agent:
    """What the room agent would read of an environment that may lack all that it needs beside."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def told(self, name: str) -> str:
        found = (self._environment[alias] for alias in _aliases(name) if self._environment.get(alias))
        return next(found, None) or str(AgentSettings.model_fields[name].default)

    def key_names(self, api: str) -> tuple[str, ...]:
        field_of = {"deepgram": "deepgram_key", "elevenlabs": "eleven_key"}
        return _aliases(field_of[api]) if api in field_of else ()

    def base_url(self, api: str) -> str | None:
        field_of = {"deepgram": "deepgram_url", "elevenlabs": "eleven_url"}
        return self.told(field_of[api]) if api in field_of else None


def _aliases(name: str) -> tuple[str, ...]:
    alias = AgentSettings.model_fields[name].validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (str(alias),)
