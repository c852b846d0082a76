"""Answer, stream or embed one routed request with the first of its attempts that succeeds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from deployments.common.streaming import first_within
from deployments.gateway.failover import Candidate, Failover, FailoverRun
from deployments.gateway.models import AnswerHandle, EmbedHandle, RoutedAnswer, RoutedRequest, StreamHandle
from deployments.providers.base import thinks
from deployments.providers.embedding_check import check_vectors
from routing.errors import RayroomError
from routing.estimates import estimate_chat, estimate_embedding
from routing.evidence import needs_stronger
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest, Tier, Usage
from routing.policy import Decision

RUN_ENDS = "a run raises its last error where no attempt follows"


async def answer(failover: Failover, handle: AnswerHandle, request: RoutedRequest) -> RoutedAnswer:
    """Return the first answer, or a stronger model's where the cheap one's shows that it is needed.

    The cost of each attempt is durable before its answer returns. Raises the last ProviderError, or the error of the
    cost journal or of the deployment's queue.
    """
    run = failover.attempts(request)
    answered = await _first_answer(handle, run, request.decision)
    reason = needs_stronger(answered.answer) if request.decision.stronger else None
    if reason is None:
        return answered
    return await _escalate(handle, run, answered, reason)


async def _first_answer(handle: AnswerHandle, run: FailoverRun, decision: Decision) -> RoutedAnswer:
    async for candidate in run:
        request = _model_request(run.request, candidate)
        async with candidate.attempt(estimate_chat(candidate.model, request)) as attempt:
            answer = await handle.answer(replace(request, timeout_s=candidate.timeout_s))
            run.vendor_s += answer.vendor_s
            attempt.record_answer(answer.usage, answer.text)
        if not candidate.failed:
            return _routed(answer, decision, run)
    raise AssertionError(RUN_ENDS)


async def _escalate(handle: AnswerHandle, run: FailoverRun, weak: RoutedAnswer, reason: str) -> RoutedAnswer:
    """Return the strong tier's answer, both billed; the weak one where the strong tier has none, for any reason."""
    decision = run.request.decision
    reasons, stronger = (*decision.reasons, f"escalated: {reason}"), decision.stronger
    run.redirect(stronger)
    strong = replace(decision, tier=Tier.COMPLEX, targets=stronger, stronger=(), reasons=reasons)
    try:
        return await _first_answer(handle, run, strong)
    except RayroomError as error:
        kept = replace(decision, reasons=(*reasons, f"kept: {error.code}"))
        return _routed(weak.answer, kept, run)


async def stream(
    failover: Failover, handle: StreamHandle, request: RoutedRequest
) -> AsyncGenerator[Delta | RoutedAnswer, None]:
    """Yield the answer's deltas, then the RoutedAnswer with the whole cost; fall back before the first delta only.

    Raises as `answer` does.
    """
    run = failover.attempts(request)
    async for candidate in run:
        model_request, deltas = _model_request(request, candidate), list[Delta]()
        name = failover.meter.served_name(candidate.model)
        async with candidate.attempt(estimate_chat(candidate.model, model_request)) as attempt:
            if not thinks(model_request):
                attempt.record_no_thinking()
            model_request = replace(model_request, timeout_s=candidate.timeout_s)
            arriving = first_within(handle.stream(model_request), model_request.first_token_timeout_s)
            async with aclosing(arriving):
                async for delta in arriving:
                    attempt.record_delta(delta)
                    deltas.append(delta)
                    run.vendor_s += delta.vendor_s
                    if delta.text:
                        run.streaming = True
                        yield Delta(text=delta.text, model=name, vendor_s=run.vendor_s)
        if not candidate.failed:
            # Only now is the attempt's cost durable.
            yield _routed(_joined(deltas, name, failover.meter.simulated(candidate.model)), request.decision, run)
            return


async def embed(failover: Failover, handle: EmbedHandle, request: RoutedRequest) -> tuple[EmbeddingResult, int]:
    """Return the vectors and their cost in nano-dollars; raises as `answer` does."""
    run = failover.attempts(request)
    async for candidate in run:
        inputs = EmbedRequest(model=candidate.model.name, inputs=request.messages, timeout_s=candidate.timeout_s)
        async with candidate.attempt(estimate_embedding(inputs)) as attempt:
            embeddings = await handle.embed(replace(inputs, timeout_s=candidate.timeout_s))
            attempt.record_answer(embeddings.usage)
            check_vectors(candidate.model, embeddings, len(request.messages))
        if not candidate.failed:
            return embeddings, run.cost_nanousd
    raise AssertionError(RUN_ENDS)


def _model_request(request: RoutedRequest, candidate: Candidate) -> ModelRequest:
    model, timeouts = candidate.model, request.timeouts
    return ModelRequest(
        model=model.name,
        messages=request.messages,
        max_output_tokens=min(request.max_output_tokens, model.max_output_tokens),
        options=request.options,
        timeout_s=candidate.timeout_s,
        first_token_timeout_s=min(timeouts.first_token_s, candidate.timeout_s),
        between_tokens_timeout_s=timeouts.between_tokens_s,
    )


def _routed(answer: Answer, decision: Decision, run: FailoverRun) -> RoutedAnswer:
    return RoutedAnswer(
        answer=answer, decision=decision, cost_nanousd=run.cost_nanousd, attempts=run.attempts, vendor_s=run.vendor_s
    )


def _joined(deltas: list[Delta], model: str, simulated: bool) -> Answer:
    """Return the deltas of one attempt as one answer."""
    usages = [delta.usage for delta in deltas if delta.usage is not None]
    return Answer(
        text="".join(delta.text for delta in deltas),
        model=model,
        finish=deltas[-1].finish or "stop",
        usage=sum(usages, Usage()) if usages else None,
        simulated=simulated,
    )
