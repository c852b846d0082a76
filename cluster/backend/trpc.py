"""Asks the company's tRPC v11 server over HTTP, in either transformer. Its errors become ours here, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from cluster.backend.base import Tracked
from cluster.backend.knowledge import Wanted, encoded, fits, own_passages, question, shortened
from cluster.backend.serialization import cost_event, to_tenant
from cluster.backend.trpc_response import PASSING, Transformer, TrpcError, outcome, read, unavailable
from routing.errors import BackendRefused, BackendUnavailable, TenantUnknown
from routing.models import FlushRow, Passage, Tenant

ROWS_A_BATCH = 25
"""A batch names its procedure once a row in the path, and servers bound a path: this many stay below 600 bytes."""


class TrpcBackend:
    """The backend behind one URL. Every call has a deadline; the key travels in a header and nowhere else."""

    def __init__(self, url: str, key: str, transformer: Transformer, timeout_s: float) -> None:
        self._base_url = url.rstrip("/").removesuffix("/trpc") + "/trpc"
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
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
        return to_tenant(tenant_id, data)

    async def track_costs(self, rows: Sequence[FlushRow]) -> Tracked:
        taken: set[str] = set()
        refused: dict[str, str] = {}
        for start in range(0, len(rows), ROWS_A_BATCH):
            for row, result in await self._track(rows[start : start + ROWS_A_BATCH]):
                if not isinstance(result, TrpcError):
                    taken.add(row.flush_id)
                elif result.reason not in PASSING:
                    refused[row.flush_id] = result.reason
                elif not taken and not refused and len(rows) == 1:
                    raise unavailable(result)
        return Tracked(taken=frozenset(taken), refused=refused)

    async def _track(self, rows: Sequence[FlushRow]) -> list[tuple[FlushRow, Any]]:
        if self._batches and len(rows) > 1:
            results = await self._batch("analytics.trackCost", [cost_event(row) for row in rows])
            if results is not None:
                return list(zip(rows, results, strict=True))
            self._batches = False
        found = []
        for row in rows:
            try:
                found.append((row, await self._mutate("analytics.trackCost", cost_event(row))))
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
        whole = self._outcome(response, reply[0] if isinstance(reply, list) and reply else reply, procedure)
        if isinstance(whole, TrpcError):
            return None if whole.reason == "BAD_REQUEST" else [whole] * len(values)
        raise BackendRefused(f"{procedure}: a batch of {len(values)} was answered with something else.")

    async def _send(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, Any]:
        try:
            # httpx counts its timeouts from read to read: only this bounds the whole call.
            async with asyncio.timeout(self._timeout_s):
                async with self._client().stream(method, f"{self._base_url}/{path}", **request) as response:
                    return response, await read(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise BackendUnavailable(f"The backend did not answer: {type(error).__name__}.") from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(headers=self._headers, timeout=self._timeout_s)
        return self._http

    def _data(self, response: httpx.Response, reply: Any, procedure: str) -> Any:
        found = self._outcome(response, reply, procedure)
        if isinstance(found, TrpcError):
            raise unavailable(found) if found.reason in PASSING else found
        return found

    def _outcome(self, response: httpx.Response, item: Any, procedure: str) -> Any:
        return outcome(response, item, procedure, self._transformer)

    def _wrapped(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"json": value} if self._transformer == "superjson" else value
