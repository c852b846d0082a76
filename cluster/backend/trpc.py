"""Asks the company's tRPC v11 server over HTTP, in either transformer. Its errors become ours here, once."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from cluster.backend.base import Tracked
from cluster.backend.passages import Wanted, encoded, fits, own_passages, question, shortened
from routing.errors import BackendError, BackendRefused, BackendUnavailable, TenantUnknown
from routing.messages import FlushRow, Passage, Tenant

NANO = 1_000_000_000
ROWS_A_BATCH = 25
"""A batch names its procedure once a row in the path, and servers bound a path: this many stay below 600 bytes."""
LONGEST_RETRY_AFTER_S = 300.0
MAX_REPLY_BYTES = 2 * 1024 * 1024
"""More than fifty tenants, twenty long passages or a batch's receipts come to; what is larger is not read."""
Transformer = Literal["plain", "superjson"]
# What says that the same call may succeed later; everything else is for good.
_PASSING = {"TIMEOUT", "TOO_MANY_REQUESTS", "INTERNAL_SERVER_ERROR", "CLIENT_CLOSED_REQUEST"}
_OUR_FAULT = {"UNAUTHORIZED", "FORBIDDEN"}


class TrpcError(BackendError):
    """A procedure answered with an error."""

    @property
    def reason(self) -> str:
        """The error's tRPC code, such as NOT_FOUND."""
        return str(self.facts.get("reason", "UNKNOWN"))


