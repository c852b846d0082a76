"""`rayroom bill` adds up live and past months by any grouping, and exports each cost with its id."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.costs.journal import Journal
from cluster.costs.ledger import Account
from cluster.costs.storage.month_files import month_paths
from routing.errors import BadInput, ConfigurationError
from tests.support.cost_entries import book
from tests.support.cost_history import NOVEMBER_S, REVIEW, STANDUP, write_history


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    write_history(tmp_path / "journal.db")
    return tmp_path / "journal.db"


@pytest.fixture
def config(tmp_path: Path, journal: Path) -> Path:
    file = tmp_path / "config.yaml"
    shipped = Path("serve_config.yaml").read_text("utf-8")
    file.write_text(shipped.replace("journal_path: .rayroom/journal.db", f"journal_path: {journal}"), "utf-8")
    return file


def run(config: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["bill", *words, "--config", str(config)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def rows(config: Path, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(config, "--json", *words))["rows"]
    return found


def costs(config: Path, grouping: str, *words: str) -> dict[str, int]:
    return {row[grouping]: row["cost_nanousd"] for row in rows(config, "--by", grouping, "--tenant", "acme", *words)}


def test_october_is_in_a_month_file_and_both_months_are_on_the_bill(journal: Path, config: Path) -> None:
    assert list(month_paths(journal)) == [202610]
    assert costs(config, "day") == {"2026-10-05": 2_300, "2026-11-09": -630}
    assert costs(config, "room") == {REVIEW: 70, STANDUP: 1_600}
    assert costs(config, "participant") == {"": 400, "ann": 970, "bob": 300}
    assert costs(config, "service") == {"llm": 1_270, "stt": 400}
    assert costs(config, "model") == {"gpt-6.1-sol": 1_270, "nova-3": 400}


def test_a_closed_month_keeps_its_sum_when_the_next_one_corrects_it(config: Path) -> None:
    assert costs(config, "day", "--until", "2026-11-01") == {"2026-10-05": 2_300}
    assert costs(config, "participant", "--since", "2026-11-01") == {"ann": -30, "bob": -600}


def test_estimates_and_corrections_are_shown_apart_and_are_part_of_the_cost(config: Path) -> None:
    bob = next(row for row in rows(config, "--by", "participant") if row["participant"] == "bob")
    assert bob["estimated_nanousd"] == 900 and bob["corrections_nanousd"] == -600 and bob["reported_nanousd"] == 0
    assert bob["cost_nanousd"] == 300 and bob["requests"] == 1 and bob["estimated_requests"] == 0
    assert bob["usage"] == {"input_tokens": 100, "output_tokens": 5} and bob["cost_usd"] == "0.000000300"


def test_groupings_combine_and_every_tenant_is_listed_without_a_tenant(config: Path) -> None:
    found = {(row["tenant_id"], row["day"], row["service"]): row for row in rows(config, "--by=day", "--by=service")}
    assert found["globex", "2026-10-05", "vision"]["cost_nanousd"] == 50
    assert found["acme", "2026-10-05", "stt"]["usage"] == {"audio_ms": 60_000}


def test_a_name_with_markup_is_shown_as_it_is(journal: Path, config: Path) -> None:
    live = Journal(journal)
    book(live, "odd", 5, NOVEMBER_S + 9, participant="[red]x[/]", opened_at_s=NOVEMBER_S + 9)
    live.close()
    assert "[red]x[/]" in run(config, "--by", "participant")


def test_the_table_ends_with_the_sums(config: Path) -> None:
    table = run(config)
    assert "acme: $0.000001670" in table and "globex: $0.000000050" in table
    assert "5 requests, $0.000001720" in table


def test_the_csv_has_money_as_decimals_and_no_formula(journal: Path, config: Path) -> None:
    live = Journal(journal)
    book(live, "evil", 5, NOVEMBER_S + 9, participant='=HYPERLINK("http://x","y")', opened_at_s=NOVEMBER_S + 9)
    live.close()
    lines = list(csv.DictReader(io.StringIO(run(config, "--csv", "--by", "participant"))))
    by_name = {(line["tenant_id"], line["participant"]): line for line in lines}
    assert by_name["acme", "bob"]["corrections_usd"] == "-0.000000600"
    assert by_name["acme", "bob"]["cost_usd"] == "0.000000300"
    assert by_name["acme", '\'=HYPERLINK("http://x","y")']["cost_usd"] == "0.000000005"


def test_an_unknown_tenant_is_an_error_that_lists_the_known_ones(config: Path) -> None:
    for words in (["bill"], ["bill", "export"]):
        result = CliRunner().invoke(app, [*words, "--config", str(config), "--tenant", "akme"])
        assert result.exit_code == 1
        assert "'akme'" in result.stderr and "acme, globex" in result.stderr and not result.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--since", "november"], "since"),
        (["--until", "2026-13-01"], "until"),
        (["--since", "2026-11-01", "--until", "2026-11-01"], "until"),
    ],
)
def test_a_wrong_time_is_named(config: Path, words: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["bill", "--config", str(config), *words])
    assert isinstance(result.exception, BadInput) and result.exception.param == named


def test_a_file_that_is_no_journal_is_named(config: Path, journal: Path) -> None:
    journal.write_text("no journal")
    result = CliRunner().invoke(app, ["bill", "--config", str(config)])
    assert isinstance(result.exception, ConfigurationError) and "journal.db cannot be read" in result.exception.message


def test_the_days_of_a_tenant_with_a_time_zone_are_its_own(journal: Path, config: Path) -> None:
    live = Journal(journal)
    with live.transaction():
        live.accounts.save({("acme", ""): Account(zone="Pacific/Kiritimati")})
    live.close()
    assert costs(config, "day") == {"2026-10-06": 2_300, "2026-11-10": -630}
    assert costs(config, "day", "--until", "2026-10-06") == {}
    document = json.loads(run(config, "--json", "--tenant", "acme", "--since", "2026-10-06"))
    assert (document["time_zone"], document["since"]) == ("Pacific/Kiritimati", "2026-10-05T10:00:00.000Z")
    assert "Days begin at midnight in Pacific/Kiritimati." in run(config, "--tenant", "acme")
    words = ("export", "--tenant", "acme", "--format", "csv", "--until", "2026-10-06")
    assert len(run(config, *words).splitlines()) == 1


def test_a_deleted_month_is_said_to_be_missing(config: Path, journal: Path) -> None:
    for path in month_paths(journal).values():
        path.unlink()
    result = CliRunner().invoke(app, ["bill", "--config", str(config), "--json"])
    assert "$0.000002350 of this time are left out" in result.stderr
    assert json.loads(result.stdout)["deleted_nanousd"] == 2_350
    since = CliRunner().invoke(app, ["bill", "--config", str(config), "--since", "2026-11-01"])
    assert "left out" not in since.stderr


def test_cloud_events_have_the_ids_times_and_units_of_the_journal(config: Path) -> None:
    events = {event["id"]: event for event in map(json.loads, run(config, "export", "--tenant", "acme").splitlines())}
    assert len(events) == 6 and sum(event["data"]["cost_nanousd"] for event in events.values()) == 1_670
    ann = events["ann"]
    assert {name: ann[name] for name in ("specversion", "source", "type", "time", "subject")} == {
        "specversion": "1.0",
        "source": "rayroom",
        "type": "rayroom.cost",
        "time": "2026-10-05T12:00:00.000Z",
        "subject": "acme",
    }
    assert ann["data"]["output_tokens"] == 20 and ann["data"]["participant"] == "ann"
    assert ann["data"]["request_id"] == "q1" and ann["data"]["corrects"] is None
    assert events["refund"]["data"]["cost_nanousd"] == -100 and events["refund"]["data"]["corrects"] == "ann"
    assert events["bob"]["data"]["estimated"] is True and events["refund"]["data"]["estimated"] is False


def test_an_export_of_a_time_holds_only_its_costs_and_is_the_same_again(config: Path) -> None:
    words = ("export", "--format", "csv", "--since", "2026-11-01")
    text = run(config, *words)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["cost_usd"] for line in lines] == ["-0.000000600", "-0.000000100", "0.000000070"]
    assert lines[0]["corrects"] == "bob" and lines[0]["output_tokens"] == "-15"
    assert run(config, *words) == text
