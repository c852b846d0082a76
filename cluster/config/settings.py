"""The typed settings of a deployment: the `args` of serve_config.yaml."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from cluster.rooms.forecast import RoomsAheadSettings
from deployments.common.settings import (
    EmbeddingsSettings,
    EnvironmentName,
    KnowledgeSettings,
    LlmSettings,
    RoomSettings,
    Settings,
    SimulationSettings,
    ToolSettings,
    VendorSettings,
    VisionSettings,
)
from routing.billing.budgets import known_zone
from routing.breaker import BreakerSettings
from routing.catalogue import Catalogue, OwnModel, load_catalogue
from routing.errors import ConfigurationError
from routing.fairness import FairnessSettings
from routing.models import Service
from routing.prices import AccountPrice
from routing.retry import RetrySettings
from routing.tools.record import TenantTools
from routing.validation import Count, HttpUrl, Seconds, Share, errors_of
from routing.vendor_keys import HIDDEN, hide_keys

IMPORT_PATH = "cluster.app:build"
"""The `import_path` of the application in a Serve configuration."""
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
POLICY = r"^(ray|rooms-ahead|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class ScalingSettings(Settings):
    """One deployment's scaling. The defaults were measured for requests that wait for a vendor."""

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Count = 2
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 16
    max_ongoing_requests: Count = 64
    max_queued_requests: Annotated[int, Field(ge=-1)] = 64
    num_cpus: Annotated[float, Field(gt=0)] = 0.1
    metrics_interval_s: Seconds = 1
    look_back_period_s: Seconds = 4
    upscale_delay_s: Annotated[float, Field(ge=0)] = 1
    downscale_delay_s: Annotated[float, Field(ge=0)] = 60
    policy: Annotated[str, Field(pattern=POLICY)] = "ray"
    """`ray` for Ray's own policy, `rooms-ahead`, or a custom policy as `module:attribute`."""
    rooms_ahead: RoomsAheadSettings = RoomsAheadSettings()
    """The settings of `rooms-ahead`."""

    @model_validator(mode="after")
    def _bounds(self) -> ScalingSettings:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self


class RouterScaling(ScalingSettings):
    """The router never scales to zero: it is the address of all clients."""

    min_replicas: Count = 1
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 64
    max_ongoing_requests: Count = 512


BudgetShare = Annotated[float, Field(gt=0, le=1)]
"""A share of a budget that raises an alert."""


class WebhookSettings(Settings):
    """The receiver of the budget alerts, in the form of the Standard Webhooks."""

    url: HttpUrl
    key_env: EnvironmentName = "RAYROOM_WEBHOOK_KEY"
    """The variable with the signing key: base64, with or without `whsec_` before it."""


class CostSettings(Settings):
    """The cost journal, the interval of its flushes, and the alerts of budgets."""

    journal_path: str = ".rayroom/journal.db"
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    """The aggregator's processes, each with a journal file and a part of the tenants. Fixed once a journal is begun."""
    flush_every_s: Seconds = 10
    flush_longest_backoff_s: Seconds = 60
    park_after_s: Seconds = 3_600
    """The time between two refusals of a window that was alone in its call, after which the window is parked."""
    timeout_s: Seconds = 10
    intent_grace_s: Seconds = 60
    retain_months: Count | None = None
    """Costs of older months are deleted from this machine as many months after their month; unset, they are kept."""
    budget_alerts: tuple[BudgetShare, ...] = (0.5, 0.8, 1.0)
    """The shares of a daily or monthly budget that raise an alert, once in each day or month.

    A tenant's record may have its own: `budgetAlerts`.
    """
    alert_webhook: WebhookSettings | None = None
    """Without it an alert is a line of the log."""
    simple_tier_from: Share = 0.8
    """The share of any budget from which its tenant's requests get the simple tier."""
    outbox_grace_s: Seconds = 30
    """No intent expires for so long after a start or a stall of the aggregator: settlements wait in outboxes."""


