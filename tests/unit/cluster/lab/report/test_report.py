"""A run's report shows known and unknown figures, and is the same for the same run."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from cluster.lab.report import report
from cluster.lab.report.cost_breakdown import sum_spend, tenant_spend
from cluster.lab.report.page import Page, Section, render, write_page
from cluster.lab.results import record
from cluster.lab.results.record import table
from tests.support import runs


@cache
def full_page() -> Page:
    return report.page(runs.sample_run())


def page_text(page: Page) -> str:
    """Return the text of a page, without its style and its tags."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", render(page), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def facts(page: Page) -> dict[str, tuple[str, bool | None]]:
    return {fact.label: (fact.value, fact.good) for fact in page.facts}


def test_the_headline_shows_the_targets_and_the_main_figures() -> None:
    by_label = facts(full_page())
    assert by_label["Targets"] == ("1 of 2 missed", False)
    assert by_label["Rooms at most"] == ("200", None) and by_label["Cost"] == ("$1.235", None)
    assert by_label["Answer time, p95"] == ("2,310 ms", None) and by_label["Kept, not answered"] == ("2.6 %", None)


def test_the_headline_shows_that_all_targets_held() -> None:
    verdicts = tuple(verdict.model_copy(update={"held": True}) for verdict in runs.summary().verdicts)
    assert facts(report.page(runs.empty_run(verdicts=verdicts)))["Targets"] == ("all held", True)


def test_a_simulated_or_stopped_run_has_a_badge() -> None:
    assert report.page(runs.empty_run()).badges == ("SIMULATED", "STOPPED EARLY")
    real = report.page(runs.empty_run(simulated=False, complete=True))
    assert real.badges == () and "simulated" not in real.about


def test_every_section_has_its_charts_and_its_table() -> None:
    sections = {section.title: section for section in full_page().sections}
    assert [len(sections[title].figures) for title in ("Rooms and frames", "Answer times", "Queues")] == [3, 3, 2]
    assert [figure.title for figure in sections["Replicas against demand"].figures] == [
        f"{name}: replicas" for name in runs.DEPLOYMENTS
    ]
    assert len(sections["What the autoscaler decided, and why"].tables[0].rows) == 1
    assert [row[1] for row in sections["What else happened"].tables[0].rows] == ["breaker", "fallback", "fault"]


def test_a_run_without_data_has_no_charts() -> None:
    page = report.page(runs.empty_run())
    assert all(section.figures == () for section in page.sections)
    text = page_text(page)
    assert text.count("Not known:") == 5 and "No targets were set." in text
    assert facts(page)["Cost"] == ("not known", None)


def test_an_unmeasured_column_has_no_chart() -> None:
    rows = [{**row, "queued": None, "ongoing": None} for row in runs.replicas()]
    page = report.page(replace(runs.empty_run(), replicas=table(record.REPLICAS, rows)))
    (queues,) = [section for section in page.sections if section.title == "Queues"]
    assert queues.figures == () and queues.texts == ("Not known: nobody asked the cluster for its queues.",)


def test_the_three_factors_are_shown_by_tenant_and_in_total() -> None:
    (cost,) = [section for section in full_page().sections if section.title == "Cost by tenant"]
    rows = {row[0]: row for row in cost.tables[0].rows}
    assert list(rows) == ["acme", "globex", "all"]
    assert rows["all"][2:6] == ("10,500", "1,500", "1,500", "$0.7200")
    assert rows["acme"][-3:] == ("÷ 7.00", "÷ 1.39", "÷ 4.79")


def test_an_unanswered_frame_does_not_count_as_a_saving() -> None:
    tenant = runs.tenant("acme", answered=500, cost_nanousd=500 * 480_000)
    (row,) = tenant_spend(runs.with_tenants(runs.empty_run(), tenant).tenants)
    assert dict(row.cost_steps())["answered ones only"] == 500 * 2_300_000
    answered, routed = row.cost_steps()[-2][1], row.cost_steps()[-1][1]
    assert answered is not None and routed is not None and round(answered / routed, 2) == 4.79


def test_a_value_unknown_for_one_tenant_is_unknown_in_the_sum() -> None:
    rows = [runs.tenant("acme"), runs.tenant("globex", cost_nanousd=None)]
    spend = tenant_spend(runs.with_tenants(runs.empty_run(), *rows).tenants)
    assert sum_spend("all", spend).cost_nanousd is None and sum_spend("all", spend).seen == 14_000
    assert [row.name for row in spend] == ["acme", "globex"]


def test_the_table_lists_the_thirty_largest_tenants_and_sums_the_rest() -> None:
    rows = [runs.tenant(f"t{number}", 700 * (number + 1)) for number in range(40)]
    page = report.page(runs.with_tenants(runs.empty_run(), *rows))
    (cost,) = [section for section in page.sections if section.title == "Cost by tenant"]
    assert [row[0] for row in cost.tables[0].rows][-2:] == ["10 more", "all"] and len(cost.tables[0].rows) == 32


def test_events_beyond_the_limit_are_counted() -> None:
    events = table(
        record.EVENTS, [{"at_s": float(at), "kind": "scale", "where": "llm", "what": "x"} for at in range(150)]
    )
    assert "The first 100; 50 more are in events.parquet." in page_text(
        report.page(replace(runs.empty_run(), events=events))
    )


def test_markup_in_names_is_escaped_in_text_and_charts() -> None:
    run = runs.empty_run(name="<b>", notes=("<script>1</script>",), command="x && y > 'z'")
    text = render(report.page(runs.with_tenants(run, runs.tenant("<script>"), runs.tenant("</svg>"))))
    assert "<script" not in text and text.count("<svg") == text.count("</svg>")
    assert "&lt;script&gt;" in text and "x &amp;&amp; y" in text


def test_the_same_run_gives_an_identical_file(tmp_path: Path) -> None:
    record.save(runs.sample_run(), tmp_path / "run")
    first = report.write(runs.sample_run(), tmp_path / "first").read_bytes()
    assert report.write(record.load(tmp_path / "run"), tmp_path / "second").read_bytes() == first


def test_extra_sections_come_before_the_last_one() -> None:
    titles = [section.title for section in report.page(runs.empty_run(), [Section(title="The bill")]).sections]
    assert titles[-2:] == ["The bill", "How it was run"]


def test_a_page_loads_no_external_resource() -> None:
    text = render(full_page())
    assert "default-src 'none'" in text and "<script" not in text
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"|url\(', text) == []


def test_a_failed_rendering_keeps_the_previous_file(tmp_path: Path) -> None:
    file = report.write(runs.empty_run(), tmp_path)
    before = file.read_bytes()
    broken = Page(title="x", about="x", badges=(), facts=(), sections=[Section(title="x", tables=(None,))])  # type: ignore[arg-type]
    with pytest.raises(Exception, match="None"):
        write_page(broken, file)
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_long_run_states_the_length_of_a_point() -> None:
    rows = [{**row, "at_s": 20 * row["at_s"]} for row in runs.traffic()]
    text = page_text(report.page(replace(runs.empty_run(), traffic=table(record.TRAFFIC, rows))))
    assert "A point of a chart stands for 15.0 s" in text
