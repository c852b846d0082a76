"""Check the tools, the choice among them, and the format of the answer."""

from __future__ import annotations

from typing import Final

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.request_schema import (
    AnyChoice,
    AutoChoice,
    MessagesRequest,
    NamedChoice,
    NoneChoice,
    ToolParam,
)
from cluster.lab.emulator.chat.anthropic.schema_subset import shape_fault, subset_fault
from cluster.lab.emulator.core.tools import OfferedTool, OfferedTools

MOST_STRICT_TOOLS: Final = 20
_AT_THE_ROOT: Final = ("oneOf", "allOf", "anyOf")


def read_tools(request: MessagesRequest) -> OfferedTools:
    """Return the offered tools; raises AnthropicRefusal for those that Anthropic refuses."""
    for index, tool in enumerate(request.tools):
        _check_tool(tool, f"tools.{index}.custom")
    names = [tool.name for tool in request.tools]
    if len(set(names)) < len(names):
        raise AnthropicRefusal("tools: Tool names must be unique.")
    strict = sum(tool.strict is True for tool in request.tools)
    if strict > MOST_STRICT_TOOLS:
        raise AnthropicRefusal(f"tools: {strict} strict tools are too many; at most {MOST_STRICT_TOOLS} are supported.")
    offered = tuple(
        OfferedTool(name=tool.name, description=tool.description or "", parameters=tool.input_schema)
        for tool in request.tools
    )
    return _chosen(request, offered)


def check_format(request: MessagesRequest) -> None:
    """Raise AnthropicRefusal for a schema of the answer that structured output does not support."""
    requested = request.output_config.format
    fault = subset_fault(requested.schema_) if requested is not None else None
    if fault is not None:
        raise AnthropicRefusal(f"output_config.format.schema: {fault}")


def _check_tool(tool: ToolParam, path: str) -> None:
    schema = tool.input_schema
    if "type" not in schema:
        raise AnthropicRefusal(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise AnthropicRefusal(f"{path}.input_schema.type: Input should be 'object'")
    if any(name in schema for name in _AT_THE_ROOT):
        raise AnthropicRefusal(f"{path}.input_schema: oneOf, allOf, or anyOf are not supported at the top level")
    if shape_fault(schema) is not None:
        raise AnthropicRefusal(f"{path}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12")
    fault = subset_fault(schema) if tool.strict else None
    if fault is not None:
        raise AnthropicRefusal(f"{path}.input_schema: {fault}")


def _chosen(request: MessagesRequest, offered: tuple[OfferedTool, ...]) -> OfferedTools:
    choice = request.tool_choice
    if choice is None:
        return OfferedTools(tools=offered)
    if not offered:
        raise AnthropicRefusal("tool_choice may only be specified while providing tools.")
    if isinstance(choice, NoneChoice):
        return OfferedTools(tools=offered, mode="none")
    parallel = not choice.disable_parallel_tool_use
    if isinstance(choice, NamedChoice):
        if choice.name not in {tool.name for tool in offered}:
            raise AnthropicRefusal(f"Tool '{choice.name}' not found in provided tools")
        return OfferedTools(tools=offered, mode="required", names=(choice.name,), parallel=parallel)
    mode: type[AutoChoice | AnyChoice] = type(choice)
    return OfferedTools(tools=offered, mode="required" if mode is AnyChoice else "auto", parallel=parallel)
