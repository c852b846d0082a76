"""The STT plugins get the room's language and the agent's names, and a tenant's record changes both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import aiohttp

from room_agent.audio.plugins import MAX_KEYTERM_CHARS, MAX_KEYTERMS, stt_plugins
from room_agent.core.settings import SpeechSettings
from routing.models import TenantAgent

SETTINGS = SpeechSettings(
    voice=True,
    deepgram_key="k",
    deepgram_url="http://vendor.invalid",
    eleven_key="k",
    eleven_url="http://vendor.invalid",
    voice_id="anna",
    stt_models=("nova-3", "nova-2"),
    tts_models=("eleven_flash_v2_5",),
    language="en-US",
    names=("Rayroom", "ray room"),
    max_microphones=1,
    pause_s=0.3,
    keyterms=True,
)


def options_of(settings: SpeechSettings) -> list[Any]:
    return [cast(Any, plugin)._opts for plugin in stt_plugins(settings, cast(aiohttp.ClientSession, None))]


def test_only_nova_3_gets_the_names_as_key_terms_and_never_too_many() -> None:
    first, second = options_of(SETTINGS)
    assert (first.keyterm, second.keyterm) == (["Rayroom", "ray room"], [])
    many = TenantAgent.model_construct(names=tuple("n" * 100 for _ in range(20)))
    keyterms = options_of(SETTINGS.of_tenant(many))[0].keyterm
    assert len(keyterms) == MAX_KEYTERMS and max(map(len, keyterms)) == MAX_KEYTERM_CHARS


def test_a_tenants_rooms_may_hear_several_languages_and_have_voices_for_each() -> None:
    one_model = replace(SETTINGS, stt_models=("nova-3",))
    multi = one_model.of_tenant(TenantAgent(language="multi", voices={"de": "berta"}))
    assert multi.detects_language and multi.spoken_language == "" and multi.voices == {"de": "berta"}
    (options,) = options_of(multi)
    assert (str(options.language), options.endpointing_ms) == ("multi", 100)
    assert options_of(one_model)[0].endpointing_ms == 25 and one_model.spoken_language == "en-US"


def test_a_language_without_a_price_stays_the_workers() -> None:
    assert SETTINGS.of_tenant(TenantAgent(language="multi")).language == "en-US"
