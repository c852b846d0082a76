"""Gemini's answers: the whole response or the chunks of a stream, and log probabilities in OpenAI's form."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from google.genai import types

from deployments.providers.gemini.thought_signatures import sign
from deployments.providers.usage import from_gemini
from routing.catalogue import Model
from routing.chat import ToolCallDelta
from routing.models import Delta, Finish, Usage

Json = dict[str, Any]
TIER_HEADER: Final = "x-gemini-service-tier"
"""The tier that served a request; Google's page on priority inference, read 2026-11-30."""
# Every reason that is missing here means that one of the vendor's filters stopped the answer.
_FINISH: Final[dict[str, Finish | None]] = {
    "FINISH_REASON_UNSPECIFIED": None,
    "MALFORMED_RESPONSE": None,
    # The model wrote a call that the vendor cannot read, and the answer has no call.
    "MALFORMED_FUNCTION_CALL": None,
    "MISSING_THOUGHT_SIGNATURE": None,
    "UNEXPECTED_TOOL_CALL": None,
    "TOO_MANY_TOOL_CALLS": None,
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
}


class AnswerReader:
    """Reads the chunks of one answer."""

    def __init__(self, model: Model) -> None:
        self._model_name = model.vendor_name
        self._calls = 0
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def read(self, response: types.GenerateContentResponse) -> Delta:
        """Return a chunk. Gemini sends each call whole, and its usage so far with every chunk."""
        candidate = response.candidates[0] if response.candidates else types.Candidate()
        parts = (candidate.content and candidate.content.parts) or []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        thinking = "".join(part.text for part in parts if part.text and part.thought)
        calls = tuple(self._call(part, part.function_call) for part in parts if part.function_call is not None)
        if text or calls:
            # A count that came before this is not the count of the answer.
            self._usage = None
        self._usage = from_gemini(response.usage_metadata) or self._usage
        self._finish = self._finish_of(response, candidate) or self._finish
        return Delta(
            text=text,
            tool_calls=calls,
            logprobs=openai_logprobs(candidate.logprobs_result),
            finish=self._finish,
            usage=self._usage if self._finish else None,
            usage_so_far=None if self._finish else self._usage,
            thinking_bytes=len(thinking.encode("utf-8", "replace")),
            service_tier=_served_tier(response),
        )

    def _call(self, part: types.Part, call: types.FunctionCall) -> ToolCallDelta:
        index, self._calls = self._calls, self._calls + 1
        return ToolCallDelta(
            index=index,
            # Gemini 2.5 gives a call no id.
            call_id=call.id or f"call_{secrets.token_hex(12)}",
            name=call.name or "",
            arguments=json.dumps(call.args or {}, ensure_ascii=False),
            signature=sign(self._model_name, part.thought_signature),
        )

    def _finish_of(self, response: types.GenerateContentResponse, candidate: types.Candidate) -> Finish | None:
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            return "refusal"
        if candidate.finish_reason is None:
            return None
        finish = _FINISH.get(candidate.finish_reason.value, "refusal")
        return "tool_calls" if self._calls and finish in (None, "stop") else finish


def openai_logprobs(result: types.LogprobsResult | None) -> Json | None:
    """Return log probabilities in OpenAI's form, or None if there are none."""
    if result is None or not result.chosen_candidates:
        return None
    tops = [top.candidates or [] for top in result.top_candidates or ()]
    tops += [[] for _ in result.chosen_candidates[len(tops) :]]
    tokens = [
        _token(chosen) | {"top_logprobs": [_token(other) for other in top]}
        for chosen, top in zip(result.chosen_candidates, tops, strict=False)
    ]
    return {"content": tokens, "refusal": None}


def _token(candidate: types.LogprobsResultCandidate) -> Json:
    token = candidate.token or ""
    return {
        "token": token,
        "logprob": candidate.log_probability or 0.0,
        "bytes": list(token.encode("utf-8", "replace")),
    }


def _served_tier(response: types.GenerateContentResponse) -> str | None:
    headers = (response.sdk_http_response and response.sdk_http_response.headers) or {}
    return next((value.lower() for name, value in headers.items() if name.lower() == TIER_HEADER and value), None)
