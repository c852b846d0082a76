"""Turn a room's speech usage into cost entries: each id once, at the price of its day."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.api.access.room_tokens import RoomToken
from deployments.api.body import participant_of
from deployments.api.room_schemas import InvalidUsageItem, SpeechUsageItem
from deployments.providers.base import served_name
from routing.catalogue import Catalogue, Model
from routing.errors import BadInput, ConfigurationError
from routing.models import Intent, Outcome, Settlement, Usage
from routing.prices import Price

FUTURE_S = 86_400.0
"""How far an agent's clock may be ahead, in seconds: prices change by the day."""
_EVENTS = uuid.UUID("5b0f4b0e-3c5d-5c0f-8a55-2b1f4c3f9a27")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideUsage:
    """A usage item that cannot be priced, so that an operator has to look at it; the rest of its room is billed."""

    id: str | None
    param: str
    """The wrong field of the request, such as `usage.3.model`."""
    message: str
    amount: int = 0
    """The milliseconds or characters; 0 where they are not valid themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedSpeech:
    """The usage of one heartbeat: the entries of the cost journal, the ids in them, and the items set aside."""

    entries: tuple[Intent | Settlement, ...]
    taken: tuple[str, ...]
    set_aside: tuple[SetAsideUsage, ...]


class SpeechMetering:
    """Prices the usage that agents report. It has already been spent, so no budget is checked."""

    def __init__(self, catalogue: Catalogue, simulated: frozenset[str], grace_s: float) -> None:
        self._catalogue = catalogue
        self._simulated = simulated
        self._grace_s = grace_s

    def price(
        self,
        token: RoomToken,
        usage: Sequence[SpeechUsageItem | InvalidUsageItem],
        now_s: float,
        participants: Mapping[str, str] | None = None,
    ) -> PricedSpeech:
        """Return an intent and its settlement for each item that can be priced, and the others set aside.

        `participants` holds the speakers by the ids of their items.
        """
        speakers = participants or {}
        entries, taken, set_aside = list[Intent | Settlement](), dict[str, None](), list[SetAsideUsage]()
        for index, item in enumerate(usage):
            where = f"usage.{index}"
            if isinstance(item, InvalidUsageItem):
                param = where if item.param is None else f"{where}.{item.param}"
                set_aside.append(SetAsideUsage(id=item.id, param=param, message=f"{param}: {item.problem}"))
                continue
            try:
                entries += self._pair(token, item, where, now_s, participant_of(speakers.get(item.id)))
                taken[item.id] = None
            except BadInput as error:
                amount = item.audio_ms or item.characters
                set_aside.append(
                    SetAsideUsage(id=item.id, param=error.param or where, message=error.message, amount=amount)
                )
        return PricedSpeech(entries=tuple(entries), taken=tuple(taken), set_aside=tuple(set_aside))

    def _pair(
        self, token: RoomToken, item: SpeechUsageItem, where: str, now_s: float, participant: str
    ) -> tuple[Intent, Settlement]:
        model, units = self._model(item, f"{where}.model"), _units(item, where)
        price = self._price(model, item, f"{where}.occurred_at", now_s)
        cost_nanousd, simulated = price.cost_nanousd(units), model.vendor in self._simulated
        event_id = str(uuid.uuid5(_EVENTS, f"{token.tenant_id}|{token.job_id}|{item.id}"))
        intent = Intent(
            event_id=event_id,
            tenant_id=token.tenant_id,
            room=token.name.room,
            service=item.service,
            vendor=model.vendor,
            model=served_name(model, simulated),
            price_version=price.version,
            estimate_nanousd=cost_nanousd,
            budget_nanousd=None,
            simulated=simulated,
            opened_at_s=item.occurred_at,
            participant=participant,
            lifetime_s=self._grace_s,
        )
        settlement = Settlement(
            event_id=event_id,
            outcome=Outcome.OK,
            cost_nanousd=cost_nanousd,
            estimated=item.estimated,
            usage=units,
            tenant_id=intent.tenant_id,
        )
        return intent, settlement

    def _model(self, item: SpeechUsageItem, where: str) -> Model:
        # A retired model counts too: it has served the request, so its cost is owed.
        model = self._catalogue.models.get(item.model)
        if model is None or item.service not in model.services:
            known = sorted(name for name, row in self._catalogue.models.items() if item.service in row.services)
            raise BadInput(f"{where}: is no {item.service} model of the catalogue. Known: {', '.join(known)}.", where)
        return model

    def _price(self, model: Model, item: SpeechUsageItem, where: str, now_s: float) -> Price:
        if item.occurred_at > now_s + FUTURE_S:
            raise BadInput(f"{where}: lies more than a day in the future.", where)
        try:
            return self._catalogue.price(model.name, dt.datetime.fromtimestamp(item.occurred_at, dt.UTC).date())
        except ConfigurationError:
            raise BadInput(f"{where}: {model.name} had no price on that day.", where) from None


def _units(item: SpeechUsageItem, where: str) -> Usage:
    """Return the charged units: milliseconds of speech to text, or characters of text to speech, never both."""
    other = "characters" if item.service == "stt" else "audio_ms"
    if getattr(item, other):
        raise BadInput(f"{where}.{other}: {item.service} is not charged by it; leave it out.", f"{where}.{other}")
    return Usage(audio_ms=item.audio_ms, characters=item.characters)
