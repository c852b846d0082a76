"""The expected outcome of each vendor fault: the request's end, the number of vendor calls, and the bill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from cluster.lab.emulator import Extras, Fault
from routing.errors import (
    ContextTooLong,
    ProviderAuth,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
    RayroomError,
    RequestRefused,
)
from routing.models import Finish


class Bill(Enum):
    """The cost of an attempt, and whether the bill marks it as an estimate."""

    NOTHING = "nothing"
    REPORTED = "the usage that the vendor reported"
    NEAR = "an estimate that differs from the vendor's log by at most a tenth"
    PROMPT = "an estimate of the input and the thinking, of which the vendor logged nothing or more"


@dataclass(frozen=True, kw_only=True)
class Timers:
    """The timeouts of an attempt, of its first token and of the next ones."""

    attempt_s: float = 5.0
    first_token_s: float = 5.0
    between_tokens_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault. `calls` is the number of vendor calls before the request ends or goes on to the next model.

    `fault` is None where the vendor's port is closed. `ends` is the error, or the finish marker of an answer.
    `calls_before_another` is the number where another model is left, if it differs.
    """

    fault: Fault | None
    ends: type[RayroomError] | Finish
    bill: Bill
    calls: int = 1
    calls_before_another: int | None = None
    falls_back: bool = False
    """Whether the next model is called, if there is one."""
    timers: Timers = field(default_factory=Timers)


SHORT = Timers(attempt_s=0.3, first_token_s=0.3, between_tokens_s=0.2)
# The first words have to arrive in time on a busy machine too.
SHORT_AFTER_WORDS = Timers(attempt_s=1.0, first_token_s=1.0, between_tokens_s=0.2)


def final(fault: Fault, kind: type[RayroomError]) -> Case:
    """Return the row of a permanent fault: one call, which costs nothing."""
    return Case(fault=fault, ends=kind, bill=Bill.NOTHING, falls_back=True)


def refused(fault: Fault) -> Case:
    """Return the row of a request that the vendor refuses: no other vendor gets it."""
    return Case(fault=fault, ends=RequestRefused, bill=Bill.NOTHING)


def passing(fault: Fault | None, kind: type[ProviderError], bill: Bill, timers: Timers | None = None) -> Case:
    """Return the row of a transient fault: the vendor is called twice."""
    return Case(fault=fault, ends=kind, bill=bill, calls=2, timers=timers or Timers(), falls_back=True)


def late(fault: Fault, bill: Bill) -> Case:
    """Return the row of a stream without its first token: it goes on to the next model at once, if there is one."""
    return replace(passing(fault, ProviderTimeout, bill, SHORT), calls_before_another=1)


def answer(fault: Fault, finish: Finish, bill: Bill) -> Case:
    """Return the row of an odd answer that still is one: no other model is tried."""
    return Case(fault=fault, ends=finish, bill=bill)


def begun(fault: Fault, kind: type[ProviderError]) -> Case:
    """Return the row of a stream that breaks after its first delta: no other model can continue it."""
    return Case(fault=fault, ends=kind, bill=Bill.NEAR, timers=SHORT_AFTER_WORDS)


Table = dict[str, Case]

ALWAYS: Table = {
    "status 400": refused(Fault(status=400)),
    "status 401": final(Fault(status=401), ProviderAuth),
    "status 402": final(Fault(status=402), ProviderQuota),
    "status 403": final(Fault(status=403), ProviderAuth),
    "status 404": final(Fault(status=404), ProviderMisconfigured),
    "status 408": passing(Fault(status=408), ProviderTimeout, Bill.NOTHING),
    "status 409": passing(Fault(status=409), ProviderOverloaded, Bill.NOTHING),
    "status 413": final(Fault(status=413), ContextTooLong),
    "status 429": passing(Fault(status=429), ProviderRateLimited, Bill.NOTHING),
    "status 500": passing(Fault(status=500), ProviderOverloaded, Bill.NOTHING),
    "status 502, a page of HTML": passing(Fault(html=True), ProviderOverloaded, Bill.NOTHING),
    "status 503": passing(Fault(status=503), ProviderOverloaded, Bill.NOTHING),
    "status 504": passing(Fault(status=504), ProviderOverloaded, Bill.NOTHING),
    "status 529": passing(Fault(status=529), ProviderOverloaded, Bill.NOTHING),
    "silence": passing(Fault(delay_s=9.0), ProviderTimeout, Bill.PROMPT, SHORT),
    "reset before the first byte": passing(Fault(reset_after_bytes=0), ProviderUnreachable, Bill.NEAR),
    "reset in the body": passing(Fault(reset_after_bytes=20), ProviderUnreachable, Bill.NEAR),
    "no JSON": passing(Fault(garbage=True), ProviderTruncated, Bill.NEAR),
    "a closed port": passing(None, ProviderUnconnected, Bill.NOTHING),
}

# A wait of seven seconds is longer than any timeout here, so the request never waits for it.
LATER: Table = {"status 429, come back later": final(Fault(status=429, retry_after_s=7.0), ProviderRateLimited)}

SPOKEN: Table = (
    ALWAYS
    | LATER
    | {
        "refusal": answer(Fault(refusal="refused"), "refusal", Bill.REPORTED),
        "the vendor's filter": answer(Fault(refusal="filtered"), "refusal", Bill.REPORTED),
        "an empty answer": answer(Fault(empty=True), "stop", Bill.REPORTED),
        "no usage": answer(Fault(unreported_usage=True), "stop", Bill.NEAR),
        "no usage of an empty answer": answer(Fault(unreported_usage=True, empty=True), "stop", Bill.NEAR),
        "cached tokens": answer(Fault(extras=Extras(cached_tokens=300)), "stop", Bill.REPORTED),
    }
)

