"""A vendor's failure is mapped to our error by its facts; its prose is never read or repeated."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from deployments.providers.errors import VendorResponse, from_reply, retry_after_s, to_ours
from routing.errors import (
    ProviderError,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
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
    "another place": (VendorResponse(status=307), ProviderRefused, 307),
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
