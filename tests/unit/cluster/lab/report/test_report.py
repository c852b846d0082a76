"""A run's report shows known and unknown figures, and is the same for the same run."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from cluster.lab.report import report
from cluster.lab.report.cost_breakdown import spent, together
from cluster.lab.report.page import Page, Section, render, write_page
from cluster.lab.results import record
from cluster.lab.results.record import table
from tests.support import runs


@cache
def whole() -> Page:
    return report.page(runs.sample_run())


def words(page: Page) -> str:
    """Return the text of a page, without its style and its tags."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", render(page), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def facts(page: Page) -> dict[str, tuple[str, bool | None]]:
    return {fact.label: (fact.value, fact.good) for fact in page.facts}


def test_the_headline_says_whether_the_targets_held_and_what_it_took() -> None:
    said = facts(whole())
    assert said["Targets"] == ("1 of 2 missed", False)
    assert said["Rooms at most"] == ("200", None) and said["Cost"] == ("$1.235", None)
    assert said["Answer time, p95"] == ("2,310 ms", None) and said["Kept, not answered"] == ("2.6 %", None)


def test_targets_that_all_held_are_said_to_have_held() -> None:
    held = tuple(one.model_copy(update={"held": True}) for one in runs.summary().verdicts)
    assert facts(report.page(runs.empty_run(verdicts=held)))["Targets"] == ("all held", True)


def test_a_simulation_and_a_run_that_was_stopped_are_called_that() -> None:
    assert report.page(runs.empty_run()).badges == ("SIMULATED", "STOPPED EARLY")
    real = report.page(runs.empty_run(simulated=False, complete=True))
    assert real.badges == () and "simulated" not in real.about


def test_every_part_has_its_chart_and_its_table() -> None:
    parts = {section.title: section for section in whole().sections}
    assert [len(parts[title].figures) for title in ("Rooms and frames", "Answer times", "Queues")] == [3, 3, 2]
    assert [figure.title for figure in parts["Replicas against demand"].figures] == [
        f"{name}: replicas" for name in runs.DEPLOYMENTS
    ]
    assert len(parts["What the autoscaler decided, and why"].grids[0].rows) == 1
    assert [row[1] for row in parts["What else happened"].grids[0].rows] == ["breaker", "fallback", "fault"]


def test_a_run_that_knows_nothing_says_so_instead_of_drawing() -> None:
    page = report.page(runs.empty_run())
    assert all(section.figures == () for section in page.sections)
    said = words(page)
    assert said.count("Not known:") == 5 and "No targets were set." in said
    assert facts(page)["Cost"] == ("not known", None)


def test_a_column_that_nobody_could_ask_for_has_no_chart_and_no_zero() -> None:
    rows = [{**row, "queued": None, "ongoing": None} for row in runs.replicas()]
    page = report.page(replace(runs.empty_run(), replicas=table(record.REPLICAS, rows)))
    (queues,) = [section for section in page.sections if section.title == "Queues"]
    assert queues.figures == () and queues.texts == ("Not known: nobody asked the cluster for its queues.",)


def test_the_three_factors_are_told_by_tenant_and_together() -> None:
    (cost,) = [section for section in whole().sections if section.title == "Cost by tenant"]
    rows = {row[0]: row for row in cost.grids[0].rows}
    assert list(rows) == ["acme", "globex", "all"]
    assert rows["all"][2:6] == ("10,500", "1,500", "1,500", "$0.7200")
    assert rows["acme"][-3:] == ("÷ 7.00", "÷ 1.39", "÷ 4.79")


def test_a_frame_that_got_no_answer_is_no_saving_of_the_routing() -> None:
    lost = runs.tenant("acme", answered=500, cost_nanousd=500 * 480_000)
    (row,) = spent(runs.with_tenants(runs.empty_run(), lost).tenants)
    assert dict(row.ladder())["answered ones only"] == 500 * 2_300_000
    answered, routed = row.ladder()[-2][1], row.ladder()[-1][1]
    assert answered is not None and routed is not None and round(answered / routed, 2) == 4.79


def test_what_one_tenant_does_not_know_is_not_known_of_all() -> None:
    rows = [runs.tenant("acme"), runs.tenant("globex", cost_nanousd=None)]
    found = spent(runs.with_tenants(runs.empty_run(), *rows).tenants)
    assert together("all", found).cost_nanousd is None and together("all", found).seen == 14_000
    assert [row.name for row in found] == ["acme", "globex"]


def test_many_tenants_are_told_by_the_thirty_who_spent_most_and_the_rest_together() -> None:
    rows = [runs.tenant(f"t{number}", 700 * (number + 1)) for number in range(40)]
    page = report.page(runs.with_tenants(runs.empty_run(), *rows))
    (cost,) = [section for section in page.sections if section.title == "Cost by tenant"]
    assert [row[0] for row in cost.grids[0].rows][-2:] == ["10 more", "all"] and len(cost.grids[0].rows) == 32


def test_more_events_than_a_page_can_hold_are_counted() -> None:
    events = table(
        record.EVENTS, [{"at_s": float(at), "kind": "scale", "where": "llm", "what": "x"} for at in range(150)]
    )
    assert "The first 100; 50 more are in events.parquet." in words(
        report.page(replace(runs.empty_run(), events=events))
    )


def test_names_that_would_be_markup_are_escaped_in_words_and_in_charts() -> None:
    run = runs.empty_run(name="<b>", notes=("<script>1</script>",), command="x && y > 'z'")
    text = render(report.page(runs.with_tenants(run, runs.tenant("<script>"), runs.tenant("</svg>"))))
    assert "<script" not in text and text.count("<svg") == text.count("</svg>")
    assert "&lt;script&gt;" in text and "x &amp;&amp; y" in text


def test_the_same_run_gives_the_same_file_to_the_byte(tmp_path: Path) -> None:
    record.save(runs.sample_run(), tmp_path / "run")
    first = report.write(runs.sample_run(), tmp_path / "first").read_bytes()
    assert report.write(record.load(tmp_path / "run"), tmp_path / "second").read_bytes() == first


def test_sections_of_ones_own_come_before_how_it_was_run() -> None:
    titles = [section.title for section in report.page(runs.empty_run(), [Section(title="The bill")]).sections]
    assert titles[-2:] == ["The bill", "How it was run"]


def test_a_page_asks_for_nothing_outside_itself() -> None:
    text = render(whole())
    assert "default-src 'none'" in text and "<script" not in text
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"|url\(', text) == []


def test_a_page_that_cannot_be_rendered_leaves_the_one_before(tmp_path: Path) -> None:
    file = report.write(runs.empty_run(), tmp_path)
    before = file.read_bytes()
    broken = Page(title="x", about="x", badges=(), facts=(), sections=[Section(title="x", grids=(None,))])  # type: ignore[arg-type]
    with pytest.raises(Exception, match="None"):
        write_page(broken, file)
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_long_run_says_what_a_point_stands_for() -> None:
    rows = [{**row, "at_s": 20 * row["at_s"]} for row in runs.traffic()]
    said = words(report.page(replace(runs.empty_run(), traffic=table(record.TRAFFIC, rows))))
    assert "A point of a chart stands for 15.0 s" in said
