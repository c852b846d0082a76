"""The choice of tier and ordered targets for one request: plain values in, a decision out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from routing.capabilities import Capabilities, accepted_options, accepts_messages, refused_options
from routing.catalogue import Catalogue, Model
from routing.chat import ChatOptions, Message
from routing.complexity import Complexity
from routing.errors import BadInput, UnsupportedOption
from routing.estimates import check_fits
from routing.models import Service, Tier
from routing.share import ShareControl

AUTO = "auto"
NEARLY_SPENT = 0.95
"""The share of a budget from which a tenant gets the simple tier, to stretch the rest, where no setting names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRoutes:
    """The models of a service in order for each tier, and the score from which a turn is complex.

    `attempts` is how many of a tier's models one request may try: the first that accept it. `plan_tiers` names the
    plans whose `auto` requests always get one tier. `simple_tier_from` is the share of a budget from which its tenant
    gets the simple tier.
    """

    targets: Mapping[Tier, tuple[str, ...]]
    threshold: float
    attempts: int
    plan_tiers: Mapping[str, Tier] = field(default_factory=dict)
    simple_tier_from: float = NEARLY_SPENT


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStanding:
    """A tenant's plan, and the share of its budget that is spent, None without a budget."""

    plan: str
    budget_used: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The models to try, in order, and the reasons."""

    tier: Tier
    targets: tuple[str, ...]
    score: float
    threshold: float
    reasons: tuple[str, ...]
    stronger: tuple[str, ...] = ()
    """The complex tier's models, to be called if the answer of the simple tier shows that it failed."""


def choose(
    wanted: str,
    complexity: Complexity,
    routes: ServiceRoutes,
    service: Service,
    catalogue: Catalogue,
    *,
    share: ShareControl | None = None,
    standing: TenantStanding | None = None,
    today: dt.date | None = None,
) -> Decision:
    """Return the decision for a request whose `model` is `auto`, a tier's name, or a catalogue name.

    An explicit model is tried alone, without a fallback. The next rules are a budget nearly spent, an explicit tier
    and the plan. If no rule applies, `share` decides, or the fixed threshold if `share` is None.
    Raises UnknownModel, RetiredModel (with `today`) or BadInput.
    """
    if wanted not in (AUTO, *Tier):
        return _explicit(wanted, complexity, routes, service, catalogue, share, today)
    rule = _rule(wanted, routes, standing)
    if rule is not None:
        tier, reason = rule
        if share is not None:
            share.ruled(reason, tier)
        return _decision(tier, routes, complexity.score, routes.threshold, (reason,))
    if share is None:
        tier = Tier.COMPLEX if complexity.score >= routes.threshold else Tier.SIMPLE
        return _scored(_decision(tier, routes, complexity.score, routes.threshold, complexity.reasons), routes)
    verdict = share.decide(complexity.score)
    tier = Tier.COMPLEX if verdict.complex else Tier.SIMPLE
    if verdict.capped:
        reasons = (*complexity.reasons, "share spent")
        return _decision(tier, routes, complexity.score, verdict.threshold, reasons)
    return _scored(_decision(tier, routes, complexity.score, verdict.threshold, complexity.reasons), routes)


def _scored(decision: Decision, routes: ServiceRoutes) -> Decision:
    """Add the stronger models to a decision for the simple tier: no rule outranks the score there."""
    if decision.tier is Tier.COMPLEX:
        return decision
    return replace(decision, stronger=routes.targets[Tier.COMPLEX])


def _explicit(
    wanted: str,
    complexity: Complexity,
    routes: ServiceRoutes,
    service: Service,
    catalogue: Catalogue,
    share: ShareControl | None,
    today: dt.date | None,
) -> Decision:
    model = catalogue.get(wanted) if today is None else catalogue.serving(wanted, today)
    if service not in model.services:
        raise BadInput(f"The model {model.name} does not answer {service} requests.", "model")
    if share is not None:
        share.ruled("explicit model", model.tier)
    return Decision(
        tier=model.tier,
        targets=(model.name,),
        score=complexity.score,
        threshold=routes.threshold,
        reasons=("explicit model",),
    )


def _rule(wanted: str, routes: ServiceRoutes, standing: TenantStanding | None) -> tuple[Tier, str] | None:
    """Return the tier that a rule above the score sets, and the rule; None if no rule applies."""
    if standing is not None and standing.budget_used is not None and standing.budget_used >= routes.simple_tier_from:
        return Tier.SIMPLE, "budget nearly spent"
    if wanted != AUTO:
        return Tier(wanted), "explicit tier"
    if standing is not None and standing.plan in routes.plan_tiers:
        return routes.plan_tiers[standing.plan], "plan"
    return None


def _decision(tier: Tier, routes: ServiceRoutes, score: float, threshold: float, reasons: tuple[str, ...]) -> Decision:
    return Decision(tier=tier, targets=routes.targets[tier], score=score, threshold=threshold, reasons=reasons)


def first_models(decision: Decision, attempts: int) -> Decision:
    """Return the decision with its first models only: as many as one request may try."""
    return replace(decision, targets=decision.targets[:attempts], stronger=decision.stronger[:attempts])


