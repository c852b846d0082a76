"""Assembles the application: the `import_path` of serve_config.yaml."""

from __future__ import annotations

import datetime as dt
import os
import warnings
from pathlib import Path
from typing import Any

import structlog
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from cluster.aggregator.actor import AggregatorClient
from cluster.aggregator.autoscaling_policy import autoscaling_policy
from cluster.backend.factory import CachedDirectory, check_backend
from cluster.config.keys import find_keys
from cluster.config.serve_env import fast_path_missing
from cluster.config.settings import AppSettings, ScalingSettings, parse_settings
from cluster.rooms.forecast import Deployment
from deployments.common.settings import VendorSettings
from deployments.embeddings import Embeddings
from deployments.gateway.models import GatewaySettings
from deployments.llm import Llm
from deployments.providers.registry import check_vendor
from deployments.router import Router
from deployments.vision import Vision
from routing.catalogue import Catalogue
from routing.errors import ConfigurationError
from routing.logs import configure_logs
from routing.models import Service

log = structlog.get_logger()


def build(args: dict[str, Any]) -> Application:
    """Return the bound application for the `args` of serve_config.yaml; raises ConfigurationError naming the key."""
    configure_logs()
    settings = parse_settings(args).below(Path.cwd())
    check(settings)
    keys = find_keys(os.environ, Path(settings.keys.file))
    world = AggregatorClient(settings.costs, settings.backend)
    catalogue = settings.catalogue()
    scaling = settings.scaling

    def leaf(service: Service) -> tuple[Any, ...]:
        return _vendors_of(service, settings, catalogue), settings.simulation, catalogue

    _say_what_runs(settings)
    router: Application = Router.options(**_options("router", scaling.router)).bind(  # type: ignore[attr-defined]
        _gateway_settings(settings),
        catalogue,
        keys,
        world,
        CachedDirectory(settings.backend),
        Vision.options(**_options("vision", scaling.vision)).bind(*leaf("vision")),
        Llm.options(**_options("llm", scaling.llm)).bind(*leaf("llm")),
        Embeddings.options(**_options("embeddings", scaling.embeddings)).bind(*leaf("embeddings")),
    )
    return router


def check(settings: AppSettings) -> None:
    """Check what one key alone cannot tell: models, prices, vendors, backend; raises ConfigurationError."""
    for warning in check_models(settings):
        log.warning("a model retires soon", detail=warning)
    for name, vendor_settings in settings.vendors.items():
        check_vendor(name, vendor_settings)
    check_backend(settings.backend, os.environ)


def check_models(settings: AppSettings) -> list[str]:
    """Return a warning for each model that retires soon; raises ConfigurationError naming the key of a wrong one."""
    catalogue, warnings = settings.catalogue(), check_named(settings)
    for name in settings.model_names():
        vendor = catalogue.get(name).vendor
        if vendor not in settings.vendors:
            raise ConfigurationError(f"args.vendors: {name} needs a row named {vendor}.", "vendors")
    return warnings


def check_named(settings: AppSettings) -> list[str]:
    """Check as `check_models` does, whether or not the models' vendors have rows."""
    catalogue, today = settings.catalogue(), dt.datetime.now(dt.UTC).date()
    warnings = []
    for key, service, name in settings.asked():
        try:
            warnings += catalogue.check([name], today)
        except ConfigurationError as error:
            raise ConfigurationError(f"args.{key}: {error.message}", key) from None
        model = catalogue.get(name)
        if service not in model.services:
            raise ConfigurationError(f"args.{key}: {name} answers {', '.join(model.services)}, not {service}.", key)
    return list(dict.fromkeys(warnings))


def _vendors_of(service: Service, settings: AppSettings, catalogue: Catalogue) -> dict[str, VendorSettings]:
    """Return the vendors whose models answer a service: no replica imports an SDK that it never uses."""
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
    )


def autoscaling_config(deployment: Deployment, scaling: ScalingSettings) -> AutoscalingConfig:
    """Return how Serve scales one deployment; raises ConfigurationError for a policy that does not import."""
    with warnings.catch_warnings():
        # Ray 2.60 calls metrics_interval_s deprecated, and reads nothing of what is to replace it.
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


def _options(deployment: Deployment, scaling: ScalingSettings) -> dict[str, Any]:
    """Return one deployment's Serve options."""
    return {
        "autoscaling_config": autoscaling_config(deployment, scaling),
        "max_ongoing_requests": scaling.max_ongoing_requests,
        "max_queued_requests": scaling.max_queued_requests,
        "ray_actor_options": {"num_cpus": scaling.num_cpus},
        "health_check_period_s": 5,
        "graceful_shutdown_timeout_s": 10,
    }


def _say_what_runs(settings: AppSettings) -> None:
    simulated = sorted(name for name, vendor in settings.vendors.items() if vendor.simulated)
    if simulated:
        log.warning("SIMULATED vendors: their answers and their bill are not real", vendors=simulated)
    if settings.backend.url is None:
        log.warning("no backend.url: SQLite stands in for the backend", tenants=sorted(settings.backend.local_tenants))
    missing = fast_path_missing(os.environ)
    if missing:
        log.warning(
            "Ray's fast path is off: about four times fewer requests a second, and frames lost above 120 rooms;"
            " start with `rayroom serve`",
            missing=missing,
        )
