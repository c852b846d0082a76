"""Plan the vendor checks: each vendor's key, address, models and voice. Sends no request."""

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

# The vendors' own pages for creating keys; not verified against a live site.
_KEYS_AT = {
    "openai": "https://platform.openai.com/api-keys",
    "anthropic": "https://platform.claude.com/settings/keys",
    "gemini": "https://aistudio.google.com/apikey",
    "voyage": "https://dashboard.voyageai.com",
    "deepgram": "https://console.deepgram.com",
    "elevenlabs": "https://elevenlabs.io/app/settings/api-keys",
}
# The fields of AgentSettings for a vendor that the room agent calls itself.
_KEY_OF = {"deepgram": "deepgram_key", "elevenlabs": "eleven_key"}
_URL_OF = {"deepgram": "deepgram_url", "elevenlabs": "eleven_url"}
_SPEECH: tuple[tuple[Service, str], ...] = (("stt", "stt_models"), ("tts", "tts_models"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCheck:
    """One vendor's row with its account. `key_problem` is the reason when its key is invalid."""

    name: str
    settings: VendorSettings
    key_names: tuple[str, ...]
    account: VendorAccount
    address: str
    """The setting or variable that sets its base_url; empty for the vendor's own address."""
    needed: bool
    key_problem: str = ""
    unread_settings: tuple[str, ...] = ()
    """Settings of the row that the room agent does not read, for a vendor that it calls itself."""

    @property
    def keys_at(self) -> str:
        return "" if self.address else f" Create keys at {_KEYS_AT[self.settings.api]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model that the configuration or the room agent names, and the key or variable that names it."""

    where: str
    model: Model


def plan_checks(settings: AppSettings, environment: Mapping[str, str], live: bool) -> list[VendorCheck]:
    """Return a row for each vendor; raises ConfigurationError for an unknown model."""
    models = [planned.model for planned in planned_models(settings, environment)]
    return [_row(name, vendor, models, environment, live) for name, vendor in settings.vendors.items()]


def planned_models(settings: AppSettings, environment: Mapping[str, str]) -> list[PlannedModel]:
    """Return the named models; speech models only when a speech vendor has a row or RAYROOM_VOICE is on."""
    catalogue, agent = settings.catalogue(), _AgentEnvironment(environment)
    planned = [PlannedModel(where=f"args.{key}", model=catalogue.get(name)) for key, _, name in settings.named_models()]
    if agent.value("voice") != "on" and not any(vendor.api in SPEECH for vendor in settings.vendors.values()):
        return planned
    for service, field_name in _SPEECH:
        for name in listed(agent.value(field_name)):
            model = catalogue.models.get(name)
            if model is None or service not in model.services:
                variable = variables(field_name)[0]
                raise ConfigurationError(f"{variable}: models.toml has no model {name!r} for {service}.", variable)
            planned.append(PlannedModel(where=variables(field_name)[0], model=model))
    return planned


def unserved(settings: AppSettings, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (vendor, problem) for each named model with a vendor that has no row."""
    places_by_model: dict[str, dict[str, list[str]]] = {}
    for planned in planned_models(settings, environment):
        if planned.model.vendor not in settings.vendors:
            places_by_model.setdefault(planned.model.vendor, {}).setdefault(planned.model.name, []).append(
                planned.where
            )
    for vendor, models in places_by_model.items():
        for name, places in models.items():
            yield vendor, f"{', '.join(places)}: {name} needs a row named {vendor} under args.vendors."


def _row(
    name: str, vendor: VendorSettings, models: list[Model], environment: Mapping[str, str], live: bool
) -> VendorCheck:
    agent, needed = _AgentEnvironment(environment), live or not vendor.simulated
    names = _key_names(vendor)
    key, key_problem = _key(environment, names)
    base_url, address = _address(name, vendor, agent)
    own_models = tuple({model.name: model for model in models if model.vendor == name}.values())
    return VendorCheck(
        name=name,
        settings=vendor,
        key_names=names,
        account=_account(vendor, key, base_url, own_models, agent),
        address=address,
        needed=needed,
        key_problem=key_problem,
        unread_settings=tuple(_unread_settings(name, vendor, agent)) if needed else (),
    )


def _account(
    vendor: VendorSettings, key: str, base_url: str | None, models: tuple[Model, ...], agent: _AgentEnvironment
) -> VendorAccount:
    return VendorAccount(
        api=vendor.api,
        key=key,
        base_url=base_url,
        api_version=vendor.api_version,
        models=models,
        voices=(agent.value("voice_id"),) if vendor.api == "elevenlabs" else (),
    )


def _key_names(vendor: VendorSettings) -> tuple[str, ...]:
    """Return the variables of the key; the room agent reads its own, whatever the row says."""
    if vendor.api in _KEY_OF:
        return variables(_KEY_OF[vendor.api])
    return (vendor.api_key_env,) if vendor.api_key_env else ()


def _key(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the key, and the reason when it is invalid."""
    try:
        # A self-hosted server may need no key; its SDK requires a non-empty one.
        return read_key(environment, *names) if names else "none", ""
    except ConfigurationError as error:
        return "", error.message


def _address(name: str, vendor: VendorSettings, agent: _AgentEnvironment) -> tuple[str | None, str]:
    """Return the vendor's base_url and the setting that sets it; the room agent reads only its environment."""
    if vendor.api in _URL_OF:
        return agent.value(_URL_OF[vendor.api]), agent.variable(_URL_OF[vendor.api])
    return vendor.base_url, f"vendors.{name}.base_url" if vendor.base_url else ""


def _unread_settings(name: str, vendor: VendorSettings, agent: _AgentEnvironment) -> Iterator[str]:
    """Yield each setting of a speech vendor's row that the room agent, which calls the vendor, does not read."""
    if vendor.api not in _KEY_OF:
        return
    keys, url_field = variables(_KEY_OF[vendor.api]), _URL_OF[vendor.api]
    if vendor.api_key_env and vendor.api_key_env not in keys:
        yield (
            f"vendors.{name}.api_key_env is {vendor.api_key_env}, and the room agent reads {' or '.join(keys)} only:"
            " export the key there, and write that name in the row."
        )
    if vendor.base_url and vendor.base_url.rstrip("/") != agent.value(url_field).rstrip("/"):
        variable = agent.variable(url_field) or variables(url_field)[0]
        yield (
            f"vendors.{name}.base_url is not the address that the room agent uses: it reads {variable} only."
            " Export the address there, or remove it from the row."
        )


class _AgentEnvironment:
    """The room agent's settings from an environment that may lack its required variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def value(self, field_name: str) -> str:
        name = self.variable(field_name)
        return self._environment[name] if name else str(AgentSettings.model_fields[field_name].default)

    def variable(self, field_name: str) -> str:
        """Return the variable that sets a field, or an empty string."""
        return next((name for name in variables(field_name) if self._environment.get(name)), "")
