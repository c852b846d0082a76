"""The backend's answers about tools, wrong ones included."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.backend.serialization import to_tenant
from cluster.backend.tools import call_input, called_tool, offered_tools
from routing.errors import BackendRefused
from routing.tools.models import ToolInvocation, ToolResult

ROW = {"name": "count", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(
    "data", [None, {}, "x", [1], [{}], [{"name": "count"}], [ROW | {"name": 5}], [ROW | {"inputSchema": []}]]
)
def test_an_answer_that_is_no_list_of_tools_is_refused(data: Any) -> None:
    with pytest.raises(BackendRefused):
        offered_tools(data)


def test_fields_that_a_tool_leaves_out_or_gets_wrong_have_their_defaults() -> None:
    (tool,) = offered_tools([ROW | {"readOnly": "yes", "title": None, "description": "\ud800"}])
    assert (tool.read_only, tool.title, tool.description) == (None, "", "?")


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ({"text": "42"}, ToolResult(text="42")),
        ({"text": "no", "isError": True}, ToolResult(text="no", is_error=True)),
        ({"count": 42}, ToolResult(text='{"count": 42}')),
        (None, ToolResult(text="null")),
        ([1], ToolResult(text="[1]")),
    ],
)
def test_a_result_is_its_text_or_its_json(data: Any, result: ToolResult) -> None:
    assert called_tool(data) == result


def test_a_call_names_its_person_and_its_room() -> None:
    call = ToolInvocation(tenant_id="acme", room="r", participant="ann", tool="t", arguments={"a": 1}, call_id="c")
    assert call_input(call) == {
        "tenantId": "acme",
        "room": "r",
        "participant": "ann",
        "tool": "t",
        "arguments": {"a": 1},
        "callId": "c",
    }


def test_a_wrong_source_in_a_record_is_logged_and_the_tenant_stays() -> None:
    record = {"id": "acme", "tools": {"servers": [{"name": "shop", "url": "no"}], "backend": {}}}
    with capture_logs() as logs:
        tenant = to_tenant("acme", record)
    assert [name for name, _ in tenant.tools.sources()] == ["backend"]
    assert [(line["event"], line["field"]) for line in logs] == [("tools of the tenant ignored", "tools.servers.0.url")]
    assert [field.name for field in tenant.refused] == ["tools.servers.0.url"]
