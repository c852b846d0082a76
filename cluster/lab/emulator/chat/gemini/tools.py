"""Check the tools of a request, and how they may be called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from cluster.lab.emulator.chat.gemini.contents import FUNCTION_NAME
from cluster.lab.emulator.chat.gemini.proto_json import Fields, InvalidArgument
from cluster.lab.emulator.core.tools import OfferedTool, OfferedTools

_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {"ANY": "required", "NONE": "none"}
_TYPES: Final = ("string", "number", "integer", "boolean", "array", "object", "null")


def read_tools(request: Fields) -> OfferedTools:
    """Return the declared functions; raises InvalidArgument for the first one that Gemini would refuse."""
    tools = [
        _tool(declaration, f"tools[{index}].function_declarations[{position}]")
        for index, tool in enumerate(request.get("tools") or ())
        for position, declaration in enumerate(tool.get("function_declarations") or ())
    ]
    names = [tool.name for tool in tools]
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidArgument(f"Duplicate function declaration found: {name}")
    config = (request.get("tool_config") or {}).get("function_calling_config") or {}
    mode, allowed = config.get("mode", "AUTO"), config.get("allowed_function_names") or []
    _check_choice(mode, allowed, names)
    return OfferedTools(tools=tuple(tools), mode=_MODES.get(mode, "auto"), names=tuple(allowed))


def _tool(declaration: Fields, path: str) -> OfferedTool:
    name = declaration.get("name", "")
    if not FUNCTION_NAME.fullmatch(name):
        raise InvalidArgument(
            f"* GenerateContentRequest.{path}.name: [Invalid function name. Must start with a letter or an underscore."
            " Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:) or dashes (-), with a maximum"
            " length of 128.]\n"
        )
    if "parameters" in declaration and "parameters_json_schema" in declaration:
        raise InvalidArgument(f"{path}: parameters and parameters_json_schema must not be set together.")
    parameters = declaration.get("parameters_json_schema", declaration.get("parameters"))
    if parameters is not None:
        check_schema(parameters, f"{path}.parameters")
        if not isinstance(parameters, Mapping) or str(parameters.get("type", "object")).lower() != "object":
            raise InvalidArgument(
                f"* GenerateContentRequest.{path}.parameters: schema should be of the type OBJECT for parameters\n"
            )
    return OfferedTool(name=name, description=declaration.get("description", ""), parameters=parameters or {})


def check_schema(schema: Any, path: str) -> None:
    """Refuse a schema with an unknown type, or with a required property that it does not define.

    Keywords that Gemini does not have are ignored in a JSON Schema.
    """
    for place, one in _schemas(schema, path):
        if isinstance(one, bool):
            continue
        if not isinstance(one, Mapping):
            raise InvalidArgument(f"* GenerateContentRequest.{place}: a schema must be an object\n")
        kinds, properties, required = one.get("type", []), one.get("properties"), one.get("required")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if str(kind).lower() not in _TYPES:
                raise InvalidArgument(f"* GenerateContentRequest.{place}.type: {kind} is not a type\n")
        for index, name in enumerate(required if isinstance(required, list) else ()):
            if isinstance(properties, Mapping) and name not in properties:
                raise InvalidArgument(f"* GenerateContentRequest.{place}.required[{index}]: property is not defined\n")


def _schemas(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, schema
    if not isinstance(schema, Mapping):
        return
    for name in ("properties", "$defs"):
        named = schema.get(name)
        for key, inner in (named if isinstance(named, Mapping) else {}).items():
            yield from _schemas(inner, f"{path}.{name}[{key}]")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _schemas(schema[name], f"{path}.{name}")
    for name in ("anyOf", "any_of", "oneOf", "prefixItems"):
        listed = schema.get(name)
        for index, inner in enumerate(listed if isinstance(listed, list) else ()):
            yield from _schemas(inner, f"{path}.{name}[{index}]")


def _check_choice(mode: str, allowed: Sequence[str], names: Sequence[str]) -> None:
    if mode == "ANY" and not names:
        raise InvalidArgument("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise InvalidArgument(
            "* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names: allowed function"
            " names need the mode ANY or VALIDATED.\n"
        )
    for name in allowed:
        if name not in names:
            raise InvalidArgument(f"The allowed function name {name} is not declared.")
