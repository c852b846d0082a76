"""Assemble the Serve application: `cluster.app:build` is the `import_path` of serve_config.yaml."""

from __future__ import annotations

import datetime as dt
import os
import time
import warnings
from pathlib import Path
from typing import Any

import structlog
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from cluster.aggregator.autoscaling_policy import autoscaling_policy
from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import aggregator_settings
from cluster.backend.factory import CachedDirectory, check_backend
from cluster.backend.webhook import check_webhook
from cluster.config.grace import cut_after_s, grace_s
from cluster.config.keys import KeyFile, find_keys
from cluster.config.serve_env import HARD_STOP, fast_path_missing
from cluster.config.settings import AppSettings, ScalingSettings, parse_settings
from cluster.config.timeouts import check_timeouts
from cluster.costs.storage.shard_files import refuse_other_shards
from cluster.rooms.forecast import Deployment
from deployments.common.settings import VendorSettings
from deployments.embeddings import Embeddings
from deployments.gateway.models import GatewaySettings
from deployments.llm import Llm
from deployments.providers.registry import check_vendor
from deployments.providers.simulated import published_p99_s
from deployments.router import Router
from deployments.vision import Vision
from routing.catalogue import Catalogue
from routing.errors import ConfigurationError
from routing.models import Service
from routing.process import configure_logs
from routing.telemetry.trace_export import trace_share

log = structlog.get_logger()


def build(args: dict[str, Any]) -> Application:
    """Return the bound application for the `args` of serve_config.yaml; raises ConfigurationError naming the key."""
    configure_logs()
    trace_share(os.environ)
    settings = parse_settings(args).with_root(Path.cwd())
    check(settings)
    key_file = Path(settings.keys.file)
    # Read here for its errors alone: each replica reads its own, and none stands in Serve's checkpoint.
    find_keys(os.environ, key_file)
    aggregator = AggregatorClient(
        aggregator_settings(settings.costs, settings.backend, environment=os.environ, now_s=time.time())
    )
    catalogue = settings.catalogue()

    def model_args(service: Service) -> tuple[Any, ...]:
        vendors = _vendors_of(service, settings, catalogue)
        return vendors, settings.simulation, catalogue, aggregator.call_records()

    _log_configuration(settings)
    router: Application = Router.options(**_options("router", settings)).bind(  # type: ignore[attr-defined]
        _gateway_settings(settings),
        catalogue,
        KeyFile(key_file),
        aggregator,
        CachedDirectory(settings.backend),
        Vision.options(**_options("vision", settings)).bind(*model_args("vision")),
        Llm.options(**_options("llm", settings)).bind(*model_args("llm")),
        Embeddings.options(**_options("embeddings", settings)).bind(*model_args("embeddings")),
    )
    return router


def check(settings: AppSettings) -> None:
    """Check the settings across keys: timeouts, models, vendors, backend, shards; raises ConfigurationError."""
    check_timeouts(settings)
    for warning in check_models(settings):
        log.warning("model retires soon", detail=warning)
    for name, vendor_settings in settings.vendors.items():
        check_vendor(name, vendor_settings)
    check_backend(settings.backend, os.environ)
    check_webhook(settings.costs.alert_webhook, os.environ)
    refuse_other_shards(Path(settings.costs.journal_path), settings.costs.shards)


def check_models(settings: AppSettings) -> list[str]:
    """Return a warning for each model that retires soon; raises ConfigurationError naming the key of an invalid one."""
    catalogue, warnings = settings.catalogue(), check_named(settings)
    for name in settings.model_names():
        vendor = catalogue.get(name).vendor
        if vendor not in settings.vendors:
            raise ConfigurationError(f"args.vendors: {name} needs a row named {vendor}.", "vendors")
    return warnings


