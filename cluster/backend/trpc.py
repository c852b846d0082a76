"""The client of the company's tRPC v11 server, in either transformer. Translates its errors into ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from cluster.backend.knowledge import SearchInput, fits_url, own_passages, search_input, shortened, url_encoded
from cluster.backend.serialization import cost_event, to_tenant
from cluster.backend.trpc_response import TRANSIENT, Transformer, TrpcError, outcome, read, unavailable
from cluster.costs.models import FlushResult
from routing.errors import BackendRefused, BackendUnavailable, TenantUnknown
from routing.models import FlushRow, Passage, Tenant

ROWS_A_BATCH = 25
"""A batch repeats its procedure in the path for every row, and servers limit paths: 25 rows stay below 600 bytes."""


class TrpcBackend:
    """The backend at one URL. Every call has a deadline; the key is sent in a header and nowhere else."""

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
        self._post_queries = True

    async def tenant(self, tenant_id: str) -> Tenant:
        try:
            data = await self._query("tenants.getById", {"id": tenant_id})
        except TrpcError as error:
            if error.reason == "NOT_FOUND":
                raise TenantUnknown(param="tenant_id") from None
            raise
        return to_tenant(tenant_id, data)

    async def track_costs(self, rows: Sequence[FlushRow]) -> FlushResult:
        accepted: set[str] = set()
        refused: dict[str, str] = {}
        for start in range(0, len(rows), ROWS_A_BATCH):
            for row, result in await self._track(rows[start : start + ROWS_A_BATCH]):
                if not isinstance(result, TrpcError):
                    accepted.add(row.flush_id)
                elif result.reason not in TRANSIENT:
                    refused[row.flush_id] = result.reason
                elif not accepted and not refused and len(rows) == 1:
                    raise unavailable(result)
        return FlushResult(accepted=frozenset(accepted), refused=refused)

    async def _track(self, rows: Sequence[FlushRow]) -> list[tuple[FlushRow, Any]]:
        if self._batches and len(rows) > 1:
            results = await self._batch("analytics.trackCost", [cost_event(row) for row in rows])
            if results is not None:
                return list(zip(rows, results, strict=True))
            # The server does not accept batches: stop trying them.
            self._batches = False
        outcomes = []
        for row in rows:
            try:
                outcomes.append((row, await self._mutate("analytics.trackCost", cost_event(row))))
            except TrpcError as error:
                outcomes.append((row, error))
        return outcomes

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        data = await self._search(search_input(tenant_id, query, embedding, top_k))
        return own_passages(tenant_id, data, top_k)

    async def _search(self, search: SearchInput) -> Any:
        """Query by GET, as tRPC does; a long input goes by POST where the server has `allowMethodOverride`."""
        if self._post_queries and not fits_url(self._wrapped(search)):
            try:
                return await self._mutate("knowledge.search", search)
            except TrpcError as error:
                if error.reason != "METHOD_NOT_SUPPORTED":
                    raise
                self._post_queries = False
        return await self._query("knowledge.search", shortened(search, self._wrapped))

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _query(self, procedure: str, value: Mapping[str, Any]) -> Any:
        return self._data(*await self._send("GET", f"{procedure}?input={url_encoded(self._wrapped(value))}"), procedure)

    async def _mutate(self, procedure: str, value: Mapping[str, Any]) -> Any:
        return self._data(*await self._send("POST", procedure, content=json.dumps(self._wrapped(value))), procedure)

    async def _batch(self, procedure: str, values: Sequence[Mapping[str, Any]]) -> list[Any] | None:
        """Return each value's data or TrpcError, in order; None when the server does not accept batches."""
        body = json.dumps({str(index): self._wrapped(value) for index, value in enumerate(values)})
        path = ",".join([procedure] * len(values))
        response, reply = await self._send("POST", path, params={"batch": "1"}, content=body)
        if isinstance(reply, list) and len(reply) == len(values):
            return [self._outcome(response, item, procedure) for item in reply]
        batch_outcome = self._outcome(response, reply[0] if isinstance(reply, list) and reply else reply, procedure)
        if isinstance(batch_outcome, TrpcError):
            return None if batch_outcome.reason == "BAD_REQUEST" else [batch_outcome] * len(values)
        raise BackendRefused(f"{procedure}: the reply to a batch of {len(values)} has another length.")

    async def _send(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, Any]:
        try:
            # httpx applies its timeout to each read: only this bounds the whole call.
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
        data = self._outcome(response, reply, procedure)
        if isinstance(data, TrpcError):
            raise unavailable(data) if data.reason in TRANSIENT else data
        return data

    def _outcome(self, response: httpx.Response, item: Any, procedure: str) -> Any:
        return outcome(response, item, procedure, self._transformer)

    def _wrapped(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"json": value} if self._transformer == "superjson" else value
