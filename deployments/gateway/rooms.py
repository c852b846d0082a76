"""Open, keep and close rooms: tokens, heartbeats with their speech usage, and a tenant's totals and bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from deployments.api.access.keys import AgentGrant
from deployments.api.access.room_permission import RoomPermission
from deployments.api.access.room_tokens import RoomToken, TokenLifetime, issue_token, renew_token
from deployments.api.room_schemas import Heartbeat, OpenRoom
from deployments.common.settings import RoomSettings
from deployments.gateway.metering import Meter, check_active
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.models import BackendDirectory, ClusterClient
from deployments.gateway.speech_metering import PricedSpeech, SetAsideUsage, SpeechMetering
from routing.billing.bill import BillPage, BillRequest
from routing.billing.budgets import BudgetStatus, tightest_budget
from routing.errors import CostsUnavailable
from routing.models import (
    Intent,
    RefusedField,
    RoomHeartbeat,
    Settlement,
    Spending,
    Tenant,
    TenantAgent,
    TenantTotals,
)
from routing.records.costs import MAX_MODELS, cost_query, key_before, meeting_costs
from routing.records.models import MeetingCosts, MeetingRecord, RecordPart, ReportAnswer, at_time
from routing.rooms import read_tenant_agent

COSTS_WAIT_S = 600.0
"""After this time a record is sent without the costs of the meeting, where the journal does not add them up in time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRoomReply:
    """The reply to the opening of a room: its token, its tenant, and the status of the tenant's tightest budget."""

    token: RoomToken
    tenant: Tenant
    budget: BudgetStatus | None
    agent: TenantAgent
    """The tenant's agent, changed by the room's signed metadata."""
    refused: tuple[RefusedField, ...]
    """The fields of the metadata's agent that are wrong, and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReply:
    """The reply to a heartbeat: the room's token, the usage ids that are durable now, and the budget's status."""

    token: RoomToken
    taken: tuple[str, ...]
    set_aside: tuple[SetAsideUsage, ...]
    """The usage that cannot be priced; the agent need not send it again."""
    budget: BudgetStatus | None


class RoomService:
    """The rooms of one router replica. Every method raises RayroomError; any other error is a bug."""

    def __init__(
        self,
        settings: RoomSettings,
        permission: RoomPermission,
        cluster: ClusterClient,
        directory: BackendDirectory,
        meter: Meter,
        speech: SpeechMetering,
        clock: Callable[[], float],
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self._metrics = metrics or GatewayMetrics()
        self._lifetime = TokenLifetime(ttl_s=settings.token_ttl_s, longest_s=settings.token_longest_life_s)
        self._permission = permission
        self._cluster = cluster
        self._directory = directory
        self._meter = meter
        self._speech = speech
        self._clock = clock

    async def open(self, request: OpenRoom, grant: AgentGrant) -> OpenedRoomReply:
        """Return a token for the room, its tenant, and its budget: with a spent one the agent opens the room silent.

        A job that ended may report its usage even where its tenant is inactive: a suspended tenant still owes it.
        Raises RoomNameInvalid, Forbidden for a tenant that the key or the metadata does not name, Unauthorized for
        metadata without its signature, TenantUnknown or TenantSuspended.
        """
        permitted = self._permission.check(request, grant)
        name = permitted.name
        tenant = await self._directory.tenant(name.tenant_id)
        token = issue_token(name, request.job_id, self._lifetime.ttl_s, self._clock())
        spending = None
        if not request.ended:
            check_active(tenant)
            spending = await self._cluster.beat(self._heartbeat(token, {}))
            log.info("room opened", room=name.room, job=request.job_id, token_id=token.token_id)
        agent, refused = read_tenant_agent(permitted.metadata.get("agent"), tenant.agent)
        for field in refused:
            log.warning("field of the room's agent ignored", room=name.room, field=field.name, problem=field.problem)
        if refused:
            self._directory.report_refused(name.tenant_id, "metadata", refused)
        budget = _budget_of(tenant, spending)
        return OpenedRoomReply(token=token, tenant=tenant, budget=budget, agent=agent, refused=refused)

    async def heartbeat(self, token: RoomToken, beat: Heartbeat) -> HeartbeatReply:
        """Record an agent's speech usage and its counters; a token past half its lifetime is renewed.

        The usage is recorded first: it is owed even where the tenant was suspended since. Usage that cannot be priced
        is set aside, so that it holds back neither the rest of the bill nor the token.
        """
        speech = self._speech.price(token, beat.usage, self._clock(), beat.participants)
        self._report_set_aside(token, speech)
        await self._meter.record_spent(token.tenant_id, speech.entries)
        self._count_speech(speech)
        tenant, spending = await self._directory.tenant(token.tenant_id), None
        if not beat.ended:
            check_active(tenant)
            # From the ledger: the figure that this replica remembers may be incomplete, or last month's.
            spending = await self._cluster.beat(self._heartbeat(token, beat.counters))
        renewed = renew_token(token, self._lifetime, self._clock())
        return HeartbeatReply(
            token=renewed,
            taken=speech.taken,
            set_aside=speech.set_aside,
            budget=_budget_of(tenant, spending),
        )

    async def close(self, token: RoomToken) -> TenantTotals:
        """Close the token's room, and return its tenant's totals so far."""
        await self._cluster.close(token.name.room, token.job_id, token.opened_at_s)
        log.info("room closed", room=token.name.room, job=token.job_id)
        return await self._cluster.totals(token.tenant_id)

    async def usage(self, tenant_id: str) -> tuple[TenantTotals, tuple[RoomHeartbeat, ...]]:
        """Return a tenant's totals so far and its open rooms; raises TenantUnknown."""
        await self._directory.tenant(tenant_id)
        return await self._cluster.totals(tenant_id), await self._cluster.of(tenant_id)

    async def bill(self, request: BillRequest) -> BillPage:
        """Return a page of the bill; raises TenantUnknown for a tenant that has neither costs nor a contract."""
        page = await self._cluster.bill(request.query, request.after, request.limit)
        if request.query.tenant_id is not None and not page.tenant_known:
            await self._directory.tenant(request.query.tenant_id)
        return page

    async def report(self, token: RoomToken, part: RecordPart) -> ReportAnswer:
        """Send a part of the meeting's record to the backend, the agent's last one with the costs of the meeting.

        A tenant that was suspended since gets its record too. Raises CostsUnavailable, BackendUnavailable, or
        BackendRefused for our key.
        """
        name = token.name
        record = MeetingRecord(
            **dict(part),
            tenant_id=name.tenant_id,
            meeting_id=name.meeting_id,
            room=name.room,
            job_id=token.job_id,
            costs=await self._meeting_costs(token, part) if part.last else None,
        )
        answer = await self._directory.report_record(record)
        self._metrics.record_reported(answer.outcome)
        if answer.outcome in ("refused", "too_large"):
            log.warning("meeting record not stored", room=name.room, part=record.part_id, reason=answer.reason)
        return answer

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        """Delete a tenant's records at the backend, or those of one meeting; raises BackendError."""
        deleted = await self._directory.delete_records(tenant_id, meeting_id)
        log.info("meeting records deleted", tenant=tenant_id, meeting=meeting_id, records=deleted)
        return deleted

    async def _meeting_costs(self, token: RoomToken, part: RecordPart) -> MeetingCosts | None:
        room, as_of = token.name.room, at_time(self._clock())
        query = cost_query(token.tenant_id, part.started_at)
        try:
            page = await self._cluster.bill(query, key_before(token.tenant_id, room), MAX_MODELS)
        except CostsUnavailable:
            if (as_of - part.ended_at).total_seconds() < COSTS_WAIT_S:
                raise
            log.warning("meeting record sent without costs", room=room)
            return None
        return meeting_costs(page, room, as_of)

    def _count_speech(self, speech: PricedSpeech) -> None:
        intents = {entry.event_id: entry for entry in speech.entries if isinstance(entry, Intent)}
        for entry in speech.entries:
            if isinstance(entry, Settlement):
                intent = intents[entry.event_id]
                self._metrics.speech_billed(intent.service, intent.vendor, intent.model, entry)

    def _report_set_aside(self, token: RoomToken, speech: PricedSpeech) -> None:
        for usage in speech.set_aside:
            self._metrics.set_aside_usage()
            log.error(
                "speech usage set aside unbilled",
                room=token.name.room,
                job=token.job_id,
                usage=usage.id,
                param=usage.param,
                amount=usage.amount,
            )

    def _heartbeat(self, token: RoomToken, counters: Mapping[str, float]) -> RoomHeartbeat:
        return RoomHeartbeat(
            room=token.name.room,
            tenant_id=token.tenant_id,
            job_id=token.job_id,
            beat_at_s=self._clock(),
            opened_at_s=token.opened_at_s,
            counters=dict(counters),
        )


def _budget_of(tenant: Tenant, spending: Spending | None) -> BudgetStatus | None:
    return None if spending is None else tightest_budget(tenant, spending)
