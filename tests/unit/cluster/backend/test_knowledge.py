"""Of a backend's rows the tenant's own are taken, those that say something, each once."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.backend.knowledge import own_passages

SECRET = "the vault opens at noon"


def row(text: Any = "Acme closes on Friday.", **changes: Any) -> dict[str, Any]:
    return {"id": "a", "tenantId": "acme", "source": "handbook.md", "text": text, "score": 0.5} | changes


NAMES_ANOTHER: dict[str, dict[str, Any]] = {
    "snake": {"tenant_id": "globex"},
    "other letters": {"tenantId": "ACME"},
    "a list": {"tenantId": ["acme"]},
    "metadata": {"metadata": {"tenantId": "globex"}},
    "snake in metadata": {"metadata": {"tenant_id": "globex"}},
    "an object": {"tenant": {"id": "globex", "name": "Globex"}},
    "a text": {"tenant": "globex"},
    "two": {"tenantId": "acme", "tenant": {"id": "globex"}},
}


@pytest.mark.parametrize("name", NAMES_ANOTHER)
def test_a_passage_that_names_another_tenant_anywhere_is_dropped(name: str) -> None:
    bare = {"id": "g", "source": "s", "text": SECRET}
    with capture_logs() as logs:
        assert own_passages("acme", [bare | NAMES_ANOTHER[name]], 5) == ()
    assert [line["event"] for line in logs] == ["passage of another tenant dropped"] and SECRET not in str(logs)


@pytest.mark.parametrize(
    "said",
    [{}, {"tenant": {"name": "Acme"}}, {"metadata": None}, {"metadata": {"tenant_id": "acme"}, "tenant": "acme"}],
)
def test_a_passage_that_names_no_tenant_or_ours_stays(said: dict[str, Any]) -> None:
    (found,) = own_passages("acme", [{"id": "a", "source": "s", "text": "Acme closes on Friday."} | said], 5)
    assert found.passage_id == "a"


def test_rows_without_a_use_take_no_others_place_and_are_counted_without_their_words() -> None:
    useless = [None, "words", row("\u200b\u2060 \u202e", id="blank"), row(id="a"), row(None, id="none")]
    with capture_logs() as logs:
        found = own_passages("acme", [row(id="a"), *useless, row(id="again"), row("It opens on Monday.", id="b")], 2)
    assert [passage.passage_id for passage in found] == ["a", "b"]
    (line,) = logs
    assert (line["event"], line["passages"]) == ("unusable passages dropped", 6) and "closes" not in str(line)
