"""Compose docs/reference.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

from cluster.cli.reference.settings_tree import settings
from cluster.cli.reference.variables import programs
from deployments.common.settings import ToolSettings
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from routing.catalogue import load_catalogue

HEAD = """# Reference

Written from the code by `rayroom reference`; a test compares the two. [metrics.md](metrics.md) lists the metrics, and
`/openapi.json` of a running app describes the bodies of its routes.
"""


def reference(command: Any) -> str:
    """Return the page for the command line whose root is `command`."""
    lines = [HEAD, "## Commands", "", *_table("command", "meaning", rows=_commands(command, "rayroom"))]
    lines += ["## Settings", "", "Below `args` of the application in serve_config.yaml.", ""]
    rows = ((f"`{one.path}`", one.values, f"`{one.default}`", one.meaning) for one in settings())
    lines += _table("setting", "values", "default", "meaning", rows=rows)
    lines += ["## Environment variables", ""]
    for program, listed in programs():
        shown = ((f"`{names}`", f"`{default}`" if default else "", meaning) for names, default, meaning in listed)
        lines += [f"### {program}", "", *_table("variable", "default", "meaning", rows=shown)]
    return "\n".join([*lines, "## Routes", "", *_table("route", "key", "meaning", rows=_routes())]).rstrip() + "\n"


def _table(*head: str, rows: Iterable[Iterable[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]


def _commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every command below `command` with its help, and each of its options."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")
        return
    yield f"`{path}`", " ".join((command.help or "").split())
    for option in command.params:
        if option.name != "help":
            is_option = option.param_type_name == "option"
            name = option.opts[-1] if is_option else (option.metavar or option.name).upper()
            yield f"&emsp;`{name}`", " ".join((option.help or "").split())


def _routes() -> Iterator[tuple[str, str, str]]:
    for path, methods in build_routes(_described_gateway()).openapi()["paths"].items():
        for method, route in methods.items():
            keys = ", ".join(name for scheme in route.get("security", ()) for name in scheme)
            yield f"`{method.upper()} {path}`", keys, " ".join(route.get("description", "").split())


def _described_gateway() -> Gateway:
    """Return a stand-in with the parts of a gateway that the description of its routes needs."""
    parts: Any = SimpleNamespace(
        served_models=(),
        metrics=GatewayMetrics(),
        catalogue=load_catalogue(),
        settings=SimpleNamespace(
            embeddings=SimpleNamespace(models=("voyage-multimodal-3.5",)), tools=ToolSettings(), intent_grace_s=0.0
        ),
        directory=None,
        meter=None,
    )
    return cast("Gateway", parts)
