"""Speech of participants who leave or unpublish is transcribed and remembered, and answered if they are present."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

from livekit import api

from cluster.lab.demo.speech_synth import speech
from tests.acceptance.voice_scene import ROOM, Scene, asked, scene
from tests.support.livekit_server import LiveKit
from tests.support.speaking_participant import SpeakingParticipant, joined
from tests.support.stack import eventually


class Named(LiveKit):
    """The server, with a display name for each participant."""

    def token(self, room: str, identity: str, agent: bool = False) -> str:
        grants = api.VideoGrants(room_join=True, room=room)
        token = api.AccessToken(self.key, self.secret).with_identity(identity).with_grants(grants)
        return token.with_name(f"{identity.title()} Smith").with_ttl(dt.timedelta(minutes=10)).to_jwt()


async def heard(room: Scene, microphones: int) -> None:
    await eventually(lambda: room.speech.report().get("hearing_microphones") == microphones)


def said_by(identity: str, reader: SpeakingParticipant) -> list[str]:
    return [line.text for line in reader.transcripts if line.identity == identity]


async def test_what_somebody_asks_and_leaves_is_written_under_their_name_and_known_to_the_next_answer(
    livekit: LiveKit,
) -> None:
    named = Named(url=livekit.url, key=livekit.key, secret=livekit.secret)
    async with scene(livekit) as room, joined(named, ROOM, "ann") as ann:
        async with joined(named, ROOM, "bob") as bob:
            await heard(room, 2)
            room.emulator.script.add("Rayroom, is the total forty two?")
            await bob.play(speech(1_800))
        await eventually(lambda: said_by("bob", ann))
        (line,) = (line for line in ann.transcripts if line.identity == "bob")
        assert (line.text, line.attributes["rayroom.speaker"]) == ("Rayroom, is the total forty two?", "Bob Smith")
        await heard(room, 1)
        await asked(room, ann, "What did Bob ask?")
        await eventually(lambda: ann.answers())
        # Nobody is there to be answered, but the question is in the context.
        (chat,) = room.router.chats
        assert "forty two" in json.dumps(chat["messages"][:-1]) and [
            a.attributes["rayroom.to"] for a in ann.answers()
        ] == ["ann"]
        assert room.speech.report()["hearing_utterances_lost"] == 0
    assert room.billed() == room.charged()


async def test_who_hangs_up_right_after_a_question_is_answered(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        await heard(room, 1)
        room.emulator.script.add("What is it?")
        await ann.play(speech(1_500))
        await ann.unpublish_microphone()
        await eventually(lambda: ann.answers())
        assert said_by("ann", ann) == ["What is it?"]


async def test_every_line_that_was_begun_ends_though_its_speaker_leaves_in_the_middle_of_a_word(
    livekit: LiveKit,
) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await heard(room, 2)
            room.emulator.script.add("The total is forty two and not more than that.")
            await bob.play(speech(2_000))
            await eventually(lambda: ann.partial_transcripts)
        await eventually(lambda: said_by("bob", ann))
        assert {one.segment for one in ann.partial_transcripts} == {line.segment for line in ann.transcripts}


async def test_who_has_four_microphones_takes_no_place_of_who_comes_later(livekit: LiveKit) -> None:
    async with scene(livekit, max_microphones=2) as room, joined(livekit, ROOM, "bob") as bob:
        for _ in range(3):
            await bob.publish_microphone()
        await eventually(lambda: room.speech.report().get("hearing_microphones_refused") == 2)
        async with joined(livekit, ROOM, "ann") as ann:
            await eventually(lambda: room.speech.report()["hearing_microphones_refused"] == 3)
            await asyncio.sleep(0.5)
            await asked(room, ann, "Rayroom, what is it?")
            await eventually(lambda: ann.answers())
            assert said_by("ann", ann) == ["Rayroom, what is it?"]


async def test_a_line_that_comes_to_nothing_is_taken_back(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        await heard(room, 1)
        room.emulator.script.add("What is on the screen below the second chart?")
        spoken = asyncio.create_task(ann.play(speech(4_000)))
        await eventually(lambda: ann.partial_transcripts)
        voice = room.speech.voice
        assert voice is not None
        await voice._microphones.aclose()
        await eventually(lambda: ann.transcripts)
        assert [(line.text, line.segment) for line in ann.transcripts] == [("", ann.partial_transcripts[0].segment)]
        assert room.speech.report()["hearing_utterances_lost"] == 1
        await spoken
