"""Turns what a room heard and spoke into cost events: each id once, at its day's price. Writes nothing itself."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from deployments.api.auth import RoomToken
from deployments.api.schemas import SpeechUsageItem
from deployments.providers.base import served_name
from routing.catalogue import Catalogue, Model
from routing.errors import BadInput, ConfigurationError
from routing.models import Intent, Outcome, Settlement, Usage
from routing.prices import Price

FUTURE_S = 86_400.0
"""How far an agent's clock may be ahead of ours: prices change by the day."""
_EVENTS = uuid.UUID("5b0f4b0e-3c5d-5c0f-8a55-2b1f4c3f9a27")


class SpeechMetering:
    """Prices what agents report. What they report is spent, so no budget is asked."""

    def __init__(self, catalogue: Catalogue, simulated: frozenset[str], grace_s: float) -> None:
        self._catalogue = catalogue
        self._simulated = simulated
        self._grace_s = grace_s

    def entries(
        self, token: RoomToken, usage: Sequence[SpeechUsageItem], now_s: float
    ) -> tuple[Intent | Settlement, ...]:
        """Return an intent and its settlement for each event; raises BadInput naming the first wrong field of any."""
        return tuple(
            entry for index, one in enumerate(usage) for entry in self._pair(token, one, f"usage.{index}", now_s)
        )

    def _pair(self, token: RoomToken, one: SpeechUsageItem, where: str, now_s: float) -> tuple[Intent, Settlement]:
        model, units = self._model(one, f"{where}.model"), _units(one, where)
        price = self._price(model, one, f"{where}.occurred_at", now_s)
        cost_nanousd, simulated = price.cost_nanousd(units), model.vendor in self._simulated
        event_id = str(uuid.uuid5(_EVENTS, f"{token.tenant_id}|{token.job_id}|{one.id}"))
        intent = Intent(
            event_id=event_id,
            tenant_id=token.tenant_id,
            room=token.name.room,
            service=one.service,
            vendor=model.vendor,
            model=served_name(model, simulated),
            price_version=price.version,
            estimate_nanousd=cost_nanousd,
            budget_nanousd=None,
            simulated=simulated,
            opened_at_s=one.occurred_at,
            expires_at_s=now_s + self._grace_s,
        )
        settlement = Settlement(
            event_id=event_id,
            outcome=Outcome.OK,
            cost_nanousd=cost_nanousd,
            estimated=one.estimated,
            usage=units,
            settled_at_s=now_s,
        )
        return intent, settlement

    def _model(self, one: SpeechUsageItem, where: str) -> Model:
        # A retired one too: it has answered, so it is owed.
        model = self._catalogue.models.get(one.model)
        if model is None or one.service not in model.services:
            known = sorted(name for name, row in self._catalogue.models.items() if one.service in row.services)
            raise BadInput(f"{where}: is no {one.service} model of the catalogue. Known: {', '.join(known)}.", where)
        return model

    def _price(self, model: Model, one: SpeechUsageItem, where: str, now_s: float) -> Price:
        if one.occurred_at > now_s + FUTURE_S:
            raise BadInput(f"{where}: lies in the future.", where)
        try:
            return self._catalogue.price(model.name, dt.datetime.fromtimestamp(one.occurred_at, dt.UTC).date())
        except ConfigurationError:
            raise BadInput(f"{where}: {model.name} had no price on that day.", where) from None


def _units(one: SpeechUsageItem, where: str) -> Usage:
    """Return what is charged: listening by the millisecond, speaking by the character, and nothing by both."""
    other = "characters" if one.service == "stt" else "audio_ms"
    if getattr(one, other):
        raise BadInput(f"{where}.{other}: {one.service} is not charged by it; leave it out.", f"{where}.{other}")
    return Usage(audio_ms=one.audio_ms, characters=one.characters)
