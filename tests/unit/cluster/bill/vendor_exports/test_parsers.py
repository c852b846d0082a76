"""Each vendor's export is read by its published format, and a broken row is named while the others are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.bill.vendor_exports.models import BrokenRow, ModelNames, VendorUsage
from cluster.bill.vendor_exports.registry import PARSERS, VendorReport, read_report
from tests.support.vendor_exports import (
    anthropic_page,
    day,
    deepgram_usage,
    google_row,
    openai_cost,
    openai_page,
    openai_usage,
    write,
)

NAMES = {
    "openai": {"gpt-6.1-sol": "gpt-6.1-sol", "gpt-4o": "gpt-4o"},
    "anthropic": {"claude-haiku-5-5": "claude-haiku-5-5"},
    "gemini": {"gemini-2.5-flash": "gemini-2.5-flash", "gemini-2.5-flash-lite": "gemini-2.5-flash-lite"},
    "deepgram": {"nova-3": "nova-3", "nova-3-multi": "nova-3"},
    "elevenlabs": {"eleven_flash_v2_5": "eleven_flash_v2_5"},
}
NOVEMBER_9, NOVEMBER_10 = day("2026-11-09"), day("2026-11-10")


def report(vendor: str, *files: Path) -> VendorReport:
    return read_report(vendor, files, ModelNames(NAMES[vendor]))


def test_openai_usage_and_costs_of_snapshots_add_up_by_day_and_model(tmp_path: Path) -> None:
    usage = write(
        tmp_path / "usage.json",
        [
            openai_page(
                "2026-11-09", openai_usage("gpt-6.1-sol", 100, 20, 40), openai_usage("gpt-4o-2024-08-06", 1, 2)
            ),
            openai_page("2026-11-10", openai_usage("gpt-6.1-sol", 7, 3)),
        ],
    )
    costs = write(
        tmp_path / "costs.json",
        openai_page(
            "2026-11-09", openai_cost("gpt-6.1-sol, input", 0.1), openai_cost("gpt-6.1-sol, output", 0.000000025)
        ),
    )
    found = report("openai", usage, costs)
    assert found.broken == []
    assert found.amounts[NOVEMBER_9, "gpt-6.1-sol"] == {
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "output_tokens": 20,
        "cost_nanousd": 100_000_025,
    }
    assert found.amounts[NOVEMBER_9, "gpt-4o"]["output_tokens"] == 2
    assert found.amounts[NOVEMBER_10, "gpt-6.1-sol"]["input_tokens"] == 7
    assert found.covered["input_tokens"] == {"vision", "llm"} and "embeddings" in found.covered["cost_nanousd"]


def test_openai_cache_writes_are_compared_where_the_report_has_them(tmp_path: Path) -> None:
    result = openai_usage("gpt-6.1-sol", 100, 20, 40) | {"input_cache_write_tokens": 30, "input_uncached_tokens": 60}
    found = report("openai", write(tmp_path / "usage.json", openai_page("2026-11-09", result)))
    assert found.amounts[NOVEMBER_9, "gpt-6.1-sol"] == {
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "cache_write_tokens": 30,
        "output_tokens": 20,
    }


def test_openai_csv_of_the_dashboard_is_read_by_its_header(tmp_path: Path) -> None:
    start_s = NOVEMBER_9 * 86_400
    costs = write(
        tmp_path / "costs.csv",
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item\n"
        f"{start_s},{start_s + 86_400},2026-11-09T00:00:00,2026-11-10T00:00:00,,,\n"
        f'{start_s},{start_s + 86_400},2026-11-09T00:00:00,2026-11-10T00:00:00,0.0038359800,usd,"gpt-6.1-sol, input"\n',
    )
    usage = write(
        tmp_path / "usage.csv",
        "start_time,end_time,model,input_tokens,input_cached_tokens,output_tokens\n"
        f"{start_s},{start_s + 86_400},gpt-6.1-sol,10,4,2\n",
    )
    found = report("openai", costs, usage)
    assert found.broken == []
    assert found.amounts == {
        (NOVEMBER_9, "gpt-6.1-sol"): {
            "cost_nanousd": 3_835_980,
            "input_tokens": 10,
            "cached_input_tokens": 4,
            "output_tokens": 2,
        }
    }


def test_openai_embeddings_cover_embeddings_alone(tmp_path: Path) -> None:
    result = {"object": "organization.usage.embeddings.result", "input_tokens": 5, "model": "text-embedding-3-small"}
    found = report("openai", write(tmp_path / "e.json", openai_page("2026-11-09", result)))
    assert found.amounts == {(NOVEMBER_9, "text-embedding-3-small"): {"input_tokens": 5}}
    assert found.covered == {"input_tokens": {"embeddings"}}


def test_anthropic_input_has_its_cached_parts_and_costs_are_cents(tmp_path: Path) -> None:
    usage = {
        "uncached_input_tokens": 1_500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1_000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 50,
        "model": "claude-haiku-5-5-20260901",
    }
    cost = {"currency": "USD", "amount": "123.45", "model": "claude-haiku-5-5", "token_type": "output_tokens"}
    search = {"currency": "USD", "amount": "1", "model": None, "description": "Web Search Usage"}
    found = report(
        "anthropic",
        write(tmp_path / "usage.json", anthropic_page("2026-11-09", usage)),
        write(tmp_path / "costs.json", anthropic_page("2026-11-09", cost, search)),
    )
    assert found.broken == []
    assert found.amounts[NOVEMBER_9, "claude-haiku-5-5"] == {
        "input_tokens": 3_200,
        "cached_input_tokens": 200,
        "cache_write_tokens": 1_500,
        "cache_write_1h_tokens": 1_000,
        "output_tokens": 50,
        "cost_nanousd": 1_234_500_000,
    }
    assert found.amounts[NOVEMBER_9, "Web Search Usage"] == {"cost_nanousd": 10_000_000}


def test_google_skus_count_input_cached_and_output_tokens_and_other_services_are_left_out(tmp_path: Path) -> None:
    rows = [
        google_row("2026-11-09", "Generate content input token count gemini 2.5 flash short input text", 0.5, 90),
        google_row("2026-11-09", "Generate content cached input token count gemini 2.5 flash text", 0.25, 10),
        google_row("2026-11-09", "Generate content output token count Gemini 2.5 Flash Lite text", 0.125, 7),
        google_row("2026-11-09", "N2 Instance Core running in Frankfurt", 99.0, 5),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    found = report("gemini", path)
    assert found.broken == []
    assert found.amounts == {
        (NOVEMBER_9, "gemini-2.5-flash"): {
            "cost_nanousd": 750_000_000,
            "input_tokens": 100,
            "cached_input_tokens": 10,
        },
        (NOVEMBER_9, "gemini-2.5-flash-lite"): {"cost_nanousd": 125_000_000, "output_tokens": 7},
    }


def test_google_skus_of_every_published_spelling_count_for_their_model(tmp_path: Path) -> None:
    skus = [
        ("Generate content output token count gemini 2.5 flash short input text", 1),
        ("Generate_content text output token count for gemini 2.5 flash batch", 2),
        ("Gemini 2.5 Flash Text Output - Predictions", 4),
        ("Generate_content_cached_input_token_count_gemini_2.5_flash_short_image", 8),
        ("Generate content input token count gemini 2.5 flash image flex caching", 16),
        ("Generate content cached content storage token count gemini 2.5 flash", 32),
    ]
    rows = [google_row("2026-11-09", sku, 0.125, tokens) for sku, tokens in skus]
    found = report("gemini", write(tmp_path / "rows.json", rows))
    assert found.broken == []
    assert found.amounts == {
        (NOVEMBER_9, "gemini-2.5-flash"): {
            "cost_nanousd": 750_000_000,
            "input_tokens": 24,
            "cached_input_tokens": 24,
            "output_tokens": 7,
        }
    }


def test_google_cost_table_is_read_by_its_header_and_another_currency_by_its_rate(tmp_path: Path) -> None:
    table = write(
        tmp_path / "table.csv",
        "Service description,SKU description,Usage start date,Usage end date,"
        "Usage amount,Usage unit,Unrounded Cost ($)\n"
        "Gemini API,Generate content output token count gemini 2.5 flash text,2026-11-09,2026-11-10,12,count,0.03\n",
    )
    sku = "Generate content output token count gemini 2.5 flash text"
    euro = google_row("2026-11-10", sku, 0.9, 3, currency="EUR", currency_conversion_rate=0.9)
    found = report("gemini", table, write(tmp_path / "euro.json", [euro, euro | {"currency_conversion_rate": None}]))
    assert found.amounts[NOVEMBER_9, "gemini-2.5-flash"] == {"cost_nanousd": 30_000_000, "output_tokens": 12}
    assert found.amounts[NOVEMBER_10, "gemini-2.5-flash"]["cost_nanousd"] == 1_000_000_000
    assert [row.problem for row in found.broken] == ["the currency EUR has no currency_conversion_rate"]


def test_deepgram_hours_are_milliseconds_and_dollars_belong_to_the_model_of_their_line_item(tmp_path: Path) -> None:
    usage = deepgram_usage("2026-11-09", ("nova-3-general", 0.5, 0), ("Nova-3", 0.25, 0), ("aura-2", 0, 40))
    billing = {
        "start": "2026-11-09",
        "end": "2026-11-09",
        "results": [{"dollars": 0.25, "grouping": {"start": "2026-11-09", "line_item": "streaming::nova-3"}}],
    }
    found = report("deepgram", write(tmp_path / "u.json", usage), write(tmp_path / "b.json", billing))
    assert found.broken == []
    assert found.amounts[NOVEMBER_9, "nova-3"] == {
        "audio_ms": 2_700_000,
        "characters": 0,
        "cost_nanousd": 250_000_000,
    }
    assert found.amounts[NOVEMBER_9, "aura-2"]["characters"] == 40


def test_elevenlabs_characters_are_read_along_the_time_axis(tmp_path: Path) -> None:
    document = {
        "time": [NOVEMBER_9 * 86_400_000, NOVEMBER_10 * 86_400_000],
        "usage": {"eleven_flash_v2_5": [49.0, 1_053.0], "Eleven Flash v2.5": [1, 0]},
    }
    found = report("elevenlabs", write(tmp_path / "usage.json", document))
    assert found.broken == []
    assert found.amounts == {
        (NOVEMBER_9, "eleven_flash_v2_5"): {"characters": 50},
        (NOVEMBER_10, "eleven_flash_v2_5"): {"characters": 1_053},
    }


def test_elevenlabs_credits_are_refused_by_name(tmp_path: Path) -> None:
    document = {"columns": ["timestamp", "model", "credits_used"], "rows": [[NOVEMBER_9 * 86_400_000, "m", 5]]}
    (broken,) = report("elevenlabs", write(tmp_path / "credits.json", document)).broken
    assert broken.place == "credits.json" and "metric=tts_characters" in broken.problem


GOOD = openai_usage("gpt-6.1-sol", 1, 1)
COST = openai_cost("gpt-6.1-sol, input", 1.0)
BROKEN_RESULTS: list[tuple[Any, str]] = [
    ("text", "is no object"),
    ({**GOOD, "input_tokens": -1}, "input_tokens is negative"),
    ({**GOOD, "input_tokens": 1e300}, "input_tokens is negative, too large"),
    ({**GOOD, "input_tokens": True}, "input_tokens is no number"),
    ({**GOOD, "input_tokens": []}, "input_tokens is no number"),
    ({**GOOD, "model": None}, "model is no text"),
    ({**GOOD, "object": "organization.usage.images.result"}, "is not compared"),
    ({"object": "organization.costs.result"}, "amount is missing"),
    (COST | {"line_item": None}, "group the costs by line_item"),
    (COST | {"amount": {"value": 1, "currency": "eur"}}, "currency eur"),
    (
        openai_cost("gpt-6.1-sol, input", 1.0) | {"amount": {"value": "1e99999999", "currency": "usd"}},
        "no decimal amount",
    ),
    (COST | {"amount": None}, "not subscriptable"),
]


@pytest.mark.parametrize(("result", "problem"), BROKEN_RESULTS)
def test_a_broken_result_is_named_and_the_others_count(tmp_path: Path, result: Any, problem: str) -> None:
    found = report("openai", write(tmp_path / "u.json", openai_page("2026-11-09", GOOD, result, GOOD)))
    (broken,) = found.broken
    assert broken.place == "u.json data[0].results[1]" and problem in broken.problem
    assert found.amounts[NOVEMBER_9, "gpt-6.1-sol"]["input_tokens"] == 2


def test_a_broken_line_of_json_lines_and_of_csv_is_named(tmp_path: Path) -> None:
    sku = "Generate content output token count gemini 2.5 flash text"
    good = json.dumps(google_row("2026-11-09", sku, 1, 1))
    lines = write(tmp_path / "rows.jsonl", f"{good}\n{good[:50]}\nNaN\n{good}\n")
    header = "sku_description,usage_start_time,usage_end_time,usage_amount,usage_unit,cost\n"
    cells = f"{sku},2026-11-09T00:00:00Z,2026-11-09T01:00:00Z,1,count,1\n"
    table = write(
        tmp_path / "t.csv", f"{header}{cells}{sku},2026-11-09\n{cells.replace('2026-11-09T00', 'soon')}{cells}"
    )
    found = report("gemini", lines, table)
    assert [row.place for row in found.broken] == ["rows.jsonl:2", "rows.jsonl:3", "t.csv:3", "t.csv:4"]
    assert found.amounts[NOVEMBER_9, "gemini-2.5-flash"]["output_tokens"] == 4


@pytest.mark.parametrize("vendor", PARSERS)
@pytest.mark.parametrize(
    "text", ["", "not json", "[" * 100_000, '{"data": 5}', '{"results": 5}', '{"time": 5}', "[1]", "null", '{"a": NaN}']
)
def test_a_file_of_another_kind_is_a_broken_part_and_no_error(tmp_path: Path, vendor: str, text: str) -> None:
    found = report(vendor, write(tmp_path / "x.json", text), tmp_path / "absent.json")
    assert found.amounts == {} and found.broken[-1].place == "absent.json"
    assert len(found.broken) == 2 or text == ""


def test_rows_of_several_days_are_refused(tmp_path: Path) -> None:
    page = openai_page("2026-11-09", GOOD)
    page["data"][0]["end_time"] += 86_400
    (broken,) = report("openai", write(tmp_path / "u.json", page)).broken
    assert "export it by day" in broken.problem


def test_names_match_snapshots_and_sentences_but_no_other_model() -> None:
    names = ModelNames({"gpt-4o": "gpt-4o", "gemini-2.5-flash": "gemini-2.5-flash", "nova-3-multi": "nova-3"})
    assert names.of_bill("nova-3-multi") == "nova-3" and names.of_bill("other") == "other"
    assert names.of_export("gpt-4o-2024-08-06") == "gpt-4o" and names.of_export("gpt-4o-mini") == "gpt-4o-mini"
    assert names.of_export("Input tokens gemini 2.5 flash text") == "gemini-2.5-flash"
    assert names.of_export("Web Search Usage") == "Web Search Usage"


def test_each_row_is_usage_or_broken(tmp_path: Path) -> None:
    rows = list(PARSERS["openai"](write(tmp_path / "u.json", openai_page("2026-11-09", GOOD, 1))))
    assert [type(row) for row in rows] == [VendorUsage, BrokenRow]
