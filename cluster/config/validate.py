"""Validate a whole Serve configuration strictly: Ray silently ignores unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from cluster.config.settings import IMPORT_PATH, AppSettings, explain, parse_settings
from routing.errors import ConfigurationError

HIGHEST_PORT = 65_535
_LISTENS = ("http_options", "grpc_options")
_DEPLOYMENTS = {"router", "vision", "llm", "embeddings"}


def check_file(file: Path) -> AppSettings:
    """Return rayroom's settings in `file`; raises ConfigurationError naming every invalid key in any part of it."""
    document = _read(file)
    # Imported here: Serve takes two seconds to import, and an unreadable file is reported without them.
    from ray.serve.schema import ServeDeploySchema

    wrong = [
        *_unknown(ServeDeploySchema, document, ""),
        *_refused(ServeDeploySchema, document, ""),
        *_wrong_ports(document),
    ]
    applications = [app for app in document.get("applications") or [] if isinstance(app, dict)]
    ours = [app for app in applications if app.get("import_path") == IMPORT_PATH]
    for app in applications:
        wrong += _check_application(app)
    if len(ours) != 1:
        wrong.append(f"applications: one application must have import_path {IMPORT_PATH} (seen: {len(ours)}).")
    if wrong:
        raise ConfigurationError("\n".join([f"{file}:", *wrong]), "applications")
    return parse_settings(ours[0].get("args") or {})


def _read(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: no such file.") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is not YAML: {_yaml_problem(error)}.") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: must be a mapping with `applications`, as `serve run` reads it.")
    return document


def _yaml_problem(error: Exception) -> str:
    """Return the problem and its position without the line itself, which may hold a key."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return type(error).__name__
    return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"


def _refused(schema: type[BaseModel], part: dict[str, Any], where: str) -> list[str]:
    """Return a line for each value that Ray's own schema rejects."""
    try:
        schema.model_validate(part)
    except ValidationError as error:
        return [line.removeprefix(".") for line in explain(error, where)]
    return []


def _wrong_ports(document: dict[str, Any]) -> list[str]:
    """Return a line for each port outside 1 to 65535: Ray accepts any number."""
    ports = {part: options.get("port") for part in _LISTENS if isinstance(options := document.get(part), dict)}
    return [
        f"{part}.port: must be a port (seen: {port}). Allowed here: 1 to {HIGHEST_PORT}."
        for part, port in ports.items()
        if isinstance(port, int) and not 1 <= port <= HIGHEST_PORT
    ]


def _check_application(app: dict[str, Any]) -> list[str]:
    from ray.serve.schema import DeploymentSchema, ServeApplicationSchema

    name = f"applications.{app.get('name', '?')}"
    wrong = list(_unknown(ServeApplicationSchema, app, name))
    for deployment in app.get("deployments") or []:
        if not isinstance(deployment, dict):
            continue
        where = f"{name}.deployments.{deployment.get('name', '?')}"
        wrong += _unknown(DeploymentSchema, deployment, where)
        if app.get("import_path") == IMPORT_PATH and deployment.get("name") not in _DEPLOYMENTS:
            wrong.append(f"{where}: rayroom has no such deployment. Known: {', '.join(sorted(_DEPLOYMENTS))}.")
    return wrong


def _unknown(schema: type[BaseModel], part: dict[str, Any], where: str) -> list[str]:
    """Return a line for each key of `part`, and of the schemas nested in it, that Ray would silently ignore."""
    wrong = []
    for key, value in part.items():
        path = f"{where}.{key}".removeprefix(".")
        if key not in schema.model_fields:
            wrong.append(
                f"{path}: unknown key (seen: {key!r}). Allowed here: {', '.join(sorted(schema.model_fields))}."
            )
            continue
        nested = _nested(schema, key)
        if nested is not None and isinstance(value, dict):
            wrong += _unknown(nested, value, path)
            # Where the schema also allows a plain dict, Ray validates the content only when it deploys.
            wrong += _refused(nested, value, path) if _may_be_a_dict(schema, key) else []
    return wrong


def _nested(schema: type[BaseModel], key: str) -> type[BaseModel] | None:
    return next((kind for kind in _kinds(schema, key) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _may_be_a_dict(schema: type[BaseModel], key: str) -> bool:
    return any(kind is dict or get_origin(kind) is dict for kind in _kinds(schema, key))


def _kinds(schema: type[BaseModel], key: str) -> list[Any]:
    """Return the annotated types of a key's value."""
    annotation = schema.model_fields[key].annotation
    return [annotation, *get_args(annotation)]
