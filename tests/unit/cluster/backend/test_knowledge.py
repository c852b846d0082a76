"""A search returns only the tenant's own passages, with text and without duplicates."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.backend.knowledge import own_passages

SECRET = "the vault opens at noon"


def row(text: Any = "Acme closes on Friday.", **changes: Any) -> dict[str, Any]:
    return {"id": "a", "tenantId": "acme", "source": "handbook.md", "text": text, "score": 0.5} | changes


OTHER_TENANTS: dict[str, dict[str, Any]] = {
    "snake": {"tenant_id": "globex"},
    "other letters": {"tenantId": "ACME"},
    "a list": {"tenantId": ["acme"]},
    "metadata": {"metadata": {"tenantId": "globex"}},
    "snake in metadata": {"metadata": {"tenant_id": "globex"}},
    "an object": {"tenant": {"id": "globex", "name": "Globex"}},
    "a text": {"tenant": "globex"},
    "two": {"tenantId": "acme", "tenant": {"id": "globex"}},
}


@pytest.mark.parametrize("name", OTHER_TENANTS)
def test_a_passage_of_another_tenant_is_dropped(name: str) -> None:
    passage = {"id": "g", "source": "s", "text": SECRET}
    with capture_logs() as logs:
        assert own_passages("acme", [passage | OTHER_TENANTS[name]], 5) == ()
    assert [line["event"] for line in logs] == ["passage of another tenant dropped"] and SECRET not in str(logs)


@pytest.mark.parametrize(
    "fields",
    [{}, {"tenant": {"name": "Acme"}}, {"metadata": None}, {"metadata": {"tenant_id": "acme"}, "tenant": "acme"}],
)
def test_a_passage_without_a_tenant_or_with_ours_is_kept(fields: dict[str, Any]) -> None:
    (passage,) = own_passages("acme", [{"id": "a", "source": "s", "text": "Acme closes on Friday."} | fields], 5)
    assert passage.passage_id == "a"


def test_unusable_rows_do_not_count_towards_top_k_and_are_logged_without_text() -> None:
    unusable = [None, "words", row("\u200b\u2060 \u202e", id="blank"), row(id="a"), row(None, id="none")]
    with capture_logs() as logs:
        passages = own_passages(
            "acme", [row(id="a"), *unusable, row(id="again"), row("It opens on Monday.", id="b")], 2
        )
    assert [passage.passage_id for passage in passages] == ["a", "b"]
    (line,) = logs
    assert (line["event"], line["passages"]) == ("unusable passages dropped", 6) and "closes" not in str(line)