WHOLE: Table = SPOKEN | {
    "an end between words": passing(Fault(cut_after_chunks=2), ProviderTruncated, Bill.NEAR),
    "a reset between words": passing(Fault(reset_after_chunks=2), ProviderUnreachable, Bill.NEAR),
    "a stall between words": passing(
        Fault(stall_after_chunks=2, stall_s=9.0), ProviderTimeout, Bill.NEAR, SHORT_AFTER_WORDS
    ),
    "overload between words": passing(Fault(overload_after_chunks=2), ProviderOverloaded, Bill.NEAR),
}

STREAMED: Table = SPOKEN | {
    "silence": late(Fault(delay_s=9.0), Bill.PROMPT),
    "an end before the first word": passing(Fault(cut_after_chunks=0), ProviderTruncated, Bill.NEAR),
    "overload before the first word": passing(Fault(overload_after_chunks=0), ProviderOverloaded, Bill.NOTHING),
    "a stall before the first word": late(Fault(stall_after_chunks=0, stall_s=9.0), Bill.NEAR),
    "a reset before the first word": passing(Fault(reset_after_chunks=0), ProviderUnreachable, Bill.NEAR),
    "a stall between words": begun(Fault(stall_after_chunks=2, stall_s=9.0), ProviderTimeout),
    "a reset between words": begun(Fault(reset_after_chunks=2), ProviderUnreachable),
    "an end between words": begun(Fault(cut_after_chunks=2), ProviderTruncated),
    "overload between words": begun(Fault(overload_after_chunks=2), ProviderOverloaded),
}

# Vectors have neither words nor a finish marker.
EMBEDDED: Table = ALWAYS | {
    "status 429, come back later": final(Fault(status=429, headers={"retry-after": "7"}), ProviderRateLimited),
    "overload": passing(Fault(overload_after_chunks=2), ProviderOverloaded, Bill.NOTHING),
    "no usage": answer(Fault(unreported_usage=True), "stop", Bill.NEAR),
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A vendor's model, its fallback, the kind of request for both, and the vendor's own rows."""

    vendor: str
    model: str
    after: str
    how: str
    table: Table

    def __str__(self) -> str:
        return f"{self.vendor} {self.how}"


LUNA, HAIKU, FLASH = "gpt-6-luna", "claude-haiku-5-5", "gemini-3.5-flash-lite"
OPENAI: Table = {
    "quota": final(Fault(status=429, code="insufficient_quota"), ProviderQuota),
    "billing limit": final(Fault(status=429, code="billing_hard_limit_reached"), ProviderQuota),
    "tokens written to the cache": answer(Fault(extras=Extras(cache_write_5m_tokens=40)), "stop", Bill.REPORTED),
    "another service tier": answer(Fault(served_tier="priority"), "stop", Bill.REPORTED),
    "a call of a tool that nobody offered": answer(Fault(foreign_tool=True), "tool_calls", Bill.REPORTED),
}
# The count of the first chunk has no output in it.
USAGE_FIRST: Table = {"usage in the first chunk alone": answer(Fault(usage_first=True), "stop", Bill.NEAR)}
WRITTEN_TOKENS = Extras(cache_write_5m_tokens=40, cache_write_1h_tokens=20)
ANTHROPIC: Table = USAGE_FIRST | {
    "tokens written to the cache": answer(Fault(extras=WRITTEN_TOKENS), "stop", Bill.REPORTED),
    "another service tier": answer(Fault(served_tier="priority"), "stop", Bill.REPORTED),
    "quota": final(Fault(status=429, code="enforced_spend_limit_reached"), ProviderQuota),
    # Anthropic's SDK skips events without a name, so that the stream seems to be empty.
    "no JSON": passing(Fault(garbage=True), ProviderTruncated, Bill.PROMPT),
}
GEMINI: Table = USAGE_FIRST | {
    "another service tier": answer(Fault(served_tier="priority"), "stop", Bill.REPORTED),
    "quota": final(Fault(status=429, code="GenerateRequestsPerDayPerProjectPerModel-FreeTier"), ProviderQuota),
    # Its chunks are large, and the vendor counts the one that did not arrive whole.
    "reset in the body": passing(Fault(reset_after_bytes=20), ProviderUnreachable, Bill.PROMPT),
    "a wrong key, reported as 400": final(Fault(status=400, code="API_KEY_INVALID"), ProviderAuth),
}
HOWS = {"whole": WHOLE, "streamed": STREAMED, "frame": WHOLE}
ROUTES = [
    Route(vendor="openai", model=LUNA, after=FLASH, how="whole", table=WHOLE | OPENAI),
    Route(vendor="openai", model=LUNA, after=FLASH, how="streamed", table=STREAMED | OPENAI | USAGE_FIRST),
    Route(vendor="openai", model=LUNA, after=FLASH, how="frame", table=WHOLE | OPENAI),
    *(Route(vendor="anthropic", model=HAIKU, after=LUNA, how=how, table=HOWS[how] | ANTHROPIC) for how in HOWS),
    *(Route(vendor="gemini", model=FLASH, after=HAIKU, how=how, table=HOWS[how] | GEMINI) for how in HOWS),
    Route(vendor="voyage", model="voyage-multimodal-3.5", after="voyage-3.5", how="embedding", table=EMBEDDED),
]
MATRIX = [(route, name) for route in ROUTES for name in route.table]
# Both of Voyage's models are behind one port: no candidate is left when it is closed.
LEFT = [(route, name) for route, name in MATRIX if (route.vendor, name) != ("voyage", "a closed port")]
