"""Clients of the whole system: streams, whole answers, leavers, frames and embeddings, each with its marker."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import httpx

from cluster.lab.stack.plan import Plan
from tests.chaos.books import ClientAnswer
from tests.chaos.marked_vendors import marker_of_bytes, marker_of_text
from tests.support.credentials import FRAME_HEADERS
from tests.support.gateway import jpeg

KINDS = ("stream", "stream", "whole", "whole", "leave", "leave stream", "frame", "frame", "embed")
TIMEOUT_S = 60.0
PAUSE_S = 0.5
NOT_ASKED = "called no vendor"
"""The part of our error texts that promises that nothing was spent."""


@dataclass
class Clients:
    """One client a tenant, in closed loops until `ending` is set; what each one saw."""

    plan: Plan
    tenants: int
    seed: int
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[ClientAnswer] = field(default_factory=list)
    tenant_of: dict[str, str] = field(default_factory=dict)
    """The tenant of each marker that was sent."""
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Responses that no client should get."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self.tenants):
                group.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        rng, tenant = random.Random(f"{self.seed}-{number}"), f"tenant-{number:02d}"
        # A connection a client: one broken by a kill must not fail another client's request.
        async with httpx.AsyncClient(base_url=self.plan.router_url, timeout=TIMEOUT_S) as http:
            token, requests = "", 0
            while not self.ending.is_set():
                try:
                    if not token:
                        token = await self._open_room(http, tenant)
                    requests += 1
                    await self._request(http, rng, token, tenant, f"marker-{number:02d}-{requests}")
                except httpx.HTTPError as error:
                    self.statuses[f"connection: {type(error).__name__}"] += 1
                await asyncio.sleep(rng.uniform(0, PAUSE_S) + (0.5 if not token else 0))

    async def _open_room(self, http: httpx.AsyncClient, tenant: str) -> str:
        body = {"room": f"tenant_{tenant}_chaos", "job_id": "chaos", "metadata": json.dumps({"tenant_id": tenant})}
        response = await http.post("/v1/rooms", json=body, headers={"authorization": f"Bearer {self.plan.agent_key}"})
        if response.status_code != 200:
            self._refused("room", "", response)
            return ""
        return str(response.json()["token"])

    async def _request(self, http: httpx.AsyncClient, rng: random.Random, token: str, tenant: str, word: str) -> None:
        kind = rng.choice(KINDS)
        headers = {"authorization": f"Bearer {token}"}
        prompt = " ".join([f"{word} say", *rng.choices(("one", "more", "word"), k=rng.randrange(5, 60))])
        picture = jpeg(text=f"{tenant} {word}")
        marker = {"frame": marker_of_bytes(picture), "embed": marker_of_text(prompt)}.get(kind, word)
        self.tenant_of[marker] = tenant
        messages = [{"role": "user", "content": prompt}]
        chat = {"model": rng.choice(("simple", "auto")), "messages": messages, "max_tokens": 60}
        call: Awaitable[httpx.Response | None]
        match kind:
            case "frame":
                call = http.post("/v1/frames", content=picture, headers=headers | FRAME_HEADERS)
            case "embed":
                call = http.post("/v1/embeddings", json={"model": "auto", "input": prompt}, headers=headers)
            case "stream" | "leave stream":
                call = self._stream(http, chat, headers, marker, tenant)
            case _:
                call = http.post("/v1/chat/completions", json=chat, headers=headers)
        leaves_after_s = rng.uniform(0.05, 1.5) if kind.startswith("leave") else None
        try:
            async with asyncio.timeout(leaves_after_s):
                response = await call
        except TimeoutError:
            self._note(marker, tenant, "left")
        except httpx.HTTPError as error:
            self._note(marker, tenant, f"{kind}: {type(error).__name__}")
        else:
            if response is not None:
                self._whole(kind, marker, tenant, response)

    async def _stream(
        self, http: httpx.AsyncClient, chat: dict[str, Any], headers: dict[str, str], marker: str, tenant: str
    ) -> httpx.Response | None:
        """Read a stream to its end; return the response only if it is no stream."""
        body = {**chat, "stream": True, "stream_options": {"include_usage": True}}
        cost_nanousd, ended, error = 0, False, None
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
            if response.status_code != 200:
                await response.aread()
                return response
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    event = json.loads(line[6:])
                    error = event.get("error", error)
                    cost_nanousd = (event.get("rayroom") or {}).get("cost_nanousd", cost_nanousd)
        if error is not None:
            self._note(marker, tenant, f"stream: error event {error.get('code')}", message=str(error.get("message")))
        elif not ended:
            self.faults.append(f"{marker}: a stream with status 200 ended without an error event")
            self._note(marker, tenant, "stream: silent end")
        else:
            self._note(marker, tenant, "ok", cost_nanousd)
        return None

    def _whole(self, kind: str, marker: str, tenant: str, response: httpx.Response) -> None:
        if response.status_code != 200:
            message = self._refused(kind, marker, response)
            self._note(marker, tenant, f"{kind}: {response.status_code}", message=message)
            return
        body = response.json()
        cost_nanousd = body.get("cost_nanousd", (body.get("rayroom") or {}).get("cost_nanousd"))
        self._note(marker, tenant, "ok", int(cost_nanousd))

    def _refused(self, kind: str, marker: str, response: httpx.Response) -> str:
        """Record a refusal; return its message. A bare error of the server is a fault."""
        try:
            error = response.json()["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, LookupError, TypeError):
            code, message = "bare", response.text[:80]
        if code in ("bare", "internal_error"):
            self.faults.append(f"{kind} {marker}: HTTP {response.status_code} {code}: {message!r}")
        self.statuses[f"{kind}: {response.status_code} {code}"] += 1
        return message

    def _note(self, marker: str, tenant: str, status: str, cost_nanousd: int = 0, message: str = "") -> None:
        self.statuses[status] += 1
        self.answers.append(
            ClientAnswer(
                marker=marker,
                tenant_id=tenant,
                status=status,
                cost_nanousd=cost_nanousd,
                nothing_asked=NOT_ASKED in message,
            )
        )