def _iana_zone(name: str) -> str:
    if name and not known_zone(name):
        raise ValueError(f"{name!r} is no IANA time zone that this machine has")
    return name


class LocalTenant(Settings):
    """A tenant of the embedded backend, for a deployment without a backend of its own."""

    name: str
    plan: str = "free"
    active: bool = True
    budget_usd: Annotated[float, Field(ge=0)] | None = None
    """The most that it may spend in a month."""
    daily_budget_usd: Annotated[float, Field(ge=0)] | None = None
    room_budget_usd: Annotated[float, Field(ge=0)] | None = None
    """The most that each of its rooms may spend in a day."""
    time_zone: Annotated[str, AfterValidator(_iana_zone)] = ""
    """The IANA name of the zone in which its days and months begin; UTC if empty."""
    budget_alerts: tuple[BudgetShare, ...] | None = None
    """The shares of its budgets that raise an alert; unset, those of `costs.budget_alerts`."""
    requests_per_minute: Count | None = None
    tools: TenantTools = TenantTools()
    """The MCP servers of its agent's tools; the embedded backend has no tools of its own."""


class BackendSettings(Settings):
    """The company's tRPC backend; without a `url`, SQLite replaces it, with the `local_tenants`."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    key_env: EnvironmentName = "RAYROOM_BACKEND_KEY"
    transformer: Literal["plain", "superjson"] = "superjson"
    timeout_s: Seconds = 5
    tenant_ttl_s: Seconds = 30
    tenant_stale_s: Seconds = 600
    """While the backend fails, tenants are served from the cache for so long."""
    when_silent: Literal["open", "closed"] = "closed"
    """After `tenant_stale_s`, `open` still serves cached tenants with their last budgets; `closed` refuses them."""
    local_path: str = ".rayroom/backend.db"
    local_tenants: dict[str, LocalTenant] = Field(
        default={"acme": LocalTenant(name="Acme", plan="pro"), "globex": LocalTenant(name="Globex")}
    )


class KeySettings(Settings):
    """The file of the generated keys; keys in the environment take precedence."""

    file: str = ".rayroom/keys.env"


class DeploymentsScaling(Settings):
    """The scaling of each of the four deployments."""

    router: RouterScaling = RouterScaling()
    vision: ScalingSettings = ScalingSettings()
    llm: ScalingSettings = ScalingSettings()
    embeddings: ScalingSettings = ScalingSettings()


class AppSettings(Settings):
    """The whole tree under the application's `args`."""

    scaling: DeploymentsScaling = DeploymentsScaling()
    vendors: dict[str, VendorSettings]
    models: tuple[OwnModel, ...] = ()
    """Models beside the shipped catalogue: name, vendor, services, tier, price, capabilities."""
    prices: tuple[AccountPrice, ...] = ()
    """Prices of this account that differ from routing/prices.toml, each from its `effective_from` on."""
    simulation: SimulationSettings = SimulationSettings()
    vision: VisionSettings
    llm: LlmSettings
    embeddings: EmbeddingsSettings
    knowledge: KnowledgeSettings = KnowledgeSettings()
    rooms: RoomSettings = RoomSettings()
    tools: ToolSettings = ToolSettings()
    costs: CostSettings = CostSettings()
    backend: BackendSettings = BackendSettings()
    keys: KeySettings = KeySettings()
    breakers: BreakerSettings = BreakerSettings()
    retries: RetrySettings = RetrySettings()
    fairness: FairnessSettings = FairnessSettings()

    def named_models(self) -> tuple[tuple[str, Service, str], ...]:
        """Return (key, service, model name) for every model that a request may reach."""
        lists: tuple[tuple[str, Service, tuple[str, ...]], ...] = (
            ("vision.simple", "vision", self.vision.simple),
            ("vision.complex", "vision", self.vision.complex),
            ("llm.simple", "llm", self.llm.simple),
            ("llm.complex", "llm", self.llm.complex),
            ("embeddings.models", "embeddings", self.embeddings.models),
        )
        return tuple((key, service, name) for key, service, names in lists for name in names)

    def model_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, _, name in self.named_models()))

    def catalogue(self) -> Catalogue:
        """Return the shipped catalogue extended by `models`, at the account's prices; raises ConfigurationError.

        The prices are those of each vendor's address, but for the rows of `prices`.
        """
        catalogue = load_catalogue().extended(self.models)
        percents = {
            model.name: self.vendors[model.vendor].price_percent
            for model in catalogue.models.values()
            if model.vendor in self.vendors
        }
        return replace(catalogue, prices=catalogue.prices.uplifted(percents).overridden(self.prices))

    def with_root(self, root: Path) -> AppSettings:
        """Return the same settings with their relative paths made absolute below `root`."""
        costs = self.costs.model_copy(update={"journal_path": str(root / self.costs.journal_path)})
        backend = self.backend.model_copy(update={"local_path": str(root / self.backend.local_path)})
        keys = self.keys.model_copy(update={"file": str(root / self.keys.file)})
        tools = self.tools.model_copy(update={"credentials_dir": str(root / self.tools.credentials_dir)})
        return self.model_copy(update={"costs": costs, "backend": backend, "keys": keys, "tools": tools})


