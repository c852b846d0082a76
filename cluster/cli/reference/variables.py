"""List the environment variables of each program with their defaults and meanings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from cluster.cli.reference.field_docs import field_docs
from cluster.config.dispatch_settings import DispatchSettings
from routing.process import LEVEL

APP = {
    "RAYROOM_AGENT_KEYS": "The keys of the room agents, separated by commas, of 16 characters or more.",
    "RAYROOM_ADMIN_KEYS": "The keys of the administrators, in the same form.",
    "RAYROOM_TOKEN_SECRET": "The secret that signs room tokens, of 32 bytes or more.",
    "RAYROOM_BACKEND_KEY": "The key of the tRPC backend; `backend.key_env` names another variable.",
    "RAYROOM_WEBHOOK_KEY": "The signing key of the budget alerts; `costs.alert_webhook.key_env` names another one.",
    "OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, VOYAGE_API_KEY": "The vendors' keys; `vendors.NAME.api_key_env`"
    " names others.",
    LEVEL: "The lowest level that is logged: DEBUG, INFO, WARNING or ERROR. Every program reads it.",
}
"""The variables of the app, which are named in settings rather than in a class."""


def variables(kind: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Yield the names, the default and the meaning of each variable of a class."""
    docs = field_docs(kind)
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        default = "required" if field.is_required() else str(field.default)
        yield ", ".join(map(str, names)), default, docs.get(name, "")


def programs() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each program and its variables."""
    # The extra `agent` may not be installed.
    from room_agent.core.settings import AgentSettings

    yield "The app", [(names, "", meaning) for names, meaning in APP.items()]
    yield "The room agent", list(variables(AgentSettings))
    yield "`rayroom dispatch`", list(variables(DispatchSettings))
