"""Validate a whole Serve configuration strictly: Ray silently ignores unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from cluster.config.settings import IMPORT_PATH, AppSettings, explain, parse_settings
from cluster.config.timeouts import check_timeouts
from routing.errors import ConfigurationError

MAX_PORT = 65_535
_LISTENERS = ("http_options", "grpc_options")
_DEPLOYMENTS = {"router", "vision", "llm", "embeddings"}


def check_file(file: Path) -> AppSettings:
    """Return rayroom's settings in `file`; raises ConfigurationError naming every invalid key in any part of it."""
    document = _read(file)
    # Imported here: Serve takes two seconds to import, and an unreadable file is reported without them.
    from ray.serve.schema import ServeDeploySchema

    problems = [
        *_unknown_keys(ServeDeploySchema, document, ""),
        *_schema_problems(ServeDeploySchema, document, ""),
        *_port_problems(document),
    ]
    applications = [app for app in document.get("applications") or [] if isinstance(app, dict)]
    rayroom_apps = [app for app in applications if app.get("import_path") == IMPORT_PATH]
    for app in applications:
        problems += _check_application(app)
    if len(rayroom_apps) != 1:
        problems.append(
            f"applications: one application must have import_path {IMPORT_PATH} (seen: {len(rayroom_apps)})."
        )
    if problems:
        raise ConfigurationError("\n".join([f"{file}:", *problems]), "applications")
    settings = parse_settings(rayroom_apps[0].get("args") or {})
    check_timeouts(settings)
    return settings


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


def _schema_problems(schema: type[BaseModel], part: dict[str, Any], path: str) -> list[str]:
    """Return a line for each value that Ray's own schema rejects."""
    try:
        schema.model_validate(part)
    except ValidationError as error:
        return [line.removeprefix(".") for line in explain(error, path)]
    return []


def _port_problems(document: dict[str, Any]) -> list[str]:
    """Return a line for each port outside 1 to 65535: Ray accepts any number."""
    ports = {part: options.get("port") for part in _LISTENERS if isinstance(options := document.get(part), dict)}
    return [
        f"{part}.port: must be a port (seen: {port}). Allowed here: 1 to {MAX_PORT}."
        for part, port in ports.items()
        if isinstance(port, int) and not 1 <= port <= MAX_PORT
    ]


def _check_application(app: dict[str, Any]) -> list[str]:
    from ray.serve.schema import DeploymentSchema, ServeApplicationSchema

    name = f"applications.{app.get('name', '?')}"
    problems = list(_unknown_keys(ServeApplicationSchema, app, name))
    for deployment in app.get("deployments") or []:
        if not isinstance(deployment, dict):
            continue
        path = f"{name}.deployments.{deployment.get('name', '?')}"
        problems += _unknown_keys(DeploymentSchema, deployment, path)
        if app.get("import_path") == IMPORT_PATH and deployment.get("name") not in _DEPLOYMENTS:
            problems.append(f"{path}: rayroom has no such deployment. Known: {', '.join(sorted(_DEPLOYMENTS))}.")
    return problems


def _unknown_keys(schema: type[BaseModel], part: dict[str, Any], where: str) -> list[str]:
    """Return a line for each key of `part`, and of the schemas nested in it, that Ray would silently ignore."""
    problems = []
    for key, value in part.items():
        path = f"{where}.{key}".removeprefix(".")
        if key not in schema.model_fields:
            problems.append(
                f"{path}: unknown key (seen: {key!r}). Allowed here: {', '.join(sorted(schema.model_fields))}."
            )
            continue
        nested = _nested(schema, key)
        if nested is not None and isinstance(value, dict):
            problems += _unknown_keys(nested, value, path)
            # Where the schema also allows a plain dict, Ray validates the content only when it deploys.
            problems += _schema_problems(nested, value, path) if _may_be_a_dict(schema, key) else []
    return problems


def _nested(schema: type[BaseModel], key: str) -> type[BaseModel] | None:
    return next((kind for kind in _kinds(schema, key) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _may_be_a_dict(schema: type[BaseModel], key: str) -> bool:
    return any(kind is dict or get_origin(kind) is dict for kind in _kinds(schema, key))


def _kinds(schema: type[BaseModel], key: str) -> list[Any]:
    """Return the annotated types of a key's value."""
    annotation = schema.model_fields[key].annotation
    return [annotation, *get_args(annotation)]
