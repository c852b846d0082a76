"""The times for which a stopping replica waits for its answers in flight."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.config.serve_env import DEREGISTRATION_S, HARD_STOP
from cluster.config.settings import AppSettings
from cluster.rooms.forecast import Deployment
from deployments.common.settings import ServiceSettings

SETTLEMENT_S = 5.0
"""The time in which a model replica delivers its last call records."""


def grace_s(deployment: Deployment, settings: AppSettings) -> float:
    """Return a deployment's `graceful_shutdown_timeout_s`: a request in the router, or one attempt at a model."""
    match deployment:
        case "router":
            return DEREGISTRATION_S + longest_answer_s(settings)
        case "embeddings":
            return settings.embeddings.attempt_timeout_s + SETTLEMENT_S
        case "vision":
            return _longest_attempt_s(settings.vision) + SETTLEMENT_S
        case "llm":
            return _longest_attempt_s(settings.llm) + SETTLEMENT_S


def longest_answer_s(settings: AppSettings) -> float:
    """Return the longest time of a request in the router: tenant, reservation, answer and settlement."""
    answers = [limits.total_timeout_s + limits.longest_extra_s for limits in (settings.vision, settings.llm)]
    longest_s = max(*answers, settings.embeddings.total_timeout_s)
    return settings.backend.timeout_s + 2 * settings.costs.timeout_s + longest_s


def cut_after_s(settings: AppSettings, environment: Mapping[str, str]) -> float | None:
    """Return the time after which a roll-out cuts an answer at HAProxy, or None where none is longer."""
    try:
        hard_stop_s = float(environment.get(HARD_STOP, ""))
    except ValueError:
        return None
    return hard_stop_s if hard_stop_s < longest_answer_s(settings) else None


def _longest_attempt_s(limits: ServiceSettings) -> float:
    return limits.attempt_timeout_s + limits.longest_extra_s
