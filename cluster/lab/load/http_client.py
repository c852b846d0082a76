"""Call the app as a room agent does, with one cheap client for all rooms of a process."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from room_agent.core.router_client import CONNECT_TIMEOUT_S, FRAME_TIMEOUT_S, OPEN_TIMEOUT_S
from routing.errors import RayroomError

TURNED_AWAY = frozenset({402, 429, 503})
"""The app sheds with these; every other refusal is a failure."""
_VENDOR = re.compile(r"\bvendor;dur=([0-9.]+)")


class AppError(RayroomError):
    """The app did not answer, or with an error. `http_status` is 0 where there was no answer at all."""

    def __init__(self, message: str, http_status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.http_status = http_status

    @property
    def turned_away(self) -> bool:
        return self.http_status in TURNED_AWAY


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedResponse:
    """A whole answer: its body, how much of its time was the vendor's, and when its first text came."""

    body: Mapping[str, Any] = field(repr=False)
    vendor_s: float
    first_at_s: float

    @property
    def cost_nanousd(self) -> int:
        return int(self.body.get("cost_nanousd") or 0)

    @property
    def output_tokens(self) -> int:
        return int((self.body.get("usage") or {}).get("completion_tokens") or 0)


class LoadClient:
    """The app's routes. Every call has a deadline and raises AppError."""

    def __init__(self, http: aiohttp.ClientSession, url: str, clock: Callable[[], float]) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._clock = clock

    async def open(self, agent_key: str, room: str, tenant: str, job_id: str) -> Mapping[str, Any]:
        body = {"room": room, "job_id": job_id, "metadata": json.dumps({"tenant_id": tenant})}
        return (await self._ask("POST", "/v1/rooms", agent_key, OPEN_TIMEOUT_S, json=body)).body

    async def beat(self, token: str, room: str, counters: Mapping[str, float]) -> Mapping[str, Any]:
        path = f"/v1/rooms/{quote(room, safe='')}/heartbeat"
        return (await self._ask("POST", path, token, OPEN_TIMEOUT_S, json={"counters": dict(counters)})).body

    async def close(self, token: str, room: str) -> None:
        await self._ask("DELETE", f"/v1/rooms/{quote(room, safe='')}", token, OPEN_TIMEOUT_S)

    async def describe(self, token: str, jpeg: bytes, headers: Mapping[str, str]) -> TimedResponse:
        headers = {"content-type": "image/jpeg", **headers}
        return await self._ask("POST", "/v1/frames", token, FRAME_TIMEOUT_S, data=jpeg, headers=headers)

    async def ask(self, token: str, question: str) -> TimedResponse:
        """Have a question answered as a stream; `first_at_s` is when its first text came."""
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": question}]}
        async with self._answer("POST", "/v1/chat/completions", token, FRAME_TIMEOUT_S, json=body) as response:
            first_at_s, last, done = 0.0, {}, False
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                first_at_s = first_at_s or self._clock()
                if (done := line.startswith(b"data: [DONE]")) or b'"rayroom"' not in line:
                    continue
                last = json.loads(line[6:])["rayroom"]
            if not done:
                raise AppError("The answer ended without its marker.", response.status)
            return TimedResponse(body=last, vendor_s=_vendor_s(response), first_at_s=first_at_s)

    async def usage(self, admin_key: str, tenant: str) -> Mapping[str, Any]:
        path = f"/v1/tenants/{quote(tenant, safe='')}/usage"
        return (await self._ask("GET", path, admin_key, OPEN_TIMEOUT_S)).body

    async def ready(self) -> None:
        await self._ask("GET", "/readyz", "none", OPEN_TIMEOUT_S)

    async def _ask(self, method: str, path: str, credential: str, timeout_s: float, **sent: Any) -> TimedResponse:
        async with self._answer(method, path, credential, timeout_s, **sent) as response:
            try:
                body = json.loads(await response.read())
            except ValueError:
                raise AppError("The app's answer is not JSON.", response.status) from None
            body = body if isinstance(body, dict) else {}
            return TimedResponse(body=body, vendor_s=_vendor_s(response), first_at_s=self._clock())

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        credential: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        **sent: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a good answer, all of it within `timeout_s`; raises AppError."""
        headers = {**(headers or {}), "authorization": f"Bearer {credential}"}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.request(method, self._url + path, headers=headers, **sent) as response,
            ):
                if response.status >= 300:
                    raise await _refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AppError(f"The app did not answer: {type(error).__name__}.") from None


@asynccontextmanager
async def connected(url: str, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[LoadClient]:
    """Yield a client of the app at `url`, for as many rooms as there are."""
    # Without a limit: a room that waits for a connection of ours would be the driver's fault, not the app's.
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield LoadClient(session, url, clock)


async def _refusal(response: aiohttp.ClientResponse) -> AppError:
    try:
        code = str(json.loads(await response.read())["error"]["code"])
    except (ValueError, KeyError, TypeError):
        code = "unknown"
    return AppError(f"The app answered {response.status} {code}.", response.status, _retry_after_s(response))


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), 60.0)
    except (KeyError, ValueError):
        return None


def _vendor_s(response: aiohttp.ClientResponse) -> float:
    found = _VENDOR.search(response.headers.get("server-timing", ""))
    return float(found[1]) / 1_000 if found else 0.0
