"""The model catalogue: vendor, tier, price and retirement date of each model, and usage estimates before a call."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from routing.capabilities import Capabilities
from routing.chat import Message
from routing.errors import BadInput, ConfigurationError, RetiredModel, TooLarge, UnknownModel
from routing.models import EmbedRequest, ModelRequest, Service, Tier, Usage
from routing.prices import Price, Prices, Rates, load_prices
from routing.validation import first_error
from routing.vendor_keys import hide_keys

WARN_DAYS = 60
# English text runs at about four bytes a token in the vendors' tokenizers; three keeps an estimate from falling short.
BYTES_PER_TOKEN = 3
MESSAGE_OVERHEAD_TOKENS = 8
# A request is refused only if it is too long even for a tokenizer that packs more prose into a token than these do.
LONGEST_BYTES_PER_TOKEN = 5
# A frame as the agent sends it: 1024 x 576.
FRAME_PX = 1024 * 576


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
    image_tokens: PositiveInt | None = None
    image_px_per_token: PositiveInt | None = None
    dimensions: PositiveInt | None = None
    context_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt = 8_192
    capabilities: Capabilities = Capabilities()
    limits_source: str | None = None

    @property
    def vendor_name(self) -> str:
        """Return the vendor's name for this model."""
        return self.wire_name or self.name

    def retired(self, today: dt.date) -> bool:
        return self.retires_on is not None and self.retires_on <= today

    def days_left(self, today: dt.date) -> int | None:
        return None if self.retires_on is None else (self.retires_on - today).days

    def image_token_count(self, px: int) -> int:
        """Return the input tokens an image of `px` pixels is charged as, by the vendor's published rule."""
        if self.image_tokens is not None:
            return self.image_tokens
        return -(-px // self.image_px_per_token) if self.image_px_per_token else 0


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


def check_fits(
    model: Model,
    messages: Iterable[Message],
    output_tokens: int,
    longest_input_tokens: int | None = None,
    output_field: str = "max_tokens",
) -> None:
    """Reject a request that exceeds the model's limits before the vendor is called.

    `longest_input_tokens` is the limit of the configuration. `output_field` is the request field that held
    `output_tokens`. Raises BadInput for `output_tokens` and TooLarge for `messages`.
    """
    if output_tokens > model.max_output_tokens:
        raise BadInput(f"{model.name} answers with at most {model.max_output_tokens} tokens.", output_field)
    limits = [longest_input_tokens, model.context_tokens and model.context_tokens - output_tokens]
    longest = min((limit for limit in limits if limit is not None), default=None)
    tokens = _fewest_tokens(model, messages)
    if longest is not None and tokens > longest:
        raise TooLarge(
            f"The messages are at least {tokens} tokens long; with {output_field} {output_tokens}"
            f" {model.name} takes at most {longest} here.",
            "messages",
        )


def _fewest_tokens(model: Model, messages: Iterable[Message]) -> int:
    texts, images = 0, 0
    for message in messages:
        texts += len(message.text.encode()) // LONGEST_BYTES_PER_TOKEN
        images += len(message.images)
    return texts + images * (model.image_tokens or 0)


def estimate_chat(model: Model, request: ModelRequest) -> Usage:
    """Return the most that a request should use: its whole input, its longest answer and its room for thinking."""
    images = sum(len(message.images) for message in request.messages)
    image_tokens = images * model.image_token_count(FRAME_PX)
    return Usage(
        input_tokens=text_tokens(request.messages) + image_tokens,
        output_tokens=min(request.max_output_tokens + request.thinking_tokens, model.max_output_tokens),
        thinking_tokens=request.thinking_tokens,
        image_tokens=image_tokens,
    )


def estimate_embedding(request: EmbedRequest) -> Usage:
    images = sum(len(message.images) for message in request.inputs)
    return Usage(input_tokens=text_tokens(request.inputs), image_px=images * FRAME_PX)


def text_tokens(messages: Iterable[Message]) -> int:
    """Estimate the tokens of the text of `messages`; the estimate is never too low for Latin text."""
    return sum(MESSAGE_OVERHEAD_TOKENS + -(-len(message.text.encode()) // BYTES_PER_TOKEN) for message in messages)


def load_catalogue(models_text: str | None = None, prices_text: str | None = None) -> Catalogue:
    """Read the shipped tables; raises ConfigurationError with the row number."""
    text = models_text if models_text is not None else resources.files("routing").joinpath("models.toml").read_text()
    models = [_row(index, raw) for index, raw in enumerate(tomllib.loads(text).get("model", []))]
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


def _row(index: int, raw: dict[str, object]) -> Model:
    try:
        return Model.model_validate(raw)
    except ValidationError as error:
        where, problem = first_error(error)
        raise ConfigurationError(
            f"models.toml: row {index + 1} ({raw.get('name')}): {where}: {problem}", where
        ) from None


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
