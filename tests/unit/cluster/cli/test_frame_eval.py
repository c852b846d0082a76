"""`rayroom frame-eval` counts the expected texts in each model's answers, and their cost and latency."""

from __future__ import annotations

import io
import json
from collections import deque
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cluster.cli.frame_eval import FrameModelScore, evaluate_model, show, vision_models
from cluster.cli.frame_labels import LABELS, LabelledFrame, read_frame_labels
from cluster.cli.main import app
from cluster.config.settings import AppSettings
from deployments.common.settings import EmbeddingsSettings, LlmSettings, VendorSettings, VisionSettings
from routing.catalogue import load_catalogue
from routing.chat import Image
from routing.errors import BadInput, ProviderOverloaded, UnknownModel
from routing.models import Answer, ModelRequest, Usage
from tests.support.gateway import jpeg
from tests.support.scripted_replica import ScriptedReplica

USAGE = Usage(input_tokens=1_000, output_tokens=100)
MODEL = "gemini-3.5-flash-lite"
SETTINGS = AppSettings(
    vendors={"gemini": VendorSettings(api="gemini", simulated=True)},
    vision=VisionSettings(simple=(MODEL,), complex=("gemini-3.8-flash",)),
    llm=LlmSettings(simple=(MODEL,), complex=(MODEL,)),
    embeddings=EmbeddingsSettings(models=("voyage-multimodal-3.5",)),
)


def frame(*expects: str, question: str | None = None) -> LabelledFrame:
    return LabelledFrame(image=Image(data=jpeg(), width_px=640, height_px=360), expects=expects, question=question)


def answer(text: str, usage: Usage | None = USAGE, seconds: float = 1.0) -> Answer:
    return Answer(text=text, model=MODEL, finish="stop", usage=usage, vendor_s=seconds)


async def scored(frames: list[LabelledFrame], *answers: Answer) -> tuple[FrameModelScore, ScriptedReplica]:
    replica = ScriptedReplica(answers=deque(answers))
    return await evaluate_model(replica, SETTINGS, load_catalogue(), MODEL, frames), replica


async def test_a_frame_is_right_where_the_answer_holds_all_its_texts() -> None:
    frames = [frame("Total 718", "open"), frame("Total 718", "open")]
    score, _ = await scored(frames, answer("The TOTAL\n718 is open."), answer("The total 118 is open."))
    assert (score.frames, score.right, score.texts_found, score.texts) == (2, 1, 3, 4)


async def test_the_cost_is_that_of_the_price_table_and_unknown_usage_is_not_zero() -> None:
    score, _ = await scored([frame("a"), frame("a")], answer("a"), answer("a", usage=None))
    row = next(row for row in reversed(load_catalogue().prices.rows) if row.model == MODEL)
    assert score.cost_nanousd == row.cost_nanousd(USAGE) > 0 and score.unpriced == 1
    assert score.nanousd_a_right_frame == round(score.cost_nanousd / 2)


async def test_latency_is_that_of_the_vendor_and_a_failed_frame_counts_as_wrong() -> None:
    class FailingReplica(ScriptedReplica):
        async def answer(self, request: ModelRequest) -> Answer:
            if len(self.requests) == 1:
                self.requests.append(request)
                raise ProviderOverloaded("busy")
            return await super().answer(request)

    replica = FailingReplica(answers=deque([answer("a", seconds=0.5), answer("a", seconds=1.5)]))
    score = await evaluate_model(replica, SETTINGS, load_catalogue(), MODEL, [frame("a")] * 3)
    assert (score.failed, score.right, score.frames) == (1, 2, 3)
    assert score.p50_ms is not None and 500 <= score.p50_ms <= 1_500 and score.p95_ms == pytest.approx(1_500, rel=0.1)


async def test_the_configured_prompt_is_sent_or_the_question_of_the_label() -> None:
    _, replica = await scored([frame("a"), frame("a", question="What is the total?")])
    texts = [request.messages[0].text for request in replica.requests]
    assert texts == [SETTINGS.vision.prompt, "What is the total?"]
    assert {request.max_output_tokens for request in replica.requests} == {SETTINGS.vision.max_output_tokens}


def test_all_configured_models_are_asked_unless_some_are_named() -> None:
    assert vision_models(SETTINGS, ()) == [MODEL, "gemini-3.8-flash"]
    assert vision_models(SETTINGS, ["gemini-3.8-flash"]) == ["gemini-3.8-flash"]
    with pytest.raises(UnknownModel, match="reads no images"):
        vision_models(SETTINGS, ["voyage-multimodal-3.5"])


def labelled(directory: Path, *rows: object) -> Path:
    (directory / "00001.jpeg").write_bytes(jpeg())
    (directory / LABELS).write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return directory


def test_labels_name_their_frames(tmp_path: Path) -> None:
    row = {"file": "00001.jpeg", "expects": ["hello"], "question": "What?"}
    (found,) = read_frame_labels(labelled(tmp_path, row))
    assert (found.expects, found.question, found.image.width_px) == (("hello",), "What?", 640)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"file": "00001.jpeg"}, "line 1: expects"),
        ({"file": "00001.jpeg", "expects": []}, "line 1: expects"),
        ({"file": "2.jpeg", "expects": ["a"]}, "line 1: 2.jpeg"),
        ({"file": "../00001.jpeg", "expects": ["a"]}, "in the directory itself"),
        ({"file": LABELS, "expects": ["a"]}, "does not start as a JPEG"),
        ([], "line 1"),
    ],
)
def test_a_wrong_label_is_refused_with_its_line(tmp_path: Path, row: object, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        read_frame_labels(labelled(tmp_path, row))


def test_missing_or_empty_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=LABELS):
        read_frame_labels(tmp_path)
    (tmp_path / LABELS).write_text("\n")
    with pytest.raises(BadInput, match="1 to"):
        read_frame_labels(tmp_path)


def score(model: str, right: int, cost_nanousd: int) -> FrameModelScore:
    return FrameModelScore(
        model=model,
        simulated=False,
        frames=10,
        right=right,
        texts_found=right,
        texts=10,
        failed=0,
        unpriced=0,
        cost_nanousd=cost_nanousd,
        p50_ms=900.0,
        p95_ms=1_800.0,
    )


def test_the_cheapest_model_for_a_right_frame_comes_first() -> None:
    output = io.StringIO()
    scores = [score("none-right", 0, 10), score("dear", 10, 90_000), score("cheap", 5, 20_000)]
    show(scores, Console(file=output, width=140), as_json=False)
    text = output.getvalue()
    assert text.index("cheap") < text.index("dear") < text.index("none-right")
    assert "50.0%" in text and "0.000004" in text and "1800" in text


def test_the_command_asks_simulated_models_and_says_so(tmp_path: Path) -> None:
    directory = labelled(tmp_path, {"file": "00001.jpeg", "expects": ["hello"]})
    result = CliRunner().invoke(app, ["frame-eval", str(directory), "--model", "gemini-3.5-flash-lite"])
    assert result.exit_code == 0, result.output
    assert "simulated/gemini-3.5-flash-lite" in result.output and "do not read the picture" in result.output
