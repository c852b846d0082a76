"""Measure a second attempt after a late first token, over the published latency profiles in virtual time.

Run `python -m tests.benchmarks.bench_hedging`. A voice turn sends `INPUT_TOKENS` and receives `OUTPUT_TOKENS`.
The hedge starts when the first token is later than a quantile of the model's last 128 first tokens; the slower attempt
is cancelled and billed at its input, as the gateway bills a cancelled attempt. At most a tenth of the turns may hedge.
A first token later than the tier's limit is retried at the same model. Slow answers are independent of each other, as
the profiles state them: a vendor that slows down as a whole would make the gain smaller.
"""

from __future__ import annotations

import datetime as dt
import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deployments.common.settings import TierSeconds
from deployments.providers.simulated import profile_of
from routing.catalogue import load_catalogue
from routing.models import Tier, Usage

TIERS = {Tier.SIMPLE: ("gpt-6-luna", "claude-haiku-5-5"), Tier.COMPLEX: ("gpt-6.1-terra", "claude-sonnet-5-5")}
"""The models of `llm` in serve_config.yaml that a request tries, in their order."""
INPUT_TOKENS, OUTPUT_TOKENS = 2_000, 60
TURNS = 200_000
MAX_SAMPLES, MIN_SAMPLES = 128, 20
MAX_HEDGED_SHARE, BURST = 0.1, 3.0
QUANTILES = (None, 0.95, 0.9)
CATALOGUE = load_catalogue()
TODAY = dt.date(2026, 11, 30)


@dataclass(frozen=True)
class HedgedTurn:
    """The first token's time of one turn in seconds, its cost in nano-dollars, and whether a hedge started."""

    first_token_s: float
    cost_nanousd: int
    hedged: bool


class LatencyWindow:
    """The last `MAX_SAMPLES` first-token times of a model, in seconds."""

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._ranked: list[float] = []

    def add(self, seconds: float) -> None:
        self._order.append(seconds)
        insort(self._ranked, seconds)
        if len(self._order) > MAX_SAMPLES:
            del self._ranked[bisect_left(self._ranked, self._order.popleft())]

    def quantile(self, part: float) -> float | None:
        """Return a quantile, or None with fewer than `MIN_SAMPLES` samples."""
        return self._ranked[int(part * len(self._ranked))] if len(self._ranked) >= MIN_SAMPLES else None


def turns(tier: Tier, quantile: float | None, seed: int = 7) -> Iterator[HedgedTurn]:
    """Yield the turns of one tier; `quantile` is None without hedging."""
    first, second = TIERS[tier]
    rng, limit_s, budget = random.Random(seed), TierSeconds().of(tier), BURST
    times = {name: LatencyWindow() for name in (first, second)}
    input_cost = {name: cost(name, 0) for name in times}
    full_cost = {name: cost(name, OUTPUT_TOKENS) for name in times}
    for _ in range(TURNS):
        budget = min(BURST, budget + MAX_HEDGED_SHARE)
        waited_s, spent = 0.0, 0
        first_s = profile_of(first, {}).first_token_s(rng)
        while first_s > limit_s and not (hedge_delay_s(times, first, second, quantile, limit_s) and budget >= 1.0):
            waited_s, spent = waited_s + limit_s, spent + input_cost[first]
            first_s = profile_of(first, {}).first_token_s(rng)
        after_s = hedge_delay_s(times, first, second, quantile, limit_s)
        if after_s is None or first_s <= after_s or budget < 1.0:
            times[first].add(first_s)
            yield HedgedTurn(waited_s + first_s, spent + full_cost[first], False)
            continue
        budget -= 1.0
        second_s = after_s + profile_of(second, {}).first_token_s(rng)
        winner, loser = (first, second) if first_s <= second_s else (second, first)
        times[winner].add(first_s if winner == first else second_s - after_s)
        yield HedgedTurn(waited_s + min(first_s, second_s), spent + full_cost[winner] + input_cost[loser], True)


def hedge_delay_s(
    times: dict[str, LatencyWindow], first: str, second: str, quantile: float | None, limit_s: float
) -> float | None:
    """Return the seconds until a hedge starts, or None if it cannot help within the first token's limit."""
    after_s = None if quantile is None else times[first].quantile(quantile)
    if after_s is None:
        return None
    return after_s if after_s + (times[second].quantile(0.5) or 0.0) < limit_s else None


def cost(model: str, output_tokens: int) -> int:
    usage = Usage(input_tokens=INPUT_TOKENS, output_tokens=output_tokens)
    return CATALOGUE.price(model, TODAY).cost_nanousd(usage)


def main() -> None:
    print(f"{TURNS} voice turns a row, {INPUT_TOKENS} tokens in, {OUTPUT_TOKENS} out")
    for tier in TIERS:
        base = 0.0
        for quantile in QUANTILES:
            completed = list(turns(tier, quantile))
            p50, p95, p99 = np.quantile([turn.first_token_s for turn in completed], [0.5, 0.95, 0.99])
            mean = float(np.mean([turn.cost_nanousd for turn in completed]))
            base = base or mean
            share = sum(turn.hedged for turn in completed) / TURNS
            print(
                f"{tier.value:8} hedge after {'never' if quantile is None else quantile!s:5}"
                f"  p50 {1_000 * p50:5.0f} ms  p95 {1_000 * p95:5.0f} ms  p99 {1_000 * p99:5.0f} ms"
                f"  hedged {share:5.1%}  cost {mean / base - 1:+.1%}"
            )


if __name__ == "__main__":
    main()
