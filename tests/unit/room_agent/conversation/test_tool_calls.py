"""Which calls of a model's reply are made, refused, or need a yes."""

from __future__ import annotations

import pytest

from room_agent.conversation.tool_calls import NO_ARGUMENTS, NO_TOOL, TOO_MANY, CallPlan, RequestedCall, plan_calls
from room_agent.conversation.tool_client import ListedRoomTool


def tool(name: str, changes: bool = False) -> ListedRoomTool:
    return ListedRoomTool(name=name, title=name, description="", parameters={}, changes=changes, digest="0" * 32)


TOOLS = (tool("shop_look"), tool("shop_cancel", changes=True))


def plan(*names: str, arguments: str = "{}", left: int = 4) -> CallPlan:
    requests = [RequestedCall(call_id=f"c{n}", name=name, arguments=arguments) for n, name in enumerate(names)]
    return plan_calls(requests, TOOLS, left)


def test_a_tool_that_changes_nothing_is_called_at_once() -> None:
    (call,) = plan("shop_look", arguments='{"order": 5}').now
    assert (call.tool, call.arguments) == (TOOLS[0], {"order": 5})
    assert plan("shop_look", arguments="").now[0].arguments == {}


def test_a_tool_that_changes_something_needs_a_yes_before_anything_else_is_done() -> None:
    planned = plan("shop_look", "shop_cancel", "shop_cancel")
    assert planned.now == () and planned.needs_yes is not None and planned.needs_yes.request.call_id == "c1"


@pytest.mark.parametrize("name", ["look", "shop_look ", "SHOP_LOOK", "shop_look\n", "", "rayroom_stop", "x" * 10_000])
def test_a_tool_that_is_not_the_rooms_is_not_called(name: str) -> None:
    assert plan(name) == CallPlan(refused={"c0": NO_TOOL})


@pytest.mark.parametrize("arguments", ["[]", "1", '"x"', "{", "null", "[" * 100_000])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    assert plan("shop_look", arguments=arguments).refused == {"c0": NO_ARGUMENTS}
    assert plan("shop_cancel", arguments=arguments).needs_yes is None


def test_three_calls_at_once_and_four_in_a_turn_are_the_most() -> None:
    planned = plan(*["shop_look"] * 5)
    assert len(planned.now) == 3 and planned.refused == {"c3": TOO_MANY, "c4": TOO_MANY}
    assert len(plan(*["shop_look"] * 3, left=1).now) == 1
    assert plan("shop_look", "shop_cancel", left=0) == CallPlan(refused={"c0": TOO_MANY, "c1": TOO_MANY})