def parse_settings(args: dict[str, Any]) -> AppSettings:
    """Return the typed settings; raises ConfigurationError naming each invalid key, its value and the allowed ones."""
    try:
        return AppSettings.model_validate(args)
    except ValidationError as error:
        raise ConfigurationError("\n".join(explain(error, "args")), "args") from None


def explain(error: ValidationError, root: str, kind: type[BaseModel] = AppSettings) -> list[str]:
    """Return a line for each invalid key of a `kind`: its path, its value unless secret, the allowed values."""
    lines = []
    for problem in errors_of(error):
        path = f"{root}.{problem.where}" if problem.loc else root
        name = next((step for step in reversed(problem.loc) if isinstance(step, str)), "")
        value_text = HIDDEN if problem.kind == "missing" else _display_value(name, problem.value)
        seen = "" if value_text == HIDDEN else f" (seen: {value_text})"
        hint = (
            " Put the key in the environment; write its variable's name here."
            if _is_pasted_key(name, problem.kind)
            else ""
        )
        allowed = f" Allowed here: {_allowed(problem.loc, kind)}." if problem.kind == "extra_forbidden" else ""
        lines.append(hide_keys(f"{path}: {problem.message}{seen}.{hint}{allowed}"))
    return lines


def _is_pasted_key(name: str, error_type: str) -> bool:
    return bool(_SECRET.search(name)) and (name.endswith("_env") or error_type == "extra_forbidden")


def _display_value(name: str, value: object) -> str:
    redacted = _redacted(name, value)
    text = HIDDEN if redacted == HIDDEN else hide_keys(re.sub(r"\s+", " ", repr(redacted)))
    return text if len(text) <= 80 else text[:77] + "..."


def _redacted(name: str, value: object) -> object:
    """Return a value with possible secrets hidden, recognised by the key's name or by the value's form."""
    if isinstance(value, dict):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, inner) for inner in value]
    # A number under a name such as `max_output_tokens` is a limit, not a token.
    number = isinstance(value, int | float) and "token" in name.lower()
    looks_secret = isinstance(value, str) and hide_keys(value) != value
    return HIDDEN if looks_secret or (_SECRET.search(name) and not number) else value


def _allowed(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """Return the allowed keys at the level of `loc`."""
    kind: Any = root
    for step in loc[:-1]:
        kind = _nested_kind(kind, str(step))
    return ", ".join(sorted(kind.model_fields)) if hasattr(kind, "model_fields") else "see its documentation"


def _nested_kind(kind: Any, step: str) -> Any:
    fields = getattr(kind, "model_fields", None)
    if fields is None or step not in fields:
        return kind
    annotation = fields[step].annotation
    inner = [kind for kind in getattr(annotation, "__args__", ()) if hasattr(kind, "model_fields")]
    return inner[0] if inner else annotation
