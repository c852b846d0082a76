"""Price rows and the cost of usage in nano-dollars, computed in integers and rounded once."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator

from routing.errors import ConfigurationError
from routing.models import Usage
from routing.validation import parse_row

PICO_PER_NANO = 1_000
PERCENT = 100
_INSTEAD = {
    "cached_input_pico": "input_pico",
    "cache_write_pico": "input_pico",
    "cache_write_1h_pico": "cache_write_pico",
}
"""The unit whose price is charged where a unit has none of its own."""
_STANDARD_TIERS = frozenset({"auto", "default", "standard", "standard_only", "unspecified", "on_demand"})
_SAME_TIERS = {"fast": "priority"}
"""Newer names of a tier. OpenAI calls its priority processing fast since October 2026."""


class Rates(BaseModel):
    """The price of each unit, in pico-dollars. A unit without a price is None: unknown, not free.

    Cached and cache-written tokens without a price of their own cost as much as any input token, and tokens written for
    an hour as much as others that are written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_pico: NonNegativeInt | None = None
    cached_input_pico: NonNegativeInt | None = None
    cache_write_pico: NonNegativeInt | None = None
    cache_write_1h_pico: NonNegativeInt | None = None
    output_pico: NonNegativeInt | None = None
    image_px_pico: NonNegativeInt | None = None
    audio_ms_pico: NonNegativeInt | None = None
    character_pico: NonNegativeInt | None = None

    def pico(self, unit: str, model: str) -> int:
        """Return the price of one `unit`; raises ConfigurationError where there is none."""
        pico: int | None = getattr(self, unit)
        if pico is not None:
            return pico
        if unit not in _INSTEAD:
            raise ConfigurationError(f"prices.toml: the row of {model} has no {unit}.", unit)
        return self.pico(_INSTEAD[unit], model)


class LongRates(Rates):
    """The rates of a long prompt: vendors charge the whole prompt at these, not only the part above the limit."""

    above_input_tokens: PositiveInt


class TierRates(Rates):
    """The rates of a service tier: hundredths of the row's, long prompts included, but for the units that it names."""

    percent: PositiveInt


class Price(Rates):
    """One row of prices.toml."""

    model: str
    effective_from: dt.date
    source: str
    long: LongRates | None = None
    tiers: dict[str, TierRates] = {}
    """The tiers that are not priced as the standard one, by the vendor's name in lower case."""
    percent: PositiveInt = 100
    """Hundredths of the rates that are charged, such as 110 where a vendor's regional endpoint costs a tenth more."""
    differs: dict[str, str] = {}
    """The rates in which another published table differs from this row, and the reasons."""

    @model_validator(mode="after")
    def _has_whole_rates(self) -> Price:
        for name, tier in self.tiers.items():
            for rates in (self, self.long or self):
                for unit in sorted(Rates.model_fields):
                    pico = getattr(rates, unit)
                    if pico is not None and getattr(tier, unit) is None and pico * tier.percent % 100:
                        raise ValueError(f"tier {name}: {unit} {pico} x {tier.percent} % is no whole number")
        return self

    @property
    def version(self) -> str:
        uplift = f"x{self.percent}%" if self.percent != PERCENT else ""
        return f"{self.model}@{self.effective_from.isoformat()}{uplift}"

    def cost_nanousd(self, usage: Usage, service_tier: str | None = None) -> int:
        """Return the price of `usage` as the vendor served it; raises ConfigurationError for a unit without a price.

        None is the standard tier. A tier that the row does not know costs as much as its dearest one, so that an
        unknown tier is never billed below the standard.
        """
        return max(self._cost_nanousd(usage, tier) for tier in self._tiers_of(service_tier))

    def knows_tier(self, service_tier: str | None) -> bool:
        """Return whether the price of the tier is known, or that it is the standard tier."""
        return _tier_name(service_tier) in (None, *self.tiers)

    def _tiers_of(self, service_tier: str | None) -> tuple[TierRates | None, ...]:
        """Return the tiers of which the dearest is billed; None is the standard."""
        name = _tier_name(service_tier)
        if name is None:
            return (None,)
        return (self.tiers[name],) if name in self.tiers else (None, *self.tiers.values())

    def _cost_nanousd(self, usage: Usage, tier: TierRates | None) -> int:
        rates = self.rates(usage.input_tokens)
        plain_tokens = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
        pico = sum(
            units * self._unit_pico(unit, rates, tier)
            for unit, units in (
                ("input_pico", plain_tokens),
                ("cached_input_pico", usage.cached_input_tokens),
                ("cache_write_pico", usage.cache_write_tokens - usage.cache_write_1h_tokens),
                ("cache_write_1h_pico", usage.cache_write_1h_tokens),
                ("output_pico", usage.output_tokens),
                ("image_px_pico", usage.image_px),
                ("audio_ms_pico", usage.audio_ms),
                ("character_pico", usage.characters),
            )
            if units
        )
        return round_half_even(pico * self.percent, PICO_PER_NANO * PERCENT)

    def _unit_pico(self, unit: str, rates: Rates, tier: TierRates | None) -> int:
        if tier is None:
            return rates.pico(unit, self.model)
        own: int | None = getattr(tier, unit) if rates is self else None
        if own is None and getattr(rates, unit) is None and unit in _INSTEAD:
            return self._unit_pico(_INSTEAD[unit], rates, tier)
        return rates.pico(unit, self.model) * tier.percent // 100 if own is None else own

    def rates(self, input_tokens: int) -> Rates:
        """Return the standard rates for a request with this many input tokens."""
        return self if self.long is None or input_tokens <= self.long.above_input_tokens else self.long


