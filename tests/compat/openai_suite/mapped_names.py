"""A pytest plugin for openai-python's own tests: map their key and names to a target's, and leave out other routes.

Their tests are written for a mock server that takes any value of the right type. Values that a real server refuses are
mapped to ones that it takes, and `drop_params` tells the app to drop the options that its models do not have.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import pytest
from openai._base_client import BaseClient

MODELS = {"chat": os.environ["COMPAT_CHAT_MODEL"], "embeddings": os.environ["COMPAT_EMBEDDINGS_MODEL"]}
ROUTES = re.compile(
    r"chat/test_completions\.py::\w+::test_\w+_create_"
    r"|chat/test_completions\.py::\w+::test_\w+_create\["
    r"|test_embeddings\.py::"
    r"|test_models\.py::\w+::test_\w+_(retrieve|list)\["
)
"""The tests of routes that exist here: stored chats and the deletion of a model do not."""
PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
ACCEPTED: dict[str, Any] = {
    "max_tokens": 16,
    "max_completion_tokens": 16,
    "dimensions": 256,
    "logit_bias": {},
    "tools": [{"type": "function", "function": {"name": "name", "parameters": PARAMETERS, "strict": True}}],
}
"""Values for parameters whose values in the tests no model takes: 0, 1, a token `foo`, a schema of one key `foo`."""

_build_request = BaseClient._build_request


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sys.modules["tests.conftest"].api_key = os.environ["OPENAI_API_KEY"]  # type: ignore[attr-defined]
    kept = [item for item in items if ROUTES.search(item.nodeid)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _mapped_request(client: Any, options: Any, **more: Any) -> Any:
    if isinstance(options.json_data, dict) and "model" in options.json_data:
        options.json_data = _mapped(options.json_data, MODELS["chat" if "chat" in options.url else "embeddings"])
    options.url = re.sub(r"^/models/.+", f"/models/{MODELS['chat']}", options.url)
    return _build_request(client, options, **more)


def _mapped(body: dict[str, Any], model: str) -> dict[str, Any]:
    changes: dict[str, Any] = {"model": model}
    if "messages" in body:
        changes["drop_params"] = True
    if body.get("encoding_format") == "base64":
        # The SDK asks for base64 by itself, and its strict mode then refuses text where it expects numbers.
        changes["encoding_format"] = "float"
    changes |= {name: value for name, value in ACCEPTED.items() if name in body}
    return body | changes


BaseClient._build_request = _mapped_request  # type: ignore[assignment, method-assign]
