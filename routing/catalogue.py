"""The model catalogue: vendor, tier, rules, price and retirement date of each model."""

from __future__ import annotations

import datetime as dt
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, PositiveInt

from routing.capabilities import Capabilities, ImageTokens
from routing.chat import Image
from routing.errors import ConfigurationError, RetiredModel, UnknownModel
from routing.models import Service, Tier
from routing.prices import Price, Prices, Rates, load_prices
from routing.validation import parse_row
from routing.vendor_keys import hide_keys

WARN_DAYS = 60
# A frame as the agent sends it.
FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 1024, 576
FRAME_PX = FRAME_WIDTH_PX * FRAME_HEIGHT_PX


class Model(BaseModel):
    """One row of models.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    vendor: str
    services: tuple[Service, ...]
    tier: Tier
    source: str
    retires_on: dt.date | None = None
    successor: str | None = None
    wire_name: str | None = None
    image_tokens: ImageTokens | None = None
    """The input tokens of an image; None where the model counts none, or sees none."""
    dimensions: PositiveInt | None = None
    """The size of an embedding; None where it is not known."""
    dimension_choices: tuple[PositiveInt, ...] = ()
    """The other sizes that a request may name."""
    token_ids: bool = False
    """Whether an embedding's input may be token ids in place of a text."""
    context_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt = 8_192
    capabilities: Capabilities = Capabilities()
    limits_source: str | None = None
    differs: dict[str, str] = {}
    """The fields in which another published table differs from this row, and the reasons."""

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def vendor_name(self) -> str:
        """Return the vendor's name for this model."""
        return self.wire_name or self.name

    def retired(self, today: dt.date) -> bool:
        return self.retires_on is not None and self.retires_on <= today

    def days_left(self, today: dt.date) -> int | None:
        return None if self.retires_on is None else (self.retires_on - today).days

    def image_token_count(self, px: int) -> int:
        """Return the input tokens of an image of `px` pixels that has the shape of a screen."""
        width_px = math.isqrt(px * FRAME_WIDTH_PX // FRAME_HEIGHT_PX)
        return self.tokens_of(Image(data=b"", width_px=width_px, height_px=-(-px // max(width_px, 1))))

    def tokens_of(self, image: Image) -> int:
        """Return the input tokens of an image; one of unknown size counts as a frame."""
        if self.image_tokens is None:
            return 0
        known = image.width_px > 0 and image.height_px > 0
        size_px = (image.width_px, image.height_px) if known else (FRAME_WIDTH_PX, FRAME_HEIGHT_PX)
        return self.image_tokens.count(*size_px, image.detail)


class OwnPrice(Rates):
    """The price of a model from the configuration, and the day it takes effect."""

    effective_from: dt.date


class OwnModel(Model):
    """A model from the configuration, such as one on a company's own server, together with its price."""

    source: str = "the configuration"
    price: OwnPrice


@dataclass(frozen=True)
class Catalogue:
    """The models and their prices."""

    models: dict[str, Model]
    prices: Prices

    def extended(self, own: Iterable[OwnModel]) -> Catalogue:
        """Return the catalogue with the models of the configuration; raises ConfigurationError for a taken name."""
        models, rows = dict(self.models), list(self.prices.rows)
        for model in own:
            if model.name in models:
                raise ConfigurationError(f"models: the name {model.name} is taken; choose another.", "models")
            models[model.name] = model
            rows.append(Price(model=model.name, source=model.source, **model.price.model_dump()))
        catalogue = Catalogue(models, Prices(tuple(rows)))
        for name in models:
            _check_successors(catalogue, models[name])
        return catalogue

    def get(self, name: str) -> Model:
        """Return a model by its name; raises UnknownModel."""
        model = self.models.get(name)
        if model is None:
            raise UnknownModel(f"The model {name[:80]!r} is not in the catalogue.", "model")
        return model

    def serving(self, name: str, today: dt.date) -> Model:
        """Return a model that its vendor still serves; raises UnknownModel, or RetiredModel with the successor."""
        model = self.get(name)
        if model.retired(today):
            heir = self.heir(model, today)
            message = f"The model {name} was retired on {model.retires_on}"
            raise RetiredModel(
                f"{message}; use {heir.name}." if heir else f"{message}.", "model", successor=heir and heir.name
            )
        return model

    def heir(self, model: Model, today: dt.date) -> Model | None:
        """Return the first of a model's successors that is not retired itself."""
        while model.successor is not None:
            model = self.get(model.successor)
            if not model.retired(today):
                return model
        return None

    def price(self, name: str, day: dt.date) -> Price:
        return self.prices.of(name, day)

    def check(self, names: Iterable[str], today: dt.date) -> list[str]:
        """Return warnings for models that retire within 60 days; raises ConfigurationError for one past its day."""
        return [warning for name in sorted(set(names)) if (warning := self._check_one(name, today))]

    def _check_one(self, name: str, today: dt.date) -> str | None:
        model = self.models.get(name)
        if model is None:
            known = ", ".join(sorted(self.models))
            raise ConfigurationError(f"the model {hide_keys(name)!r} is not in models.toml. Known: {known}.", name)
        self.price(name, today)
        if model.retired(today):
            raise ConfigurationError(
                f"{name} was retired on {model.retires_on}; use its successor {model.successor}.", name
            )
        left = model.days_left(today)
        if left is None or left > WARN_DAYS:
            return None
        return f"{name} retires on {model.retires_on}, in {left} days; its successor is {model.successor}"


def load_catalogue(models_text: str | None = None, prices_text: str | None = None) -> Catalogue:
    """Read the shipped tables; raises ConfigurationError with the row number."""
    text = models_text if models_text is not None else resources.files("routing").joinpath("models.toml").read_text()
    models = [
        parse_row(Model, raw, f"models.toml: row {index + 1} ({raw.get('name')})")
        for index, raw in enumerate(tomllib.loads(text).get("model", []))
    ]
    catalogue = Catalogue({model.name: model for model in models}, load_prices(prices_text))
    for model in models:
        _check_successors(catalogue, model)
    priced = {price.model for price in catalogue.prices.rows}
    for index, model in enumerate(models):
        if model.name not in priced:
            raise ConfigurationError(f"models.toml: row {index + 1} ({model.name}) has no price in prices.toml.")
        if catalogue.models[model.name] is not model:
            raise ConfigurationError(f"models.toml: row {index + 1} ({model.name}) has the name of another row.")
    return catalogue


def _check_successors(catalogue: Catalogue, model: Model) -> None:
    seen = [model.name]
    while model.successor is not None:
        if model.successor in seen:
            raise ConfigurationError(f"models.toml: successors form a cycle: {' -> '.join([*seen, model.successor])}")
        following = catalogue.models.get(model.successor)
        if following is None:
            raise ConfigurationError(f"models.toml: {model.name} names the successor {model.successor}: no such row.")
        seen.append(following.name)
        model = following