class AccountPrice(Price):
    """A row of the configuration's `prices`: the price that an account has agreed with its vendor."""

    source: str = "the configuration"

    @property
    def version(self) -> str:
        return f"{super().version}+account"


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table: for each model its rows, oldest first."""

    rows: tuple[Price, ...]

    def of(self, model: str, day: dt.date) -> Price:
        """Return the row of `model` in force on `day`; raises ConfigurationError."""
        known = [row for row in self.rows if row.model == model and row.effective_from <= day]
        if not known:
            raise ConfigurationError(f"prices.toml has no row for {model} on {day.isoformat()}.", model)
        return known[-1]

    def uplifted(self, percent_of_models: Mapping[str, int]) -> Prices:
        """Return the table in which the rows of these models are charged at hundredths of their rates."""
        return Prices(
            tuple(row.model_copy(update={"percent": percent_of_models.get(row.model, PERCENT)}) for row in self.rows)
        )

    def overridden(self, account: Sequence[AccountPrice]) -> Prices:
        """Return the table in which each row of the account replaces the shipped ones from its day on.

        Raises ConfigurationError with the key of a row for an unknown model, a day twice, or a unit without a price.
        """
        rows = list(self.rows)
        for index, new in enumerate(account):
            shipped = [row for row in self.rows if row.model == new.model]
            _check_override(f"prices.{index}", new, shipped, account[:index])
            rows = [row for row in rows if row.model != new.model or row.effective_from < new.effective_from]
            rows.append(new)
        return Prices(_ordered(rows))


def _check_override(where: str, new: AccountPrice, shipped: Sequence[Price], earlier: Sequence[AccountPrice]) -> None:
    if not shipped:
        raise ConfigurationError(f"{where}.model: no model {new.model!r} has a price to override.", f"{where}.model")
    if any(row.model == new.model and row.effective_from >= new.effective_from for row in earlier):
        message = f"{where}.effective_from: the rows of {new.model} must follow one another by their days."
        raise ConfigurationError(message, f"{where}.effective_from")
    for unit in Rates.model_fields:
        needed = unit not in _INSTEAD and getattr(shipped[-1], unit) is not None
        if needed and getattr(new, unit) is None:
            raise ConfigurationError(f"{where}.{unit}: {new.model} is priced by it too.", f"{where}.{unit}")


def _tier_name(service_tier: str | None) -> str | None:
    """Return the name under which rows hold a tier; None for the standard tier."""
    name = (service_tier or "standard").lower()
    return None if name in _STANDARD_TIERS else _SAME_TIERS.get(name, name)


def round_half_even(value: int, step: int) -> int:
    """Return `value / step` as an integer, ties to the even one."""
    whole, rest = divmod(value, step)
    return whole + (2 * rest > step or (2 * rest == step and whole % 2 == 1))


def load_prices(text: str | None = None) -> Prices:
    """Read the shipped table, or `text`; raises ConfigurationError naming the row."""
    content = text if text is not None else resources.files("routing").joinpath("prices.toml").read_text("utf-8")
    rows = [
        parse_row(Price, raw, f"prices.toml: row {index + 1} ({raw.get('model')})")
        for index, raw in enumerate(tomllib.loads(content).get("price", []))
    ]
    seen: set[tuple[str, dt.date]] = set()
    for index, row in enumerate(rows):
        if (row.model, row.effective_from) in seen:
            message = f"prices.toml: row {index + 1} ({row.model}): another row begins on {row.effective_from} too."
            raise ConfigurationError(message, "effective_from")
        seen.add((row.model, row.effective_from))
    return Prices(_ordered(rows))


def _ordered(rows: Sequence[Price]) -> tuple[Price, ...]:
    return tuple(sorted(rows, key=lambda row: (row.model, row.effective_from)))
