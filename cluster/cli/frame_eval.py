"""Ask the configured vision models about labelled frames, and print the accuracy, cost and latency of each."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.check.terminal import plain
from cluster.cli.frame_labels import LabelledFrame
from cluster.config.settings import AppSettings
from deployments.gateway.attempts import model_request
from deployments.gateway.frame_prompt import ReceivedFrame, frame_message
from deployments.gateway.models import AnswerHandle, AttemptTimeouts
from deployments.model_replica import ModelReplica
from routing.catalogue import Catalogue, Model
from routing.chat import ChatOptions, Message
from routing.errors import ConfigurationError, RayroomError, UnknownModel
from routing.latency import percentile
from routing.models import Answer, ModelRequest
from routing.units import NANOUSD_PER_USD

CONCURRENT = 4
"""The requests of one model at a time: more would meet the rate limits of new accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameModelScore:
    """One model's figures. A frame is right where its answer holds all expected texts; failed ones count as wrong.

    `cost_nanousd` is the known cost of all answers; `unpriced` answers have none.
    """

    model: str
    simulated: bool
    frames: int
    right: int
    texts_found: int
    texts: int
    failed: int
    unpriced: int
    cost_nanousd: int
    p50_ms: float | None
    p95_ms: float | None

    @property
    def nanousd_a_right_frame(self) -> int | None:
        """Return the cost for each frame that was read rightly."""
        return round(self.cost_nanousd / self.right) if self.right else None


def vision_models(settings: AppSettings, wanted: Sequence[str]) -> list[str]:
    """Return the wanted models, or all that are configured for frames. Raises UnknownModel."""
    catalogue = settings.catalogue()
    names = list(dict.fromkeys(wanted or (*settings.vision.simple, *settings.vision.complex)))
    for name in names:
        if "vision" not in catalogue.get(name).services:
            raise UnknownModel(f"{name} reads no images.", "model")
    return names


async def evaluate_models(
    settings: AppSettings, frames: Sequence[LabelledFrame], names: Sequence[str]
) -> list[FrameModelScore]:
    """Return each model's score; the models are asked one after the other."""
    catalogue = settings.catalogue()
    replica = ModelReplica(dict(settings.vendors), settings.simulation, catalogue)
    try:
        replica.warm_up()
        return [await evaluate_model(replica, settings, catalogue, name, frames) for name in names]
    finally:
        await replica.aclose()


async def evaluate_model(
    handle: AnswerHandle, settings: AppSettings, catalogue: Catalogue, name: str, frames: Sequence[LabelledFrame]
) -> FrameModelScore:
    """Return one model's score over all frames."""
    model, slots = catalogue.get(name), asyncio.Semaphore(CONCURRENT)

    async def answered(frame: LabelledFrame) -> Answer | None:
        async with slots:
            return await _answer(handle, settings, model, frame)

    answers = await asyncio.gather(*map(answered, frames))
    found = [frame.found(answer.text) if answer else 0 for frame, answer in zip(frames, answers, strict=True)]
    given = [answer for answer in answers if answer is not None]
    costs = [_cost_nanousd(catalogue, model, answer) for answer in given]
    times_ms = sorted(1_000 * answer.vendor_s for answer in given)
    return FrameModelScore(
        model=name,
        simulated=any(answer.simulated for answer in given),
        frames=len(frames),
        right=sum(count == len(frame.expects) for count, frame in zip(found, frames, strict=True)),
        texts_found=sum(found),
        texts=sum(len(frame.expects) for frame in frames),
        failed=len(frames) - len(given),
        unpriced=sum(cost is None for cost in costs),
        cost_nanousd=sum(cost or 0 for cost in costs),
        p50_ms=percentile(times_ms, 0.5) if times_ms else None,
        p95_ms=percentile(times_ms, 0.95) if times_ms else None,
    )


async def _answer(handle: AnswerHandle, settings: AppSettings, model: Model, frame: LabelledFrame) -> Answer | None:
    """Return the answer about a frame as the gateway would ask for it, or None where it failed."""
    try:
        return await handle.answer(_request(settings, model, frame))
    except RayroomError:
        return None


def _request(settings: AppSettings, model: Model, frame: LabelledFrame) -> ModelRequest:
    vision = settings.vision
    if frame.question is None:
        message = frame_message(ReceivedFrame(image=frame.image), vision)
    else:
        message = Message(role="user", content=(frame.image, frame.question))
    once_s = vision.attempt_timeout_s
    timeouts = AttemptTimeouts(attempt_s=once_s, first_token_s=once_s, between_tokens_s=once_s, total_s=once_s)
    return model_request(model, (message,), vision.max_output_tokens, ChatOptions(), timeouts, once_s, more_room=False)


def _cost_nanousd(catalogue: Catalogue, model: Model, answer: Answer) -> int | None:
    if answer.usage is None:
        return None
    try:
        price = catalogue.price(model.name, dt.datetime.now(dt.UTC).date())
        return price.cost_nanousd(answer.usage, answer.service_tier)
    except ConfigurationError:
        return None


def show(scores: Sequence[FrameModelScore], console: Console, as_json: bool) -> None:
    """Print the scores, the cheapest model for a right frame first."""
    ordered = sorted(scores, key=lambda score: (score.right == 0, score.nanousd_a_right_frame or 0))
    if as_json:
        print(json.dumps([asdict(score) | {"nanousd_a_right_frame": score.nanousd_a_right_frame} for score in ordered]))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("model", "right", "texts found", "failed", "USD a frame", "USD a right frame", "p50 ms", "p95 ms"):
        is_model = name == "model"
        table.add_column(name, justify="left" if is_model else "right", overflow="fold", no_wrap=is_model)
    for score in ordered:
        table.add_row(*map(Text, map(plain, _cells(score))))
    console.print(table)
    if any(score.simulated for score in scores):
        console.print("Simulated vendors do not read the picture: only their latency and cost mean anything.")
    if any(score.unpriced for score in scores):
        console.print("Some answers came without usage, so their cost is unknown and not in the sums.")


def _cells(score: FrameModelScore) -> tuple[str, ...]:
    answered, right_nanousd = score.frames - score.failed - score.unpriced, score.nanousd_a_right_frame
    return (
        f"simulated/{score.model}" if score.simulated else score.model,
        f"{score.right / score.frames:.1%}",
        f"{score.texts_found / score.texts:.1%}",
        str(score.failed),
        f"{score.cost_nanousd / answered / NANOUSD_PER_USD:.6f}" if answered else "unknown",
        "" if right_nanousd is None else f"{right_nanousd / NANOUSD_PER_USD:.6f}",
        "" if score.p50_ms is None else f"{score.p50_ms:.0f}",
        "" if score.p95_ms is None else f"{score.p95_ms:.0f}",
    )
