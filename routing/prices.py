"""Price rows and the cost of usage in nano-dollars, computed in integers and rounded once."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from routing.errors import ConfigurationError
from routing.models import Usage
from routing.validation import first_error

PICO_PER_NANO = 1_000
_INPUT_TOKENS = ("cached_input_pico", "cache_write_pico")


class Rates(BaseModel):
    """The price of each unit, in pico-dollars. A unit without a price is None: unknown, not free.

    Cached and cache-written tokens without a price of their own cost as much as any input token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_pico: NonNegativeInt | None = None
    cached_input_pico: NonNegativeInt | None = None
    cache_write_pico: NonNegativeInt | None = None
    output_pico: NonNegativeInt | None = None
    image_px_pico: NonNegativeInt | None = None
    audio_ms_pico: NonNegativeInt | None = None
    character_pico: NonNegativeInt | None = None

    def pico(self, unit: str, model: str) -> int:
        """Return the price of one `unit`; raises ConfigurationError where there is none."""
        pico: int | None = getattr(self, unit)
        if pico is None and unit in _INPUT_TOKENS:
            pico = self.input_pico
        if pico is None:
            raise ConfigurationError(f"prices.toml: the row of {model} has no {unit}.", unit)
        return pico


class LongRates(Rates):
    """The rates of a long prompt: vendors charge the whole prompt at these, not only the part above the limit."""

    above_input_tokens: PositiveInt


class Price(Rates):
    """One row of prices.toml."""

    model: str
    effective_from: dt.date
    source: str
    long: LongRates | None = None

    @property
    def version(self) -> str:
        return f"{self.model}@{self.effective_from.isoformat()}"

    def cost_nanousd(self, usage: Usage, service_tier: str | None = None) -> int:
        """Return the price of `usage`; raises ConfigurationError for a unit the row has no price for."""
        rates = self.rates(usage.input_tokens)
        pico = sum(
            units * rates.pico(unit, self.model)
            for unit, units in (
                ("input_pico", usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
                ("cached_input_pico", usage.cached_input_tokens),
                ("cache_write_pico", usage.cache_write_tokens),
                ("output_pico", usage.output_tokens),
                ("image_px_pico", usage.image_px),
                ("audio_ms_pico", usage.audio_ms),
                ("character_pico", usage.characters),
            )
            if units
        )
        return round_half_even(pico, PICO_PER_NANO)

    def rates(self, input_tokens: int) -> Rates:
        """Return the rates for a request with this many input tokens."""
        return self if self.long is None or input_tokens <= self.long.above_input_tokens else self.long


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


def round_half_even(value: int, step: int) -> int:
    """Return `value / step` as an integer, ties to the even one."""
    whole, rest = divmod(value, step)
    return whole + (2 * rest > step or (2 * rest == step and whole % 2 == 1))


def load_prices(text: str | None = None) -> Prices:
    """Read the shipped table, or `text`; raises ConfigurationError naming the row."""
    content = text if text is not None else resources.files("routing").joinpath("prices.toml").read_text("utf-8")
    rows = [_row(index, raw) for index, raw in enumerate(tomllib.loads(content).get("price", []))]
    return Prices(_ordered(rows))


def _row(index: int, raw: dict[str, object]) -> Price:
    try:
        return Price.model_validate(raw)
    except ValidationError as error:
        where, problem = first_error(error)
        raise ConfigurationError(
            f"prices.toml: row {index + 1} ({raw.get('model')}): {where}: {problem}", where
        ) from None


def _ordered(rows: Sequence[Price]) -> tuple[Price, ...]:
    return tuple(sorted(rows, key=lambda row: (row.model, row.effective_from)))