def with_image_models(
    decision: Decision, catalogue: Catalogue, messages: Sequence[Message], today: dt.date
) -> Decision:
    """Return the decision with only the targets that embed pictures, if a message has one; raises BadInput."""
    if not any(message.images for message in messages):
        return decision
    targets = _image_models(decision, catalogue, today)
    if not targets:
        raise BadInput(f"{decision.targets[0]} embeds text only.", "input")
    return replace(decision, targets=targets)


def without_images(decision: Decision, catalogue: Catalogue, message: Message, today: dt.date) -> Message:
    """Return the message without its pictures if no target embeds pictures."""
    return message if _image_models(decision, catalogue, today) else replace(message, content=(message.text,))


def _image_models(decision: Decision, catalogue: Catalogue, today: dt.date) -> tuple[str, ...]:
    """Return the targets that embed pictures: the price table has a price for their pixels."""
    return tuple(name for name in decision.targets if catalogue.price(name, today).image_px_pico is not None)


def with_token_models(decision: Decision, catalogue: Catalogue, inputs: Sequence[Message]) -> Decision:
    """Return the decision with only the targets that take token ids, if an input has them; raises BadInput."""
    if not any(message.token_ids for message in inputs):
        return decision
    targets = _targets(decision, catalogue, lambda model: model.token_ids)
    if not targets:
        # LangChain sends the ids of OpenAI's tokenizer unless it is told not to.
        raise BadInput(
            f"{decision.targets[0]} embeds texts, not token ids; LangChain sends texts with"
            " check_embedding_ctx_length=False.",
            "input",
        )
    return replace(decision, targets=targets)


def with_dimensions(
    decision: Decision, catalogue: Catalogue, dimensions: int | None, drop_params: bool = False
) -> tuple[Decision, int | None]:
    """Return the decision with only the targets that make vectors of this size, and the size.

    The size is None if no target has it and `drop_params` allows that; otherwise raises UnsupportedOption.
    """
    if dimensions is None:
        return decision, None
    targets = _targets(decision, catalogue, lambda model: has_dimensions(model, dimensions))
    if not targets and drop_params:
        return decision, None
    if not targets:
        model = catalogue.get(decision.targets[0])
        sizes = ", ".join(map(str, sorted({model.dimensions or 0, *model.dimension_choices})))
        raise UnsupportedOption(f"{model.name} does not support these dimensions; it has {sizes}.", "dimensions")
    return replace(decision, targets=targets), dimensions


def has_dimensions(model: Model, dimensions: int) -> bool:
    """Return whether a model may be asked for vectors of this size; an own model of unknown size may."""
    return model.dimensions is None or dimensions == model.dimensions or dimensions in model.dimension_choices


def _targets(decision: Decision, catalogue: Catalogue, accepts: Callable[[Model], bool]) -> tuple[str, ...]:
    return tuple(name for name in decision.targets if accepts(catalogue.get(name)))


def within_limits(
    decision: Decision,
    catalogue: Catalogue,
    messages: Sequence[Message],
    output_tokens: int,
    longest_input_tokens: int | None = None,
    output_field: str = "max_tokens",
    options: ChatOptions | None = None,
) -> Decision:
    """Return the decision with only the targets that can take the request.

    Raises BadInput or ContextTooLong if none can.
    """
    fits, refusal = [], None
    for name in decision.targets:
        try:
            check_fits(catalogue.get(name), messages, output_tokens, longest_input_tokens, output_field, options)
            fits.append(name)
        except BadInput as error:
            refusal = refusal or error
    if not fits and refusal is not None:
        raise refusal
    return replace(decision, targets=tuple(fits))


def within_capabilities(
    decision: Decision,
    catalogue: Catalogue,
    options: ChatOptions,
    messages: Sequence[Message],
    drop_params: bool = False,
) -> Decision:
    """Return the decision with only the targets and stronger models that accept the messages and the options.

    With `drop_params` a model that refuses an option only stays. An assistant's message at the end cannot be dropped.
    Raises UnsupportedOption, for the first target, if no target accepts the request.
    """
    rules = {name: catalogue.get(name).capabilities for name in (*decision.targets, *decision.stronger)}
    targets = _accepting(decision.targets, rules, options, messages, drop_params)
    if not targets and decision.targets:
        _refuse(decision.targets[0], rules[decision.targets[0]], options, messages)
    stronger = _accepting(decision.stronger, rules, options, messages, drop_params)
    return replace(decision, targets=targets, stronger=stronger)


def _accepting(
    names: Sequence[str],
    rules: Mapping[str, Capabilities],
    options: ChatOptions,
    messages: Sequence[Message],
    drop_params: bool,
) -> tuple[str, ...]:
    return tuple(
        name
        for name in names
        if accepts_messages(rules[name], messages) and (drop_params or not refused_options(rules[name], options))
    )


def _refuse(name: str, rules: Capabilities, options: ChatOptions, messages: Sequence[Message]) -> None:
    """Raise the UnsupportedOption of one model."""
    if not accepts_messages(rules, messages):
        raise UnsupportedOption(f"{name} does not continue a message of the assistant.", "messages")
    accepted_options(name, rules, options, drop=False)
