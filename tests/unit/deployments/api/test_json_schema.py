"""The schemas of tools and answers are checked at a bounded cost, and once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deployments.api import json_schema
from deployments.api.json_schema import (
    INLINE_CONTAINERS,
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_LIST_ITEMS,
    NamedSchema,
    SchemaCheck,
)
from routing.errors import BadInput

PATH = "tools.0.function.parameters"


def named(schema: dict[str, Any]) -> list[NamedSchema]:
    return [NamedSchema(path=PATH, schema=schema)]


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown type": ({"properties": {"city": {"type": "strin"}}}, ".properties.city.type"),
    "properties in a list": ({"properties": []}, ".properties"),
    "a property that is a number": ({"properties": {"city": 7}}, ".properties.city"),
    "a required name that is no list": ({"required": "city"}, ".required"),
    "a minimum in words": ({"properties": {"n": {"minimum": "low"}}}, ".properties.n.minimum"),
    "a wrong definition": ({"$defs": {"City": {"type": 7}}}, ".$defs.City.type"),
    "a definition that is a text": ({"$defs": {"City": "x"}}, ".$defs.City"),
    "too deep": (nested(MAX_DEPTH), ""),
    "too long a list": ({"required": [str(i) for i in range(MAX_LIST_ITEMS + 1)]}, ""),
    "too many objects": ({"properties": {str(i): {} for i in range(MAX_CONTAINERS)}}, ""),
    "a key with an endless name": ({"properties": {"x" * 9_000: 7}}, ".properties." + "x" * 64),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_json_schema_is_refused_with_its_path(name: str) -> None:
    schema, path = WRONG[name]
    with pytest.raises(BadInput) as refused:
        await SchemaCheck().check(named(schema))
    assert refused.value.param == PATH + path and "strin" not in refused.value.message.partition(": ")[2]


GOOD: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {"city": {"type": ["string", "null"], "description": "x"}}, "required": ["city"]},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]},
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "prefixItems": [{"type": "string"}],
        "$defs": {"A": {}},
    },
    {"$ref": "#/$defs/City", "$defs": {"City": {"enum": ["Rome", 7, None]}}},
    nested(MAX_DEPTH - 1),
]


@pytest.mark.parametrize("schema", GOOD)
async def test_schemas_as_pydantic_and_zod_write_them_are_good(schema: dict[str, Any]) -> None:
    await SchemaCheck().check(named(schema))


async def test_a_schema_is_checked_once_and_a_wrong_one_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    check_one = json_schema._check_one

    def counted(path: str, steps: Any, schema: Any) -> None:
        checked.append(path)
        check_one(path, steps, schema)

    monkeypatch.setattr(json_schema, "_check_one", counted)
    check = SchemaCheck()
    for _ in range(2):
        await check.check(named({"type": "object"}))
    assert checked == [PATH]
    for _ in range(2):
        with pytest.raises(BadInput):
            await check.check(named({"type": 7}))
    assert checked == [PATH] * 3


async def test_many_schemas_are_checked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[Any] = []

    async def to_thread(work: Any, *arguments: Any) -> None:
        threads.append(work)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await SchemaCheck().check(named({"properties": {str(i): {} for i in range(INLINE_CONTAINERS - 2)}}))
    assert threads == []
    await SchemaCheck().check(named({"properties": {str(i): {} for i in range(INLINE_CONTAINERS)}}))
    assert threads == [json_schema.check_schemas]
