"""Knows whom `rayroom check` asks for what: each vendor's key, address, models and voice. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.check.types import VendorAccount
from cluster.config.settings import AppSettings
from deployments.common.settings import VendorSettings
from deployments.providers.registry import SPEECH
from room_agent.core.settings import AgentSettings, listed, variables
from routing.catalogue import Model
from routing.errors import ConfigurationError
from routing.models import Service
from routing.vendor_keys import read_key

# Where an account's keys are made; the vendors' own pages, from memory.
_KEYS_AT = {
    "openai": "https://platform.openai.com/api-keys",
    "anthropic": "https://platform.claude.com/settings/keys",
    "gemini": "https://aistudio.google.com/apikey",
    "voyage": "https://dashboard.voyageai.com",
    "deepgram": "https://console.deepgram.com",
    "elevenlabs": "https://elevenlabs.io/app/settings/api-keys",
}
# What the room agent reads of its environment for a vendor it asks itself.
_KEY_OF = {"deepgram": "deepgram_key", "elevenlabs": "eleven_key"}
_URL_OF = {"deepgram": "deepgram_url", "elevenlabs": "eleven_url"}
_SPOKEN: tuple[tuple[Service, str], ...] = (("stt", "stt_models"), ("tts", "tts_models"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCheck:
    """One vendor's row as it is to be checked. `wrong` says why its key is none."""

    name: str
    settings: VendorSettings
    key_names: tuple[str, ...]
    account: VendorAccount
    address: str
    """Where its base_url is set, if it is."""
    needed: bool
    wrong: str = ""
    differs: tuple[str, ...] = ()
    """What of the row the room agent does not read, where it asks the vendor itself."""

    @property
    def keys_at(self) -> str:
        return "" if self.address else f" Keys are made at {_KEYS_AT[self.settings.api]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model that the configuration, or the room agent, asks for, and the key or variable that names it."""

    where: str
    model: Model


def rows(settings: AppSettings, environment: Mapping[str, str], live: bool) -> list[VendorCheck]:
    """Return a row for each vendor; raises ConfigurationError for a model that nobody knows."""
    models = [one.model for one in wanted(settings, environment)]
    return [_row(name, vendor, models, environment, live) for name, vendor in settings.vendors.items()]


def wanted(settings: AppSettings, environment: Mapping[str, str]) -> list[PlannedModel]:
    """Return the models that are asked for. Those of a voice count where a vendor of speech has a row, or it is on."""
    catalogue, told = settings.catalogue(), _Told(environment)
    found = [PlannedModel(where=f"args.{key}", model=catalogue.get(name)) for key, _, name in settings.asked()]
    if told.of("voice") != "on" and not any(vendor.api in SPEECH for vendor in settings.vendors.values()):
        return found
    for service, field_name in _SPOKEN:
        for name in listed(told.of(field_name)):
            model = catalogue.models.get(name)
            if model is None or service not in model.services:
                where = variables(field_name)[0]
                raise ConfigurationError(f"{where}: models.toml has no model {name!r} for {service}.", where)
            found.append(PlannedModel(where=variables(field_name)[0], model=model))
    return found


def unserved(settings: AppSettings, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each vendor that has no row, and what is missing for want of it."""
    lacking: dict[str, dict[str, list[str]]] = {}
    for one in wanted(settings, environment):
        if one.model.vendor not in settings.vendors:
            lacking.setdefault(one.model.vendor, {}).setdefault(one.model.name, []).append(one.where)
    for vendor, models in lacking.items():
        for name, places in models.items():
            yield vendor, f"{', '.join(places)}: {name} needs a row named {vendor} under args.vendors."


def _row(
    name: str, vendor: VendorSettings, models: list[Model], environment: Mapping[str, str], live: bool
) -> VendorCheck:
    told, needed = _Told(environment), live or not vendor.simulated
    names = _key_names(vendor)
    key, wrong = _key(environment, names)
    base_url, address = _address(name, vendor, told)
    its_own = tuple(dict.fromkeys(model for model in models if model.vendor == name))
    return VendorCheck(
        name=name,
        settings=vendor,
        key_names=names,
        account=_account(vendor, key, base_url, its_own, told),
        address=address,
        needed=needed,
        wrong=wrong,
        differs=tuple(_differing(name, vendor, told)) if needed else (),
    )


def _account(
    vendor: VendorSettings, key: str, base_url: str | None, models: tuple[Model, ...], told: _Told
) -> VendorAccount:
    return VendorAccount(
        api=vendor.api,
        key=key,
        base_url=base_url,
        api_version=vendor.api_version,
        models=models,
        voices=(told.of("voice_id"),) if vendor.api == "elevenlabs" else (),
    )


def _key_names(vendor: VendorSettings) -> tuple[str, ...]:
    """Return the variables that the key is looked for in: the room agent reads its own, whatever stands in the row."""
    if vendor.api in _KEY_OF:
        return variables(_KEY_OF[vendor.api])
    return (vendor.api_key_env,) if vendor.api_key_env else ()


def _key(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the key, and why it is none."""
    try:
        # A server of one's own may need none; its SDK needs a word all the same.
        return read_key(environment, *names) if names else "none", ""
    except ConfigurationError as error:
        return "", error.message


def _address(name: str, vendor: VendorSettings, told: _Told) -> tuple[str | None, str]:
    """Return the vendor's base_url, and where it is set: the room agent reads its own environment only."""
    if vendor.api in _URL_OF:
        return told.of(_URL_OF[vendor.api]), told.where(_URL_OF[vendor.api])
    return vendor.base_url, f"vendors.{name}.base_url" if vendor.base_url else ""


def _differing(name: str, vendor: VendorSettings, told: _Told) -> Iterator[str]:
    """Yield what a row says of a vendor's key and address that the room agent, which asks it, does not know."""
    if vendor.api not in _KEY_OF:
        return
    keys, url = variables(_KEY_OF[vendor.api]), _URL_OF[vendor.api]
    if vendor.api_key_env and vendor.api_key_env not in keys:
        yield (
            f"vendors.{name}.api_key_env is {vendor.api_key_env}, and the room agent reads {' or '.join(keys)} only:"
            " export the key there, and write that name in the row."
        )
    if vendor.base_url and vendor.base_url.rstrip("/") != told.of(url).rstrip("/"):
        variable = told.where(url) or variables(url)[0]
        yield (
            f"vendors.{name}.base_url is not where the room agent asks: it reads {variable} only."
            " Export the address there, or take it out of the row."
        )


class _Told:
    """What the room agent would read of an environment that may lack all that it needs beside."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def of(self, field_name: str) -> str:
        name = self.where(field_name)
        return self._environment[name] if name else str(AgentSettings.model_fields[field_name].default)

    def where(self, field_name: str) -> str:
        """Return the variable that sets a field, or an empty string."""
        return next((name for name in variables(field_name) if self._environment.get(name)), "")
