"""Answers a question with a room's tools: requests, calls, results, until the model answers in words."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from room_agent.conversation.llm import NoAnswer, RouterLlm
from room_agent.conversation.question_queue import Question
from room_agent.conversation.tool_calls import MAX_CALLS_A_TURN, AllowedCall, RequestedCall, plan_calls
from room_agent.conversation.tool_client import CALL_TIMEOUT_S, ListedRoomTool, ToolClient
from room_agent.conversation.tool_confirmation import Confirmation, ProposedCall, as_text, shown_arguments
from room_agent.conversation.tool_messages import CHANGED, TIMED_OUT, failure_message, history, result_message
from room_agent.conversation.tool_phrases import phrases
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_errors import RouterError
from room_agent.core.tasks import OwnedTasks, log_task_end
from room_agent.text.quoting import CUT, one_line

MAX_ROUNDS = MAX_CALLS_A_TURN + 2
"""The replies of the model in one turn, should it request calls without end."""
SLOW_AFTER_S = 1.5
"""The pause after which the agent says that it takes a moment."""
MAX_WRITTEN_CHARS = 8_192
"""The arguments of a call that are written for the room, at the limit of the router."""
LIST_AGAIN_S = 300.0
"""The age from which the tools are listed again, beside the answer."""
CLOSE_TIMEOUT_S = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled:
    """Event: a tool was called for a participant."""

    tool: str
    title: str
    identity: str
    outcome: str
    took_s: float
    cost_nanousd: int


class ToolTurns:
    """One room's tools. Without any, an answer is the model's alone."""

    def __init__(
        self,
        llm: RouterLlm,
        client: ToolClient | None,
        transcription: Transcription,
        clock: Callable[[], float],
        language: str = "en",
        names: tuple[str, ...] = (),
    ) -> None:
        """`client` is None for a tenant without tools."""
        self.llm = llm
        self._client = client
        self._transcription = transcription
        self._clock = clock
        self._language = language
        self._phrases = phrases(language)
        self._tasks = OwnedTasks(log_task_end)
        self._listed_at_s: float | None = None
        self._outcomes: Counter[str] = Counter()
        self.tools: tuple[ListedRoomTool, ...] = ()
        self.sources: tuple[str, ...] = ()
        """Where the results of the present answer's calls are from."""
        self.confirmation = Confirmation(names)
        self.on_listed: Callable[[bool], None] = lambda _: None
        """Called with whether the room has tools, whenever they were listed."""
        self.called: list[Callable[[ToolCalled], None]] = []
        """The subscribers to the event."""

    def start(self) -> None:
        """List the tools, without waiting for them."""
        self._list_again()

    async def aclose(self) -> None:
        await self._tasks.aclose(CLOSE_TIMEOUT_S)
        await self._transcription.aclose()

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat."""
        failed = sum(self._outcomes.values()) - self._outcomes["ok"]
        return {
            "tools_offered": len(self.tools),
            "tools_called": self._outcomes["ok"],
            "tools_failed": failed,
            "tools_proposed": self.confirmation.proposals,
            "tools_agreed": self.confirmation.agreed,
        }

    async def answer(
        self, messages: list[dict[str, Any]], key: str, question: Question, failed_before: bool
    ) -> AsyncIterator[str]:
        """Yield the words of the answer to a turn; calls are made between them. Raises NoAnswer.

        `key` is that of the turn's quotations. A turn that a cheap model answers in any case has no tools.
        """
        if self._listed_at_s is None or self._clock() - self._listed_at_s > LIST_AGAIN_S:
            self._list_again()
        # One answer is given at a time.
        self.sources = ()
        self._phrases = phrases(question.language or self._language)
        messages, calls_left = list(messages), MAX_CALLS_A_TURN
        tools = () if question.simple else self.tools
        if question.confirmed is not None:
            calls_left -= 1
            async with aclosing(self._agreed(question.confirmed, key, messages)) as pauses:  # type: ignore[type-var]
                async for words in pauses:
                    yield words
        for _ in range(MAX_ROUNDS):
            said, requests = "", list[RequestedCall]()
            pieces = self._reply(messages, tools, calls_left, question, failed_before)
            async with aclosing(pieces):  # type: ignore[type-var]
                async for piece in pieces:
                    if isinstance(piece, RequestedCall):
                        requests.append(piece)
                    else:
                        said += piece
                        yield piece
            if not requests:
                return
            if said:
                # The next words are a sentence of their own.
                yield " "
            plan = plan_calls(requests, tools, calls_left)
            if plan.needs_yes is not None:
                yield self._propose(plan.needs_yes, question.identity)
                return
            calls_left -= len(plan.now)
            results = dict(plan.refused)
            pauses = self._run(plan.now, question.identity, key, results)
            async with aclosing(pauses):  # type: ignore[type-var]
                async for words in pauses:
                    yield words
            messages += history(said, requests, results)

    async def _reply(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[ListedRoomTool],
        calls_left: int,
        question: Question,
        failed_before: bool,
    ) -> AsyncIterator[str | RequestedCall]:
        """Yield one reply of the model. Where no model takes the tools, the answer goes on without them."""
        begun = False
        try:
            offered: dict[str, Any] = {"tools": tools, "may_call": calls_left > 0} if tools else {}
            replies = self.llm.answer(messages, failed_before, question.identity, simple=question.simple, **offered)
            async with aclosing(replies):  # type: ignore[type-var]
                async for piece in replies:
                    begun = True
                    yield piece
            return
        except NoAnswer as error:
            if begun or not tools or error.http_status != 400:
                raise
        log.warning("tools refused by the models", tools=len(tools))
        self._set(())
        plain = [message for message in messages if message["role"] != "tool" and not message.get("tool_calls")]
        replies = self.llm.answer(plain, failed_before, question.identity, simple=question.simple)
        async with aclosing(replies):  # type: ignore[type-var]
            async for piece in replies:
                yield piece

    def _propose(self, call: AllowedCall, identity: str) -> str:
        """Propose a call to the person who asked, and return the words for it."""
        proposed = ProposedCall(
            identity=identity, tool=call.tool, arguments=call.arguments, call_id=call.request.call_id
        )
        self.confirmation.propose(proposed)
        shown = shown_arguments(call.arguments)
        if CUT in shown:
            # Nobody agrees to what they could not know: the room can read all of it.
            self._transcription.notice(f"{call.tool.title}: {one_line(as_text(call.arguments), MAX_WRITTEN_CHARS)}")
        return self._phrases.proposal.format(title=call.tool.title, arguments=shown)

    async def _agreed(self, call: ProposedCall, key: str, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Make the call that a person agreed to, and add it and its result to the messages."""
        request = RequestedCall(call_id=call.call_id, name=call.tool.name, arguments=json.dumps(dict(call.arguments)))
        results: dict[str, str] = {}
        allowed = AllowedCall(request=request, tool=call.tool, arguments=call.arguments)
        pauses = self._run((allowed,), call.identity, key, results, confirmed=True)
        async with aclosing(pauses):  # type: ignore[type-var]
            async for words in pauses:
                yield words
        messages += history("", [request], results)

    async def _run(
        self,
        calls: Sequence[AllowedCall],
        identity: str,
        key: str,
        results: dict[str, str],
        confirmed: bool = False,
    ) -> AsyncIterator[str]:
        """Make calls side by side and add their results by the calls' ids; yield a word to the room if it takes long.

        The calls are cancelled with the answer.
        """
        if not calls:
            return
        for tool in {call.tool.name: call.tool for call in calls}.values():
            notice = self._phrases.doing if tool.changes else self._phrases.looking_up
            self._transcription.notice(notice.format(title=tool.title))
        tasks = {
            asyncio.create_task(self._call(call, identity, key, confirmed), name="tool"): call.request.call_id
            for call in calls
        }
        try:
            _, late = await asyncio.wait(tasks, timeout=SLOW_AFTER_S)
            if late:
                yield f"{self._phrases.one_moment} "
                await asyncio.wait(late)
            results |= {call_id: task.result() for task, call_id in tasks.items()}
        finally:
            for task in tasks:
                task.cancel()

    async def _call(self, call: AllowedCall, identity: str, key: str, confirmed: bool) -> str:
        """Return the result of a call as a message for the model."""
        assert self._client is not None
        outcome, cost_nanousd, started_s = "cancelled", 0, self._clock()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await self._client.call(call.tool, call.arguments, identity, confirmed)
            outcome, cost_nanousd = "failed" if answer.is_error else "ok", answer.cost_nanousd
            self.sources = tuple(dict.fromkeys([*self.sources, *answer.sources]))
            return result_message(answer, key)
        except TimeoutError:
            outcome = "timeout"
            return TIMED_OUT
        except RouterError as error:
            outcome = f"http {error.http_status}"
            message = failure_message(error.http_status)
            if message == CHANGED:
                self._list_again()
            return message
        finally:
            self._ended(call, identity, outcome, self._clock() - started_s, cost_nanousd)

    def _ended(self, call: AllowedCall, identity: str, outcome: str, took_s: float, cost_nanousd: int) -> None:
        self._outcomes[outcome] += 1
        log.info("tool called", tool=call.tool.name, outcome=outcome, took_ms=round(1_000 * took_s))
        event = ToolCalled(
            tool=call.tool.name,
            title=call.tool.title,
            identity=identity,
            outcome=outcome,
            took_s=took_s,
            cost_nanousd=cost_nanousd,
        )
        for subscriber in self.called:
            subscriber(event)

    def _list_again(self) -> None:
        if self._client is not None:
            self._listed_at_s = self._clock()
            self._tasks.start(self._list(self._client), "tools")

    async def _list(self, client: ToolClient) -> None:
        """List the tools; where that fails, those that are known stay."""
        try:
            self._set(await client.list())
        except RouterError as error:
            log.warning("tools not listed", error=type(error).__name__, status=error.http_status)
            self._listed_at_s = None

    def _set(self, tools: tuple[ListedRoomTool, ...]) -> None:
        self.tools = tools
        self.on_listed(bool(tools))
