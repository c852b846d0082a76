"""Run schemathesis with all its checks against the app's own OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.compat.commands import ROOT, installed, output_of
from tests.compat.targets import Target
from tests.support.gateway import KEYS

REQUIREMENT = "schemathesis==4.32.5"
"""The newest version on 2026-11-30."""
EXAMPLES = 25
"""Generated cases an operation and phase. The coverage phase, which has most cases, is not bounded by it."""
ROOM = "tenant_acme_standup"
OPEN_ROOM = ("--include-path-regex", r"^/v1/rooms/\{room\}")
ALL_BUT_OPEN_ROOM = ("--exclude-path-regex", r"^/v1/rooms/\{room\}")
"""Cases for an open room close it, after which its token is refused everywhere. So they run last."""
FINDINGS = 1
"""The exit status of a run with findings."""
HOOKS = Path(__file__).with_name("schema_hooks.py")
APPLIED = "applied_rules.jsonl"
"""The file of the hooks with the refusals that they explain."""
CONFIGURATION = """
hooks = "%(hooks)s"
headers = { Authorization = "Bearer ${ROOM_TOKEN}" }

[generation]
# HTTP ignores an unknown header, so a request with one is valid.
allow-extra-parameters = false

[parameters]
"path.room" = "%(room)s"
"path.tenant_id" = "acme"

[checks.negative_data_rejection]
# A body that is too large is refused before it is parsed.
expected-statuses = ["400", "401", "403", "404", "405", "413", "415", "422", "429"]

[[operations]]
include-path = "/v1/rooms"
headers = { Authorization = "Bearer ${AGENT_KEY}" }

[[operations]]
include-path = "/v1/bill"
headers = { Authorization = "Bearer ${ADMIN_KEY}" }

[[operations]]
include-path = "/v1/tenants/{tenant_id}/usage"
headers = { Authorization = "Bearer ${ADMIN_KEY}" }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRefusals:
    """The valid requests that were refused by one rule that no schema can say."""

    rule: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaReport:
    """The number of cases, each class of finding with the operations that it concerns, and the explained refusals."""

    cases: int
    findings: tuple[tuple[str, tuple[str, ...]], ...]
    explained: tuple[ExplainedRefusals, ...]
    details: Path


def install_schemathesis() -> Path:
    """Return the program; raises CommandFailed."""
    return installed(REQUIREMENT).with_name("schemathesis")


async def schema_reports(target: Target, program: Path) -> list[SchemaReport]:
    """Run every check against every operation; raises CommandFailed."""
    return [
        await _report(target, program, "routes", ALL_BUT_OPEN_ROOM),
        await _report(target, program, "open_room", OPEN_ROOM),
    ]


async def _report(target: Target, program: Path, name: str, selection: Sequence[str]) -> SchemaReport:
    environment = {"ROOM_TOKEN": target.key, "AGENT_KEY": KEYS.agent[0], "ADMIN_KEY": KEYS.admin[0]}
    with tempfile.TemporaryDirectory(prefix="schemathesis-") as temporary:
        directory = Path(temporary)
        (directory / "schemathesis.toml").write_text(CONFIGURATION % {"room": ROOM, "hooks": HOOKS}, "utf-8")
        options = ["--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--continue-on-failure"]
        options += ["--report-json-path", "report.json", "--no-color", *selection]
        document = target.base_url.removesuffix("/v1") + "/openapi.json"
        printed = await output_of([str(program), "run", document, *options], environment, (0, FINDINGS), directory)
        details = ROOT / ".tools" / f"schemathesis_{name}.txt"
        await asyncio.to_thread(details.write_text, printed, "utf-8")
        return _read(directory / "report.json", details)


def _read(report: Path, details: Path) -> SchemaReport:
    document = json.loads(report.read_text("utf-8"))
    findings = (f"{row['code']} {row['title']}" for row in document["failures"])
    operations = (tuple(row["operations"]) for row in document["failures"])
    return SchemaReport(
        cases=document["test_cases"]["generated"],
        findings=tuple(zip(findings, operations, strict=True)),
        explained=tuple(_explained(report.with_name(APPLIED))),
        details=details,
    )


def _explained(applied: Path) -> Iterator[ExplainedRefusals]:
    lines = applied.read_text("utf-8").splitlines() if applied.exists() else []
    for (rule, reason), count in Counter((row["rule"], row["reason"]) for row in map(json.loads, lines)).items():
        yield ExplainedRefusals(rule=rule, reason=reason, count=count)
