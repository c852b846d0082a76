"""The simulated vendor: seeded, timed as the published figures say, and never to be taken for a real one."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from deployments.common.settings import ProfileChange, SimulationSettings
from deployments.providers.simulated import SimulatedProvider, load_profiles, profile_of, published_p99_s
from routing.catalogue import load_catalogue
from routing.chat import Image, Message
from routing.errors import ProviderOverloaded, ProviderTimeout
from routing.models import EmbedRequest, ModelRequest
from tests.support.gateway import jpeg

CATALOGUE = load_catalogue()
FLASH = CATALOGUE.get("gemini-3.5-flash-lite")


class Naps:
    """Sleeps no time and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept_s.append(seconds)


def ask(text: str = "Describe", images: tuple[bytes, ...] = (), max_output_tokens: int = 300) -> ModelRequest:
    message = Message(role="user", content=(text, *(Image(data=image) for image in images)))
    return ModelRequest(model=FLASH.name, messages=(message,), max_output_tokens=max_output_tokens)


async def test_an_answer_says_that_it_is_simulated_wherever_it_is_shown() -> None:
    answer = await SimulatedProvider(SimulationSettings(), Naps()).answer(FLASH, ask())
    assert answer.simulated and answer.model == "simulated/gemini-3.5-flash-lite"
    assert answer.text.startswith("[simulated gemini-3.5-flash-lite]")


async def test_one_seed_gives_one_answer_and_another_seed_another() -> None:
    async def said(seed: int) -> str:
        return (await SimulatedProvider(SimulationSettings(seed=seed), Naps()).answer(FLASH, ask())).text

    assert await said(7) == await said(7) != await said(8)


async def test_usage_counts_the_image_by_its_vendors_rule_and_the_words_said() -> None:
    answer = await SimulatedProvider(SimulationSettings(), Naps()).answer(FLASH, ask(images=(jpeg(),)))
    assert answer.usage is not None
    assert answer.usage.image_tokens == 1_120 and answer.usage.output_tokens == len(answer.text.split())


async def test_an_answer_longer_than_allowed_is_cut_and_says_so() -> None:
    answer = await SimulatedProvider(SimulationSettings(), Naps()).answer(FLASH, ask(max_output_tokens=5))
    assert answer.finish == "length" and len(answer.text.split()) == 5


async def test_first_tokens_come_as_the_profile_says() -> None:
    naps = Naps()
    provider = SimulatedProvider(SimulationSettings(seed=3), naps)
    first_s = []
    for number in range(400):
        start = len(naps.slept_s)
        await provider.answer(FLASH, ask(f"turn {number}", max_output_tokens=1))
        first_s.append(naps.slept_s[start])
    median_ms = 1_000 * sorted(first_s)[200]
    assert median_ms == pytest.approx(load_profiles()[FLASH.name].first_token_ms, rel=0.1)


async def test_a_whole_answer_is_the_streams_in_the_same_time() -> None:
    whole_naps, stream_naps = Naps(), Naps()
    whole = await SimulatedProvider(SimulationSettings(), whole_naps).answer(FLASH, ask())
    deltas = [delta async for delta in SimulatedProvider(SimulationSettings(), stream_naps).stream(FLASH, ask())]
    assert whole.text == "".join(delta.text for delta in deltas)
    assert (whole.finish, whole.usage) == (deltas[-1].finish, deltas[-1].usage)
    assert sum(whole_naps.slept_s) == pytest.approx(sum(stream_naps.slept_s)) and len(whole_naps.slept_s) == 2


async def test_twice_the_speed_takes_half_the_time() -> None:
    slept = []
    for speed in (1.0, 2.0):
        naps = Naps()
        await SimulatedProvider(SimulationSettings(speed=speed), naps).answer(FLASH, ask())
        slept.append(sum(naps.slept_s))
    assert slept[0] == pytest.approx(2 * slept[1])


async def test_a_model_told_to_fail_fails_and_the_others_do_not() -> None:
    provider = SimulatedProvider(SimulationSettings(failures={FLASH.name: 1.0}), Naps())
    with pytest.raises(ProviderOverloaded):
        await provider.answer(FLASH, ask())
    other = CATALOGUE.get("gpt-6-luna")
    assert (await provider.answer(other, ask())).simulated


async def test_an_attempt_ends_with_its_time() -> None:
    provider = SimulatedProvider(SimulationSettings(speed=0.01), asyncio.sleep)
    late = ModelRequest(model=FLASH.name, messages=(Message(role="user", content=("x",)),), timeout_s=0.02)
    with pytest.raises(ProviderTimeout):
        await provider.answer(FLASH, late)


async def test_the_same_content_has_the_same_unit_vector() -> None:
    voyage = CATALOGUE.get("voyage-multimodal-3.5")
    inputs = tuple(Message(role="user", content=(text,)) for text in ("a", "b", "a"))
    provider = SimulatedProvider(SimulationSettings(), Naps())
    result = await provider.embed(voyage, EmbedRequest(model=voyage.name, inputs=inputs))
    assert result.vectors[0] == result.vectors[2] != result.vectors[1]
    assert sum(value**2 for value in result.vectors[0]) == pytest.approx(1.0)


def test_every_profile_names_its_source() -> None:
    assert all(len(profile.source) > 10 for profile in load_profiles().values())


def test_a_profile_is_changed_in_what_the_change_names_only() -> None:
    published = profile_of("gpt-6-luna", {})
    changed = profile_of("gpt-6-luna", {"gpt-6-luna": ProfileChange(first_token_ms=5.0)})
    assert changed.first_token_ms == 5.0 and changed.tokens_per_s == published.tokens_per_s
    assert profile_of("gpt-6.1-sol", {"gpt-6-luna": ProfileChange(sigma=0.0)}).sigma > 0


def test_times_drawn_at_once_are_distributed_as_those_drawn_one_by_one() -> None:
    profile = load_profiles()["gpt-6-luna"].model_copy(update={"tail_share": 0.2})
    rng = random.Random(3)
    one_by_one = sorted(profile.first_token_s(rng) for _ in range(40_000))
    at_once = np.sort(profile.first_tokens_s(np.random.default_rng(3), 40_000))
    for share in (0.05, 0.25, 0.5, 0.75, 0.9, 0.97):
        at = int(share * 40_000)
        assert at_once[at] == pytest.approx(one_by_one[at], rel=0.05)


def test_the_published_p99_is_that_of_the_drawn_times() -> None:
    models = ("gpt-6-luna", "gemini-3.5-flash-lite", "claude-haiku-5-5")
    published_s = published_p99_s([*models, "a model without a profile"])
    assert set(published_s) == set(models)
    for name in models:
        times_s = np.sort(load_profiles()[name].first_tokens_s(np.random.default_rng(5), 100_000))
        assert published_s[name] == pytest.approx(times_s[99_000], rel=0.05)


def test_a_profile_without_spread_has_its_median_as_every_quantile() -> None:
    even = load_profiles()["gpt-6-luna"].model_copy(update={"sigma": 0.0, "tail_share": 0.0})
    assert even.first_token_quantile_s(0.99) == pytest.approx(even.first_token_ms / 1_000)
