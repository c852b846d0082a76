"""Check a request as Anthropic does: first its shape, then what its documents say about values that do not fit.

The sentences are like those in public reports of Anthropic's answers, read 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from cluster.lab.emulator.chat.anthropic.request_schema import MessagesRequest
from cluster.lab.emulator.core.model_rules import ModelRules
from cluster.lab.emulator.core.request import RequestProblem
from routing.validation import errors_of

NO_SAMPLING_SINCE: Final = "2026-10-21"
"""From this version on the API has no sampling parameters; a date compares as text."""
SAMPLING: Final = ("temperature", "top_p", "top_k")


class AnthropicRefusal(Exception):
    """A request that Anthropic refuses with status 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.problem = RequestProblem(message)


def read_body(body: Any, version: str | None) -> MessagesRequest:
    """Return the request; raises AnthropicRefusal for the first field of the wrong shape."""
    if version is None:
        raise AnthropicRefusal("anthropic-version: header is required")
    sampling = [name for name in SAMPLING if isinstance(body, Mapping) and name in body]
    if sampling and version >= NO_SAMPLING_SINCE:
        raise AnthropicRefusal(f"{sampling[0]}: Extra inputs are not permitted")
    try:
        return MessagesRequest.model_validate(body)
    except ValidationError as error:
        raise AnthropicRefusal(_first(error)) from None


def check_limits(request: MessagesRequest, rules: ModelRules) -> None:
    """Raise AnthropicRefusal for values that the model does not accept."""
    most = rules.max_output_tokens
    if most is not None and request.max_tokens > most:
        raise AnthropicRefusal(
            f"max_tokens: {request.max_tokens} > {most}, which is the maximum allowed number of output tokens for"
            f" {request.model}"
        )
    if "no_sampling" in rules.flags:
        for name, default in (("temperature", 1), ("top_p", 1), ("top_k", None)):
            if getattr(request, name) not in (None, default):
                raise AnthropicRefusal(f"`{name}` is deprecated for this model.")
    if any(not sequence.strip() for sequence in request.stop_sequences):
        raise AnthropicRefusal("stop_sequences: each stop sequence must contain non-whitespace")


def _first(error: ValidationError) -> str:
    errors = list(errors_of(error))
    # A list of blocks is no string either, which is the lesser fault.
    first = next((one for one in errors if one.loc[-1:] != ("str",)), errors[0])
    steps = [str(step) for step in first.loc]
    if steps[:1] == ["tools"] and len(steps) > 2:
        steps.insert(2, "custom")
    # Alternatives such as `str` and `list[...]` are steps of the checker and not of the path.
    path = ".".join(step for step in steps if step != "str" and "[" not in step)
    return f"{path}: {first.message}" if path else first.message
