"""Answer, stream or embed one routed request with the first of its attempts that succeeds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from deployments.common.streaming import first_within
from deployments.gateway.failover import Candidate, Failover, FailoverRun
from deployments.gateway.metering import MeteredAttempt
from deployments.gateway.models import (
    AnswerHandle,
    AttemptTimeouts,
    EmbedHandle,
    RoutedAnswer,
    RoutedRequest,
    StreamHandle,
)
from deployments.providers.embedding_check import check_vectors
from routing.billing.charges import written_calls
from routing.capabilities import accepted_options, effort_of, thinking_tokens
from routing.catalogue import Model
from routing.chat import ChatOptions, Effort, Message
from routing.deltas import joined_answer, joined_delta
from routing.errors import RayroomError, ThinkingExhausted
from routing.estimates import estimate_chat, estimate_embedding
from routing.evidence import needs_stronger, only_thought
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest, Tier

MORE_ROOM = 4
"""The factor by which the room for thinking grows when thinking used up the whole output limit."""
LEAST_ROOM_TOKENS = 256
"""The room that grows where none was reserved: a server of one's own may think without being asked to."""
RUN_ENDS = "a run raises its last error where no attempt follows"
Sent = TypeVar("Sent", ModelRequest, EmbedRequest)


async def answer(failover: Failover, handle: AnswerHandle, request: RoutedRequest) -> RoutedAnswer:
    """Return the first answer, or a stronger model's where the cheap one's shows that it is needed.

    The strong model's answer is returned unless it has none, for any reason. The cost of each attempt is durable before
    its answer returns. Raises the last ProviderError, RequestRefused, or the error of the cost journal or of the
    deployment's queue.
    """
    run = failover.attempts(request)
    weak = await _first_answer(handle, run)
    if not _escalates(run, weak.answer):
        return weak
    try:
        return await _first_answer(handle, run)
    except RayroomError as error:
        return _kept(weak, run, error)


async def _first_answer(handle: AnswerHandle, run: FailoverRun) -> RoutedAnswer:
    async for candidate in run:
        request = _request_of(candidate)
        async with candidate.attempt(estimate_chat(candidate.model, request)) as attempt:
            answer = await handle.answer(_sent(request, candidate, attempt))
            run.vendor_s += answer.vendor_s
            attempt.received.add_whole(
                answer.usage, answer.text + written_calls(answer.tool_calls), answer.service_tier
            )
            _check_answered(request, answer)
        if not candidate.failed:
            return _routed(answer, run)
    raise AssertionError(RUN_ENDS)


async def stream(
    failover: Failover, handle: StreamHandle, request: RoutedRequest
) -> AsyncGenerator[Delta | RoutedAnswer, None]:
    """Yield the answer's deltas, then the RoutedAnswer with the whole cost.

    Until the first delta another attempt may follow, as in `answer`: the next model's, or a stronger one's. Raises as
    `answer` does.
    """
    run = failover.attempts(request)
    weak: RoutedAnswer | None = None
    try:
        async for candidate in run:
            sent, deltas = _request_of(candidate), list[Delta]()
            name = failover.meter.served_name(candidate.model)
            async with candidate.attempt(estimate_chat(candidate.model, sent)) as attempt:
                attempt.streamed = True
                sent = _sent(sent, candidate, attempt)
                timer = candidate.time_first_token(sent.effort)
                arriving = first_within(handle.stream(sent), timer.limit_s)
                async with aclosing(arriving):
                    async for delta in arriving:
                        timer.stop()
                        attempt.received.add(delta)
                        deltas.append(delta)
                        run.vendor_s += delta.vendor_s
                        leaving = _leaving(deltas, run.streaming)
                        if leaving is not None:
                            run.streaming = True
                            yield replace(leaving, model=name, vendor_s=run.vendor_s)
                if not run.streaming:
                    _check_answered(sent, joined_answer(deltas, name, False))
            if candidate.failed:
                continue
            # Only now is the attempt's cost durable.
            answered = _routed(joined_answer(deltas, name, failover.meter.simulated(candidate.model)), run)
            if run.streaming or not _escalates(run, answered.answer):
                yield answered
                return
            weak = answered
    except RayroomError as error:
        if weak is None or run.streaming:
            raise
        yield _kept(weak, run, error)


def _leaving(deltas: list[Delta], streaming: bool) -> Delta | None:
    """Return the piece to send when the last of `deltas` has come, or None.

    Blank text is held until the first word or tool call: until then the answer may still come from another model.
    """
    last = deltas[-1]
    if streaming:
        piece = last if last.text or last.tool_calls or last.logprobs else None
    else:
        piece = joined_delta(deltas) if last.text.strip() or last.tool_calls else None
    # The bill of a piece is not the caller's: the RoutedAnswer has the whole cost.
    return piece and replace(piece, finish=None, usage=None, usage_so_far=None, thinking_bytes=0)


