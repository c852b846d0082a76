"""Running means of completed answers, from which the usage of an unfinished one is estimated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from routing.models import Usage

MEMORY_ANSWERS = 32
"""The newest answer has at least this share of a mean: a model or a prompt may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageMeans:
    """What the answers of one model have used. The defaults stand until one has completed.

    English prose has about four bytes a token. `Usage` bounds are those of routing.estimates.
    """

    answers: int = 0
    input_share: float = 0.4
    """The share of the largest possible text input that the vendor counted."""
    visible_tokens: float = 100.0
    thinking_share: float = 0.25
    """The share of the room for thinking that was used."""
    bytes_per_token: float = 4.0
    bytes_per_s: float = 400.0
    """The pace of visible text: the published rates of models lie between 50 and 200 tokens a second."""

    def with_answer(self, most: Usage, text_bytes: int, usage: Usage, bytes_per_s: float | None = None) -> UsageMeans:
        """Return the means with one more answer of `text_bytes`, whose usage was at most `most`.

        `bytes_per_s` is None for an answer whose pieces were not timed.
        """
        text_tokens, most_text_tokens = usage.input_tokens - usage.image_tokens, most.input_tokens - most.image_tokens
        if not usage.image_tokens:
            # Not every vendor counts images apart.
            text_tokens = max(usage.input_tokens - most.image_tokens, 0)
        visible_tokens = max(usage.output_tokens - usage.thinking_tokens, 0)
        return replace(
            self,
            answers=self.answers + 1,
            input_share=self._mean(self.input_share, text_tokens, most_text_tokens),
            visible_tokens=self._mean(self.visible_tokens, visible_tokens, 1),
            thinking_share=self._mean(self.thinking_share, usage.thinking_tokens, most.thinking_tokens),
            bytes_per_token=self._mean(self.bytes_per_token, text_bytes, visible_tokens if text_bytes else 0),
            bytes_per_s=self._mean(self.bytes_per_s, bytes_per_s or 0.0, 1 if bytes_per_s else 0),
        )

    def input_tokens(self, most: Usage) -> int:
        """Return the expected input tokens of a request whose largest possible usage is `most`."""
        return most.image_tokens + round((most.input_tokens - most.image_tokens) * self.input_share)

    def thinking_tokens(self, most: Usage) -> int:
        return round(most.thinking_tokens * self.thinking_share)

    def tokens_of(self, text_bytes: int) -> int:
        """Return the expected tokens of a text of this length."""
        return round(text_bytes / self.bytes_per_token)

    def expected(self, most: Usage) -> Usage:
        """Return the usage of the answer that is expected of a request."""
        thinking_tokens = self.thinking_tokens(most)
        return replace(
            most,
            input_tokens=self.input_tokens(most),
            cache_write_tokens=0,
            output_tokens=min(thinking_tokens + round(self.visible_tokens), most.output_tokens),
            thinking_tokens=thinking_tokens,
        )

    def _mean(self, mean: float, value: float, of: float) -> float:
        """Return the mean with `value / of` added; nothing is added where `of` is 0."""
        return mean + (value / of - mean) / min(self.answers + 1, MEMORY_ANSWERS) if of > 0 else mean


class UsageHistory:
    """The means of each model, apart for requests with images. Their number is bounded by the catalogue."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, bool], UsageMeans] = {}

    def means(self, model: str, most: Usage) -> UsageMeans:
        """Return the means for a request whose largest possible usage is `most`."""
        return self._means.get(_key(model, most), UsageMeans())

    def add(self, model: str, most: Usage, text_bytes: int, usage: Usage, bytes_per_s: float | None = None) -> None:
        """Add a completed answer of `text_bytes`, which came at a pace, or whole."""
        self._means[_key(model, most)] = self.means(model, most).with_answer(most, text_bytes, usage, bytes_per_s)


def _key(model: str, most: Usage) -> tuple[str, bool]:
    return model, most.image_tokens + most.image_px > 0