class TrpcBackend:
    """The backend behind one URL. Every call has a deadline; the key travels in a header and nowhere else."""

    def __init__(self, url: str, key: str, transformer: Transformer, timeout_s: float) -> None:
        self._base_url = url.rstrip("/").removesuffix("/trpc") + "/trpc"
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._transformer = transformer
        self._timeout_s = timeout_s
        self._http: httpx.AsyncClient | None = None
        self._batches = True
        self._long_queries = True

    async def tenant(self, tenant_id: str) -> Tenant:
        try:
            data = await self._query("tenants.getById", {"id": tenant_id})
        except TrpcError as error:
            if error.reason == "NOT_FOUND":
                raise TenantUnknown(param="tenant_id") from None
            raise
        return _tenant(tenant_id, data)

    async def track_costs(self, rows: Sequence[FlushRow]) -> Tracked:
        taken: set[str] = set()
        refused: dict[str, str] = {}
        for start in range(0, len(rows), ROWS_A_BATCH):
            for row, result in await self._track(rows[start : start + ROWS_A_BATCH]):
                if not isinstance(result, TrpcError):
                    taken.add(row.flush_id)
                elif result.reason not in _PASSING:
                    refused[row.flush_id] = result.reason
                elif not taken and not refused and len(rows) == 1:
                    raise _unavailable(result)
        return Tracked(taken=frozenset(taken), refused=refused)

    async def _track(self, rows: Sequence[FlushRow]) -> list[tuple[FlushRow, Any]]:
        if self._batches and len(rows) > 1:
            results = await self._batch("analytics.trackCost", [_cost_event(row) for row in rows])
            if results is not None:
                return list(zip(rows, results, strict=True))
            self._batches = False
        found = []
        for row in rows:
            try:
                found.append((row, await self._mutate("analytics.trackCost", _cost_event(row))))
            except TrpcError as error:
                found.append((row, error))
        return found

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        data = await self._search(question(tenant_id, query, embedding, top_k))
        return own_passages(tenant_id, data, top_k)

    async def _search(self, wanted: Wanted) -> Any:
        """Ask by GET, as tRPC does; what is too long for a URL by POST, where the server takes queries so."""
        if self._long_queries and not fits(self._wrapped(wanted)):
            try:
                return await self._mutate("knowledge.search", wanted)
            except TrpcError as error:
                if error.reason != "METHOD_NOT_SUPPORTED":
                    raise
                self._long_queries = False
        return await self._query("knowledge.search", shortened(wanted, self._wrapped))

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _query(self, procedure: str, value: Mapping[str, Any]) -> Any:
        return self._data(*await self._send("GET", f"{procedure}?input={encoded(self._wrapped(value))}"), procedure)

    async def _mutate(self, procedure: str, value: Mapping[str, Any]) -> Any:
        return self._data(*await self._send("POST", procedure, content=json.dumps(self._wrapped(value))), procedure)

    async def _batch(self, procedure: str, values: Sequence[Mapping[str, Any]]) -> list[Any] | None:
        """Return each value's data or TrpcError, in order; None where the server does not take batches."""
        body = json.dumps({str(index): self._wrapped(value) for index, value in enumerate(values)})
        path = ",".join([procedure] * len(values))
        response, reply = await self._send("POST", path, params={"batch": "1"}, content=body)
        if isinstance(reply, list) and len(reply) == len(values):
            return [self._outcome(response, item, procedure) for item in reply]
        outcome = self._outcome(response, reply[0] if isinstance(reply, list) and reply else reply, procedure)
        if isinstance(outcome, TrpcError) and outcome.reason == "BAD_REQUEST" and "atch" in outcome.message:
            return None
        if isinstance(outcome, TrpcError):
            return [outcome] * len(values)
        raise BackendRefused(f"{procedure}: a batch of {len(values)} was answered with something else.")

    async def _send(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, Any]:
        try:
            # httpx counts its timeouts from read to read: only this bounds the whole call.
            async with asyncio.timeout(self._timeout_s):
                async with self._client().stream(method, f"{self._base_url}/{path}", **request) as response:
                    body = await _read(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise BackendUnavailable(f"The backend did not answer: {type(error).__name__}.") from None
        try:
            return response, json.loads(body)
        except (ValueError, RecursionError):
            raise _not_trpc(response) from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(headers=self._headers, timeout=self._timeout_s)
        return self._http

    def _data(self, response: httpx.Response, reply: Any, procedure: str) -> Any:
        outcome = self._outcome(response, reply, procedure)
        if isinstance(outcome, TrpcError):
            raise _unavailable(outcome) if outcome.reason in _PASSING else outcome
        return outcome

    def _outcome(self, response: httpx.Response, item: Any, procedure: str) -> Any:
        """Return an item's data, or its TrpcError; raises BackendError for what is no envelope, or our own fault."""
        if isinstance(item, dict) and isinstance(item.get("result"), dict):
            return self._unwrapped(item["result"].get("data"), procedure)
        if not isinstance(item, dict) or not isinstance(item.get("error"), dict):
            raise _not_trpc(response)
        error = item["error"].get("json", item["error"])
        data = error.get("data") or {}
        code, message = str(data.get("code", "UNKNOWN")), str(error.get("message", ""))[:200]
        if code in _OUR_FAULT:
            raise BackendRefused(f"{procedure}: {code}; check backend.url and the key in backend.key_env.")
        if code == "NOT_FOUND" and message.startswith("No procedure found"):
            raise BackendRefused(f"{procedure}: the backend has no such procedure.")
        if code == "BAD_REQUEST" and ("json" in item["error"]) != (self._transformer == "superjson"):
            raise BackendRefused(
                f"{procedure}: the backend uses another transformer than backend.transformer={self._transformer}."
            )
        return TrpcError(message, retry_after_s=_retry_after_s(response), reason=code)

    def _wrapped(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"json": value} if self._transformer == "superjson" else value

    def _unwrapped(self, data: Any, procedure: str) -> Any:
        wrapped = isinstance(data, dict) and "json" in data and set(data) <= {"json", "meta"}
        if data is not None and wrapped != (self._transformer == "superjson"):
            raise BackendRefused(
                f"{procedure}: the backend uses another transformer than backend.transformer={self._transformer}."
            )
        return data["json"] if wrapped else data


def _cost_event(row: FlushRow) -> dict[str, Any]:
    """Return a row as trackCost takes it; dollars are whole nano-dollars, which a double carries exactly."""
    return {
        "tenantId": row.tenant_id,
        "service": row.service,
        "costUsd": row.cost_nanousd / NANO,
        "timestamp": _iso(row.window_end_s),
        "metadata": {
            "flushId": row.flush_id,
            "journalId": row.journal_id,
            "seq": row.seq,
            "model": row.model,
            "windowStart": _iso(row.window_start_s),
            "windowEnd": _iso(row.window_end_s),
            "requests": row.requests,
            "estimatedRequests": row.estimated_requests,
            "usage": row.usage,
            "costNanousd": str(row.cost_nanousd),
            "cumulativeUsd": row.cumulative_nanousd / NANO,
            "cumulativeNanousd": str(row.cumulative_nanousd),
            "priceVersion": row.price_version,
            "simulated": row.simulated,
        },
    }


def _tenant(tenant_id: str, data: Any) -> Tenant:
    if not isinstance(data, dict) or data.get("id") != tenant_id:
        raise BackendRefused("tenants.getById: the answer is not the tenant that was asked for.")
    budget, rate = data.get("monthlyBudgetUsd"), data.get("requestsPerMinute")
    return Tenant(
        tenant_id=tenant_id,
        name=str(data.get("name", tenant_id)),
        plan=str(data.get("plan", "free")),
        # A backend that knows no statuses has only active tenants.
        active=data.get("status", "active") == "active",
        budget_nanousd=None if budget is None else round(float(budget) * NANO),
        requests_per_minute=None if rate is None else int(rate),
    )


async def _read(response: httpx.Response) -> bytes:
    """Return the body; raises BackendRefused as soon as it is too large."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise BackendRefused(f"The backend's answer is larger than {MAX_REPLY_BYTES} bytes.")
    return bytes(body)


def _unavailable(error: TrpcError) -> BackendUnavailable:
    return BackendUnavailable(f"The backend answered {error.reason}.", retry_after_s=error.retry_after_s)


def _not_trpc(response: httpx.Response) -> BackendError:
    """Return the error for a reply that is no tRPC envelope: a proxy's page, or a limit of the HTTP server below it."""
    if response.status_code >= 500 or response.status_code in (408, 429):
        return BackendUnavailable(
            f"The backend answered HTTP {response.status_code}.", retry_after_s=_retry_after_s(response)
        )
    return BackendRefused(f"The backend answered HTTP {response.status_code} with something that is not tRPC.")


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_RETRY_AFTER_S)
    except (KeyError, ValueError):
        return None


def _iso(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