async def embed(failover: Failover, handle: EmbedHandle, request: RoutedRequest) -> tuple[EmbeddingResult, int]:
    """Return the vectors and their cost in nano-dollars; raises as `answer` does."""
    run = failover.attempts(request)
    async for candidate in run:
        inputs = EmbedRequest(
            model=candidate.model.name,
            inputs=request.messages,
            dimensions=None if request.dimensions == candidate.model.dimensions else request.dimensions,
            timeout_s=candidate.timeout_s,
        )
        async with candidate.attempt(estimate_embedding(inputs)) as attempt:
            sent = _sent(inputs, candidate, attempt)
            embeddings = await handle.embed(sent)
            attempt.received.add_whole(embeddings.usage)
            check_vectors(candidate.model, embeddings, len(request.messages), request.dimensions)
        if not candidate.failed:
            return embeddings, run.cost_nanousd
    raise AssertionError(RUN_ENDS)


def _sent(request: Sent, candidate: Candidate, attempt: MeteredAttempt) -> Sent:
    """Return the request with its attempt's time, event, tenant, span and the id of the caller's request."""
    intent = attempt.intent
    return replace(
        request,
        timeout_s=candidate.timeout_s,
        event_id=intent.event_id,
        tenant_id=intent.tenant_id,
        traceparent=candidate.span.traceparent,
        request_id=intent.request_id,
    )


def _request_of(candidate: Candidate) -> ModelRequest:
    model, request = candidate.model, candidate.run.request
    options = accepted_options(model.name, model.capabilities, request.options, request.drop_params)
    return model_request(
        model,
        request.messages,
        request.max_output_tokens,
        options,
        request.timeouts,
        candidate.timeout_s,
        candidate.more_room,
    )


def model_request(
    model: Model,
    messages: tuple[Message, ...],
    max_output_tokens: int,
    options: ChatOptions,
    timeouts: AttemptTimeouts,
    timeout_s: float,
    more_room: bool,
) -> ModelRequest:
    """Return a request to one model: its effort, its limits and its timers."""
    effort = effort_of(model.capabilities, options)
    visible_tokens = min(max_output_tokens, model.max_output_tokens)
    return ModelRequest(
        model=model.name,
        messages=messages,
        max_output_tokens=visible_tokens,
        effort=effort,
        thinking_tokens=min(_thinking_room(model, effort, more_room), model.max_output_tokens - visible_tokens),
        options=options,
        timeout_s=timeout_s,
        first_token_timeout_s=min(timeouts.first_token_s, timeout_s),
        between_tokens_timeout_s=timeouts.between_tokens_s,
    )


def _thinking_room(model: Model, effort: Effort | None, more: bool) -> int:
    """Return the output tokens to allow for thinking, and `more` of them after an answer that was thought only."""
    tokens = thinking_tokens(model.capabilities, effort)
    return MORE_ROOM * max(tokens, LEAST_ROOM_TOKENS) if more else tokens


def _check_answered(request: ModelRequest, answer: Answer) -> None:
    """Raise ThinkingExhausted where the model thought until its output limit and answered nothing."""
    if only_thought(answer, request.effort):
        raise ThinkingExhausted(thinking_tokens=request.thinking_tokens)


def _escalates(run: FailoverRun, answer: Answer) -> bool:
    """Send the run to the stronger models if the answer shows that they are needed; return whether it does."""
    decision, json = run.decision, run.request.options.wants_json
    reason = needs_stronger(answer, json=json) if decision.stronger else None
    if reason is None:
        return False
    reasons = (*decision.reasons, f"escalated: {reason}")
    run.redirect(replace(decision, tier=Tier.COMPLEX, targets=decision.stronger, stronger=(), reasons=reasons))
    return True


def _kept(weak: RoutedAnswer, run: FailoverRun, error: RayroomError) -> RoutedAnswer:
    """Return the weak answer with the bill of the whole run, whose strong models failed with `error`."""
    reasons = (*run.decision.reasons, f"kept: {error.code}")
    return replace(_routed(weak.answer, run), decision=replace(weak.decision, reasons=reasons))


def _routed(answer: Answer, run: FailoverRun) -> RoutedAnswer:
    return RoutedAnswer(
        answer=answer,
        decision=run.decision,
        cost_nanousd=run.cost_nanousd,
        attempts=run.attempts,
        vendor_s=run.vendor_s,
    )
