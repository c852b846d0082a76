"""The emulator's own rules of each model, read from the vendors' documents and not from the product's table."""

from __future__ import annotations

import datetime as dt
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from cluster.lab.emulator.core.content import ImageHeader, RequestContent

EffortLevel = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThinkingRule(_Row):
    """The accepted efforts of a model, lowest first, and how many tokens the emulated model spends at each."""

    efforts: tuple[EffortLevel, ...]
    default: EffortLevel
    tokens: dict[EffortLevel, NonNegativeInt]
    budget: tuple[PositiveInt, PositiveInt] | None = None
    """The smallest and the largest number of tokens, for models that take a budget and no level."""
    source: str


class ImageRule(_Row):
    """The input tokens of an image: a fixed number, so many pixels a token, or `patch_percent` a square patch."""

    tokens: PositiveInt | None = None
    px_per_token: PositiveInt | None = None
    patch_px: PositiveInt | None = None
    patch_percent: PositiveInt = 100
    source: str

    def count(self, image: ImageHeader) -> int:
        if self.patch_px is not None:
            patches = -(-image.width_px // self.patch_px) * -(-image.height_px // self.patch_px)
            return -(-patches * self.patch_percent // 100)
        return self.tokens or -(-image.px // (self.px_per_token or 1))


class ModelRules(_Row):
    """One row of model_rules.toml. The defaults are the rules of a model that has no row."""

    name: str = ""
    vendor: str = ""
    thinking: ThinkingRule | None = None
    image: ImageRule | None = None
    dimensions: PositiveInt | None = None
    context_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None
    cache_min_tokens: PositiveInt | None = None
    flags: frozenset[str] = frozenset()
    """Rules that only this vendor's protocol knows; it lists their names."""
    source: str = ""
    read: dt.date | None = None

    def thinking_tokens(self, effort: EffortLevel | None) -> int:
        """Return the tokens of thinking at an accepted effort, or at the default one."""
        if self.thinking is None:
            return 0
        return self.thinking.tokens[effort or self.thinking.default]


@cache
def load_model_rules() -> dict[str, ModelRules]:
    """Return the rows by the vendor's name of the model."""
    text = resources.files("cluster.lab.emulator.core").joinpath("model_rules.toml").read_text("utf-8")
    rows = [ModelRules.model_validate(row) for row in tomllib.loads(text)["model"]]
    return {row.name: row for row in rows}


def rules_of(model: str) -> ModelRules:
    """Return a model's rules, or the rules of no restriction for an unknown model."""
    return load_model_rules().get(model) or ModelRules()


def image_tokens(vendor: str, model: str, content: RequestContent) -> int:
    """Return the input tokens of the images; the rule of an unknown model is that of its vendor's last row."""
    rows = [row for row in load_model_rules().values() if row.vendor == vendor and row.image is not None]
    rule = rules_of(model).image or (rows[-1].image if rows else None)
    return sum(rule.count(image) for image in content.images) if rule is not None else 0
