"""Speech of participants who leave or unpublish is transcribed and remembered, and answered if they are present."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

from livekit import api

from cluster.lab.demo.speech_synth import speech
from tests.acceptance.voice_scene import ROOM, VoiceScene, speak_question, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.speaking_participant import SpeakingParticipant, joined


class LiveKitWithNames(LiveKit):
    """A server whose tokens give each participant a display name."""

    def token(self, room: str, identity: str, agent: bool = False) -> str:
        grants = api.VideoGrants(room_join=True, room=room)
        token = api.AccessToken(self.key, self.secret).with_identity(identity).with_grants(grants)
        return token.with_name(f"{identity.title()} Smith").with_ttl(dt.timedelta(minutes=10)).to_jwt()


async def wait_for_microphones(scene: VoiceScene, microphones: int) -> None:
    await eventually(lambda: scene.speech.report().get("hearing_microphones") == microphones)


def transcripts_of(identity: str, observer: SpeakingParticipant) -> list[str]:
    return [transcript.text for transcript in observer.transcripts if transcript.identity == identity]


async def test_the_question_of_a_participant_who_leaves_is_transcribed_and_in_the_next_context(
    livekit: LiveKit,
) -> None:
    livekit_with_names = LiveKitWithNames(url=livekit.url, key=livekit.key, secret=livekit.secret)
    async with voice_scene(livekit) as scene, joined(livekit_with_names, ROOM, "ann") as ann:
        async with joined(livekit_with_names, ROOM, "bob") as bob:
            await wait_for_microphones(scene, 2)
            scene.emulator.script.add("Rayroom, is the total forty two?")
            await bob.play(speech(1_800))
        await eventually(lambda: transcripts_of("bob", ann))
        (transcript,) = (transcript for transcript in ann.transcripts if transcript.identity == "bob")
        assert (transcript.text, transcript.attributes["rayroom.speaker"]) == (
            "Rayroom, is the total forty two?",
            "Bob Smith",
        )
        await wait_for_microphones(scene, 1)
        await speak_question(scene, ann, "What did Bob ask?")
        await eventually(lambda: ann.answers())
        # The asker has left, so the question is only in the context.
        (chat,) = scene.router.chat_requests
        assert "forty two" in json.dumps(chat["messages"][:-1]) and [
            answer.attributes["rayroom.to"] for answer in ann.answers()
        ] == ["ann"]
        assert scene.speech.report()["hearing_utterances_lost"] == 0
    assert scene.billed() == scene.charged()


async def test_a_participant_who_unpublishes_the_microphone_after_a_question_is_answered(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        await wait_for_microphones(scene, 1)
        scene.emulator.script.add("What is it?")
        await ann.play(speech(1_500))
        await ann.unpublish_microphone()
        await eventually(lambda: ann.answers())
        assert transcripts_of("ann", ann) == ["What is it?"]


async def test_every_partial_transcript_gets_a_final_one_if_its_speaker_leaves_in_mid_word(
    livekit: LiveKit,
) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await wait_for_microphones(scene, 2)
            scene.emulator.script.add("The total is forty two and not more than that.")
            await bob.play(speech(2_000))
            await eventually(lambda: ann.partial_transcripts)
        await eventually(lambda: transcripts_of("bob", ann))
        assert {text.segment for text in ann.partial_transcripts} == {
            transcript.segment for transcript in ann.transcripts
        }


async def test_four_microphones_of_one_participant_do_not_exclude_the_next_participant(livekit: LiveKit) -> None:
    async with voice_scene(livekit, max_microphones=2) as scene, joined(livekit, ROOM, "bob") as bob:
        for _ in range(3):
            await bob.publish_microphone()
        await eventually(lambda: scene.speech.report().get("hearing_microphones_refused") == 2)
        async with joined(livekit, ROOM, "ann") as ann:
            await eventually(lambda: scene.speech.report()["hearing_microphones_refused"] == 3)
            await asyncio.sleep(0.5)
            await speak_question(scene, ann, "Rayroom, what is it?")
            await eventually(lambda: ann.answers())
            assert transcripts_of("ann", ann) == ["Rayroom, what is it?"]


async def test_the_partial_transcript_of_a_lost_utterance_is_cleared(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        await wait_for_microphones(scene, 1)
        scene.emulator.script.add("What is on the screen below the second chart?")
        playing = asyncio.create_task(ann.play(speech(4_000)))
        await eventually(lambda: ann.partial_transcripts)
        voice = scene.speech.voice
        assert voice is not None
        await voice._microphones.aclose()
        await eventually(lambda: ann.transcripts)
        assert [(transcript.text, transcript.segment) for transcript in ann.transcripts] == [
            ("", ann.partial_transcripts[0].segment)
        ]
        assert scene.speech.report()["hearing_utterances_lost"] == 1
        await playing
