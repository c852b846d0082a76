"""Check the fields for tools and for the format of an answer, in the forms of both of OpenAI's protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from cluster.lab.emulator.chat.openai.checks import (
    Field,
    InvalidRequest,
    at,
    check_fields,
    read_choice,
    read_name,
    read_object,
    read_objects,
    read_text,
    required,
)
from cluster.lab.emulator.chat.openai.strict_schema import schema_fault
from cluster.lab.emulator.core.tools import OfferedTool, OfferedTools
from deployments.common.schema_instance import ANY_OBJECT

MAX_TOOLS: Final = 128
MAX_DESCRIPTION: Final = 1_024
Form = Literal["nested", "flat"]
"""Chat completions hold a function inside a tool, responses beside the tool's type."""
_MODES: Final = ("none", "auto", "required")
_FUNCTION: Final = {
    "name": Field(kind="any"),
    "description": Field(kind="string"),
    "parameters": Field(kind="object"),
    "strict": Field(kind="boolean"),
}
_FORMAT: Final = {
    "name": Field(kind="any"),
    "description": Field(kind="string"),
    "schema": Field(kind="object"),
    "strict": Field(kind="boolean"),
}


def read_tools(body: Mapping[str, Any], form: Form) -> OfferedTools:
    """Return the tools of a request and the choice among them."""
    if "tools" not in body:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                raise InvalidRequest(f"'{name}' needs 'tools' beside it.", name)
        return OfferedTools()
    tools = read_objects(body["tools"], "tools", MAX_TOOLS)
    offered = tuple(_tool(tool, f"tools[{index}]", form) for index, tool in enumerate(tools))
    chosen = _chosen(body.get("tool_choice", "auto"), OfferedTools(tools=offered), form)
    return replace(chosen, parallel=body.get("parallel_tool_calls") is not False)


def _tool(tool: Mapping[str, Any], path: str, form: Form) -> OfferedTool:
    read_choice(required(tool, "type", path), at(path, "type"), ("function",))
    if form == "flat":
        check_fields(tool, _FUNCTION | {"type": Field(kind="string")}, path)
        return _function(tool, path)
    check_fields(tool, {"type": Field(kind="string"), "function": Field(kind="any")}, path)
    inner = at(path, "function")
    function = read_object(required(tool, "function", path), inner)
    check_fields(function, _FUNCTION, inner)
    return _function(function, inner)


def _function(function: Mapping[str, Any], path: str) -> OfferedTool:
    name = read_name(required(function, "name", path), at(path, "name"))
    description = function.get("description")
    if description is not None:
        read_text(description, at(path, "description"), MAX_DESCRIPTION)
    parameters = function.get("parameters") or {}
    fault = schema_fault(parameters, bool(function.get("strict")))
    if fault is not None:
        raise InvalidRequest(
            f"The schema of the function '{name}' is not valid: {fault}.",
            at(path, "parameters"),
            "invalid_function_parameters",
        )
    return OfferedTool(name=name, description=description or "", parameters=parameters)


def _chosen(choice: Any, offered: OfferedTools, form: Form) -> OfferedTools:
    if isinstance(choice, str):
        mode = read_choice(choice, "tool_choice", _MODES)
        return replace(offered, mode="none" if mode == "none" else "required" if mode == "required" else "auto")
    named = read_object(choice, "tool_choice")
    kind = named.get("type")
    if kind == "allowed_tools":
        allowed = (
            named if form == "flat" else read_object(required(named, "allowed_tools", "tool_choice"), "tool_choice")
        )
        names = tuple(
            _chosen_name(tool, form, "tool_choice.tools") for tool in required(allowed, "tools", "tool_choice")
        )
        mode = read_choice(allowed.get("mode"), "tool_choice.mode", ("auto", "required"))
        return _narrowed(offered, names, "auto" if mode == "auto" else "required")
    return _narrowed(offered, (_chosen_name(named, form, "tool_choice"),), "required")


def _chosen_name(choice: Mapping[str, Any], form: Form, path: str) -> str:
    if form == "nested":
        choice = read_object(required(choice, "function", path), at(path, "function"))
        path = at(path, "function")
    return read_text(required(choice, "name", path), at(path, "name"))


def _narrowed(offered: OfferedTools, names: Sequence[str], mode: Literal["auto", "required"]) -> OfferedTools:
    known = {tool.name for tool in offered.tools}
    if not set(names) <= known:
        raise InvalidRequest("'tool_choice' names a tool that is not among 'tools'.", "tool_choice")
    return replace(offered, names=tuple(names), mode=mode)


def read_format(body: Mapping[str, Any], path: str, form: Form) -> Mapping[str, Any] | None:
    """Return the JSON Schema of the answer, ANY_OBJECT for any JSON object, or None for text."""
    if body.get(path.rpartition(".")[2]) is None:
        return None
    requested = read_object(body[path.rpartition(".")[2]], path)
    kind = read_choice(required(requested, "type", path), at(path, "type"), ("json_object", "json_schema", "text"))
    if kind != "json_schema":
        check_fields(requested, {"type": Field(kind="string")}, path)
        return ANY_OBJECT if kind == "json_object" else None
    if form == "flat":
        check_fields(requested, _FORMAT | {"type": Field(kind="string")}, path)
        return _schema(requested, path)
    check_fields(requested, {"type": Field(kind="string"), "json_schema": Field(kind="any")}, path)
    inner = at(path, "json_schema")
    described = read_object(required(requested, "json_schema", path), inner)
    check_fields(described, _FORMAT, inner)
    return _schema(described, inner)


def _schema(described: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    name = read_name(required(described, "name", path), at(path, "name"))
    schema = read_object(required(described, "schema", path), at(path, "schema"))
    fault = schema_fault(schema, bool(described.get("strict")))
    if fault is not None:
        param = "response_format" if path.startswith("response_format") else at(path, "schema")
        raise InvalidRequest(
            f"The schema of the format '{name}' is not valid: {fault}.",
            param,
            None if param == "response_format" else "invalid_json_schema",
        )
    return schema
