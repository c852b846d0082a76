"""The client of the company's tRPC v11 server, in either transformer. Translates its errors into ours."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from cluster.backend.clock_check import ClockCheck
from cluster.backend.cost_answers import raise_too_large, row_answer
from cluster.backend.knowledge import SearchInput, fits_url, own_passages, search_input, shortened, url_encoded
from cluster.backend.refused_fields import REPORT_REFUSED
from cluster.backend.serialization import cost_event, to_tenant
from cluster.backend.session_records import DELETE, REPORT, deleted_count, report_answer, report_input
from cluster.backend.trpc_response import (
    KEY_CODES,
    TOO_LARGE,
    TRANSIENT,
    NoProcedure,
    Transformer,
    TrpcError,
    key_refused,
    outcome,
    read,
    unavailable,
)
from cluster.costs.row_answers import CallTooLarge, RowAnswer
from routing.errors import BackendError, BackendRefused, BackendUnavailable, TenantUnknown
from routing.models import FlushRow, Passage, Tenant
from routing.records.models import MeetingRecord, ReportAnswer

TRACK_COST = "analytics.trackCost"


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
        self._post_queries = True
        self._clock = ClockCheck(time.time)

    async def tenant(self, tenant_id: str) -> Tenant:
        try:
            data = await self._query("tenants.getById", {"id": tenant_id})
        except TrpcError as error:
            if error.reason == "NOT_FOUND":
                raise TenantUnknown(param="tenant_id") from None
            raise
        return to_tenant(tenant_id, data)

    async def track_costs(self, rows: Sequence[FlushRow]) -> dict[str, RowAnswer]:
        events = [cost_event(row) for row in rows]
        outcomes = (
            await self._batch(TRACK_COST, events) if len(rows) > 1 else [await self._single(TRACK_COST, events[0])]
        )
        raise_too_large(outcomes)
        errors = [one for one in outcomes if isinstance(one, TrpcError)]
        if len(errors) == len(rows) and all(error.reason == "UNAUTHORIZED" for error in errors):
            raise key_refused(TRACK_COST, errors[0])
        return {row.flush_id: row_answer(one) for row, one in zip(rows, outcomes, strict=True)}

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        data = await self._search(search_input(tenant_id, query, embedding, top_k))
        return own_passages(tenant_id, data, top_k)

    async def report_record(self, record: MeetingRecord) -> ReportAnswer:
        value = await asyncio.to_thread(report_input, record)
        try:
            outcome = await self._single(REPORT, value)
        except CallTooLarge as error:
            return ReportAnswer(outcome="too_large", reason=error.code)
        except NoProcedure:
            return ReportAnswer(outcome="refused", reason="NO_PROCEDURE")
        answer = report_answer(outcome)
        if answer is None:
            raise self._failure(outcome, REPORT)
        return answer

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        meeting = {} if meeting_id is None else {"meetingId": meeting_id}
        return deleted_count(await self._mutate(DELETE, {"tenantId": tenant_id, **meeting}))

    async def report_refused(self, value: Mapping[str, Any]) -> None:
        try:
            await self._mutate(REPORT_REFUSED, value)
        except NoProcedure:
            # The procedure is optional: the fields are in the log, too.
            return

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
        response, reply = await self._send("GET", f"{procedure}?input={url_encoded(self._wrapped(value))}")
        return self._data(self._outcome(response, reply, procedure), procedure)

    async def _mutate(self, procedure: str, value: Mapping[str, Any]) -> Any:
        return self._data(await self._single(procedure, value), procedure)

    async def _single(self, procedure: str, value: Mapping[str, Any]) -> Any:
        """Return a mutation's data or TrpcError."""
        return self._outcome(*await self._send("POST", procedure, content=json.dumps(self._wrapped(value))), procedure)

    async def _batch(self, procedure: str, values: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return each value's data or TrpcError, in order; raises BackendError when the batch fails as a whole."""
        body = json.dumps({str(index): self._wrapped(value) for index, value in enumerate(values)})
        path = ",".join([procedure] * len(values))
        response, reply = await self._send("POST", path, params={"batch": "1"}, content=body)
        if isinstance(reply, list) and len(reply) == len(values):
            return [self._outcome(response, item, procedure) for item in reply]
        error = self._outcome(response, reply[0] if isinstance(reply, list) and reply else reply, procedure)
        if not isinstance(error, TrpcError):
            raise BackendRefused(f"{procedure}: the reply to a batch of {len(values)} has another length.")
        if error.reason in ("BAD_REQUEST", TOO_LARGE):
            # "Batching is not enabled on the server", or "Batch call exceeds maximum size".
            raise CallTooLarge(f"{procedure}: the backend does not accept a batch of {len(values)}.")
        raise self._failure(error, procedure)

    async def _send(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, Any]:
        try:
            # httpx applies its timeout to each read: only this bounds the whole call.
            async with asyncio.timeout(self._timeout_s):
                async with self._client().stream(method, f"{self._base_url}/{path}", **request) as response:
                    self._clock.compare(response.headers.get("date"))
                    return response, await read(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise BackendUnavailable(f"The backend did not answer: {type(error).__name__}.") from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(headers=self._headers, timeout=self._timeout_s)
        return self._http

    def _data(self, outcome: Any, procedure: str) -> Any:
        if isinstance(outcome, TrpcError):
            raise self._failure(outcome, procedure)
        return outcome

    def _failure(self, error: TrpcError, procedure: str) -> BackendError:
        if error.reason in KEY_CODES:
            return key_refused(procedure, error)
        return unavailable(error) if error.reason in TRANSIENT else error

    def _outcome(self, response: httpx.Response, item: Any, procedure: str) -> Any:
        return outcome(response, item, procedure, self._transformer)

    def _wrapped(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"json": value} if self._transformer == "superjson" else value
