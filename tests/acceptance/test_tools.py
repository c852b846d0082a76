"""In a real room, a question is answered by a tool of the tenant's MCP server, where it may be."""

from __future__ import annotations

import asyncio

from tests.support.eventually import eventually
from tests.support.meeting import open_meeting
from tests.support.participant import Participant, connected
from tests.support.stack import Stack
from tests.support.tool_servers import OrderServer
from tests.support.trpc_backend import add_tenant

STATUS, CANCEL = "What is the shop order status?", "Please shop cancel order, will you?"


def said(participant: Participant) -> str:
    """Return all answers and notices that a participant has read."""
    return " ".join(text.text for text in participant.texts_on("lk.transcription"))


async def test_a_tool_of_the_tenants_server_answers_and_changes_nothing_without_a_yes(stack: Stack) -> None:
    async with OrderServer().running() as shop:
        record = {"servers": [{"name": "shop", "url": shop.url, "priceNanousd": 5_000}]}
        await add_tenant(stack.backend, "toolshop", tools=record)
        room = "tenant_toolshop_orders"
        async with (
            open_meeting(stack, room) as meeting,
            connected(Participant(), stack.livekit, room, "ann") as ann,
            connected(Participant(), stack.livekit, room, "bob") as bob,
        ):
            await meeting.wait_for_counter("tools_offered", 5)
            await ann.send_chat(f"Rayroom, {STATUS}")
            await eventually(lambda: "harbour forty two" in said(ann))
            assert "Looking up: Order status" in said(bob) and "[simulated " in said(bob)
            await ann.send_chat(f"Rayroom, {CANCEL}")
            await eventually(lambda: "Cancel an order" in said(ann))
            await meeting.wait_for_counter("tools_proposed", 1)
            # The agent's answer has ended when its counter says so, and only then a yes counts.
            await meeting.wait_for_counter("voice_answers", 2)
            await bob.send_chat("Yes.")
            await asyncio.sleep(1.0)
            assert [name for name, _ in shop.calls] == ["order_status"]
            await ann.send_chat("Yes.")
            await eventually(lambda: "is cancelled" in said(ann))
            assert [name for name, _ in shop.calls] == ["order_status", "cancel_order"]
        services = {
            row["group"]["service"]: row["cost_nanousd"] for row in await stack.bill(tenant="toolshop", by="service")
        }
        assert services["tools"] == 10_000
        assert await stack.billed_nanousd("toolshop") == sum(services.values())