def check_named(settings: AppSettings) -> list[str]:
    """Return the warnings of `check_models` without requiring a row for each model's vendor."""
    catalogue, today = settings.catalogue(), dt.datetime.now(dt.UTC).date()
    warnings = []
    for key, service, name in settings.named_models():
        try:
            warnings += catalogue.check([name], today)
        except ConfigurationError as error:
            raise ConfigurationError(f"args.{key}: {error.message}", key) from None
        model = catalogue.get(name)
        if service not in model.services:
            raise ConfigurationError(f"args.{key}: {name} answers {', '.join(model.services)}, not {service}.", key)
    return list(dict.fromkeys(warnings))


def _vendors_of(service: Service, settings: AppSettings, catalogue: Catalogue) -> dict[str, VendorSettings]:
    """Return the vendors with models that serve `service`, so that no replica imports an SDK it never uses."""
    needed = {model.vendor for model in catalogue.models.values() if service in model.services}
    return {name: vendor for name, vendor in settings.vendors.items() if name in needed}


def _gateway_settings(settings: AppSettings) -> GatewaySettings:
    return GatewaySettings(
        vision=settings.vision,
        llm=settings.llm,
        embeddings=settings.embeddings,
        rooms=settings.rooms,
        simulated_vendors=frozenset(name for name, vendor in settings.vendors.items() if vendor.simulated),
        intent_grace_s=settings.costs.intent_grace_s,
        breakers=settings.breakers,
        retries=settings.retries,
        fairness=settings.fairness,
        knowledge=settings.knowledge,
        tools=settings.tools,
        simple_tier_from=settings.costs.simple_tier_from,
        scaled_to_zero=frozenset(
            name for name in ("vision", "llm", "embeddings") if getattr(settings.scaling, name).min_replicas == 0
        ),
        first_token_p99_s=published_p99_s(settings.catalogue().models),
    )


def autoscaling_config(deployment: Deployment, scaling: ScalingSettings) -> AutoscalingConfig:
    """Return one deployment's AutoscalingConfig; raises ConfigurationError for a policy that does not import."""
    with warnings.catch_warnings():
        # Ray 2.60 deprecates metrics_interval_s, but ignores the option that replaces it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            policy=autoscaling_policy(deployment, scaling),
            min_replicas=scaling.min_replicas,
            max_replicas=scaling.max_replicas,
            target_ongoing_requests=scaling.target_ongoing_requests,
            metrics_interval_s=scaling.metrics_interval_s,
            look_back_period_s=scaling.look_back_period_s,
            upscale_delay_s=scaling.upscale_delay_s,
            downscale_delay_s=scaling.downscale_delay_s,
        )


def _options(deployment: Deployment, settings: AppSettings) -> dict[str, Any]:
    """Return one deployment's Serve options."""
    scaling: ScalingSettings = getattr(settings.scaling, deployment)
    return {
        "autoscaling_config": autoscaling_config(deployment, scaling),
        "max_ongoing_requests": scaling.max_ongoing_requests,
        "max_queued_requests": scaling.max_queued_requests,
        "ray_actor_options": {"num_cpus": scaling.num_cpus},
        "health_check_period_s": 5,
        "graceful_shutdown_timeout_s": grace_s(deployment, settings),
    }


def _log_configuration(settings: AppSettings) -> None:
    simulated = sorted(name for name, vendor in settings.vendors.items() if vendor.simulated)
    if simulated:
        log.warning("vendors simulated: their answers and their bill are not real", vendors=simulated)
    if settings.backend.url is None:
        log.warning("backend.url unset: SQLite replaces the backend", tenants=sorted(settings.backend.local_tenants))
    cut_s = cut_after_s(settings, os.environ)
    if cut_s is not None:
        log.warning("answers cut by roll-outs: longer ones are allowed", variable=HARD_STOP, seconds=cut_s)
    missing = fast_path_missing(os.environ)
    if missing:
        log.warning(
            "Serve's fast path disabled: about a quarter of the throughput, and frames lost above 120 rooms;"
            " start with `rayroom serve`",
            missing=missing,
        )
