"""A vendor's failure is mapped to our error by its facts; its prose is kept for refusals alone, bounded and clean."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import aiohttp
import pytest

from deployments.providers.errors import LONGEST_REASON_CHARS, VendorResponse, from_reply, retry_after_s, to_ours
from routing.errors import (
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
)


def no_reply(error: Exception) -> None:
    return None


def raised_from(cause: Exception) -> Exception:
    """Return an SDK's error as it is caught, with its original error as the cause."""
    try:
        raise RuntimeError("an SDK's own") from cause
    except RuntimeError as error:
        return error


REPLIES: dict[str, tuple[VendorResponse, type[ProviderError], int | None]] = {
    "status alone": (VendorResponse(status=429), ProviderRateLimited, 429),
    "a code that overrules it": (VendorResponse(status=429, codes=("insufficient_quota",)), ProviderQuota, 429),
    "an error inside a stream": (VendorResponse(status=200, codes=(None, "overloaded_error")), ProviderOverloaded, 529),
    "a rate limit inside a stream": (
        VendorResponse(status=None, codes=("rate_limit_exceeded",)),
        ProviderRateLimited,
        429,
    ),
    "a status as its code": (VendorResponse(status=None, codes=(400, "BadRequestError")), ProviderRefused, 400),
    "a code nobody knows": (VendorResponse(status=None, codes=("novel",)), ProviderOverloaded, None),
    "another place": (VendorResponse(status=307), ProviderMisconfigured, 307),
    "a model nobody serves": (VendorResponse(status=404, codes=("model_not_found",)), ProviderMisconfigured, 404),
    "too many bytes": (VendorResponse(status=413), ProviderContextTooLong, 413),
    "too many tokens, by its code": (
        VendorResponse(status=400, codes=("context_length_exceeded",)),
        ProviderContextTooLong,
        400,
    ),
    "too many tokens, by Anthropic's sentence": (
        VendorResponse(status=400, codes=("invalid_request_error",), message="prompt is too long: 9 tokens > 8"),
        ProviderContextTooLong,
        400,
    ),
    "too many tokens together, by Anthropic's sentence": (
        VendorResponse(
            status=400, message="input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"
        ),
        ProviderContextTooLong,
        400,
    ),
    "no money, by Anthropic's sentence": (
        VendorResponse(
            status=400,
            codes=("invalid_request_error",),
            message="Your credit balance is too low to access the Anthropic API.",
        ),
        ProviderQuota,
        400,
    ),
    "no more money this month, by Anthropic's sentence": (
        VendorResponse(status=400, message="You have reached your specified API usage limits."),
        ProviderQuota,
        400,
    ),
    "too many tokens, by Google's sentence": (
        VendorResponse(
            status=400,
            codes=("INVALID_ARGUMENT",),
            message="The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        ),
        ProviderContextTooLong,
        400,
    ),
    "too many tokens, by vLLM's sentence": (
        VendorResponse(status=400, codes=(400,), message="This model's maximum context length is 4096 tokens."),
        ProviderContextTooLong,
        400,
    ),
    "a status nobody knows": (VendorResponse(status=418), ProviderRefused, 418),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_classed_by_its_codes_and_then_its_status(name: str) -> None:
    reply, kind, status = REPLIES[name]
    error = from_reply(reply, "stream")
    assert type(error) is kind and error.facts["phase"] == "stream" and error.facts.get("vendor_status") == status


def test_an_answer_that_says_nothing_is_one_that_cannot_be_read() -> None:
    error = from_reply(VendorResponse(status=200, codes=(None, "<html>")), "first_token")
    assert type(error) is ProviderTruncated and error.facts == {"phase": "parse"}


def test_a_sentence_in_the_place_of_a_code_is_not_kept() -> None:
    error = from_reply(
        VendorResponse(status=400, codes=("you wrote: my password is hunter2", "bad_request")), "first_token"
    )
    assert error.facts["vendor_code"] == "bad_request" and "hunter2" not in str(error.envelope())


def test_a_refusal_carries_the_vendors_sentence_and_parameter_to_the_caller() -> None:
    reply = VendorResponse(
        status=400, codes=("unsupported_value",), message="'stop'  is not\nsupported.", param="messages[1].content"
    )
    error = from_reply(reply, "first_token")
    assert isinstance(error, ProviderRefused) and error.status == 400 and not error.billable
    assert (error.reason, error.vendor_param) == ("'stop' is not supported.", "messages[1].content")
    assert error.param == "messages[1].content" and "stop" not in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.reason, copy.vendor_param) == (error.reason, error.vendor_param)


def test_a_reason_is_bounded_and_holds_nothing_like_a_key() -> None:
    long = from_reply(VendorResponse(status=400, message="word " * 10_000), "first_token")
    keyed = from_reply(VendorResponse(status=400, message="wrong key sk-proj-abcdef123456 given"), "first_token")
    assert isinstance(long, ProviderRefused) and len(long.reason or "") == LONGEST_REASON_CHARS
    assert isinstance(keyed, ProviderRefused) and keyed.reason == "wrong key (hidden) given"
    assert isinstance(from_reply(VendorResponse(status=400, message={"a": 1}), "stream"), ProviderRefused)


def test_the_sentence_of_any_other_failure_is_not_kept() -> None:
    for status in (401, 402, 429, 500):
        error = from_reply(VendorResponse(status=status, message="you wrote hunter2", param="x"), "first_token")
        assert "hunter2" not in str(error.envelope()) and error.param is None


def test_a_request_that_an_sdk_cannot_build_is_refused_and_costs_nothing() -> None:
    refused = to_ours(ValueError("contents are required."), "first_token", no_reply, sent=False)
    assert type(refused) is ProviderRefused and refused.reason == "contents are required." and not refused.billable
    broken = to_ours(TypeError("no attribute"), "first_token", no_reply, sent=False)
    assert type(broken) is ProviderUnconnected and not broken.billable
    assert type(to_ours(ValueError("no JSON"), "first_token", no_reply, sent=True)) is ProviderTruncated


TRANSPORTS: dict[str, tuple[Exception, type[ProviderError]]] = {
    "a timer": (TimeoutError(), ProviderTimeout),
    "a socket's timer": (aiohttp.SocketTimeoutError(), ProviderTimeout),
    "a reset under a timeout's name": (raised_from(aiohttp.ServerDisconnectedError()), ProviderUnreachable),
    "half a body": (raised_from(aiohttp.ClientPayloadError()), ProviderUnreachable),
    "a reset": (ConnectionResetError(), ProviderUnreachable),
    "no JSON": (raised_from(ValueError("Expecting value")), ProviderTruncated),
    "an unknown one": (RuntimeError("?"), ProviderUnreachable),
}


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_broken_transport_is_classed_by_its_root(name: str) -> None:
    error, kind = TRANSPORTS[name]
    ours = to_ours(error, "first_token", no_reply)
    assert type(ours) is kind and ours.facts["phase"] == ("parse" if kind is ProviderTruncated else "first_token")


def test_an_error_of_ours_stays_as_it_is() -> None:
    error = ProviderTimeout(phase="connect")
    assert to_ours(error, "stream", no_reply) is error


@pytest.mark.parametrize(
    ("headers", "also_s", "wait_s"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "1", "retry-after-ms": "2500"}, None, 2.5),
        ({}, 46.0, 46.0),
        ({"retry-after": "60"}, 46.0, 60.0),
        ({"retry-after": "-3"}, None, 0.0),
        ({"retry-after": "soon"}, None, None),
        ({}, None, None),
    ],
)
def test_of_all_waits_a_vendor_asks_for_the_longest_counts(
    headers: Mapping[str, str], also_s: float | None, wait_s: float | None
) -> None:
    assert retry_after_s(headers, also_s) == wait_s


def test_a_wait_is_capped_at_a_minute() -> None:
    assert from_reply(VendorResponse(status=429, retry_after_s=7_200.0), "first_token").retry_after_s == 60.0
