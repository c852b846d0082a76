"""A report is read in a real browser: alone on a disk, light and dark, on a phone and on paper."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from pypdf import PdfReader

from cluster.lab.report import comparison, report
from cluster.lab.report.page import EmbeddedImage, Page, Section, write_page
from cluster.lab.report.palette import PAPER, contrast
from routing.errors import ConfigurationError
from tests.support import runs
from tests.support.browser import OpenPage, find_chromium, open_page

HOSTILE = "<script>alert('x')</script>"
LEAST_CONTRAST = 4.5
SHOTS = "RAYROOM_REPORT_SHOTS"
"""A directory for the pictures that these tests take; without it they go with the test's own."""
PHONE_PX = 390

# The text of a page: its words, colours, backgrounds and places.
TEXTS = """() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, element = node.parentElement, text = node.data.trim();
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    let below = element;
    while (below && ['rgba(0, 0, 0, 0)', 'transparent'].includes(getComputedStyle(below).backgroundColor))
      below = below.parentElement;
    found.push({text, ink: element.closest('svg') ? style.fill : style.color, height: box.height,
      paper: below ? getComputedStyle(below).backgroundColor : 'rgb(255, 255, 255)',
      left: box.left, right: box.right, scrolls: !!element.closest('.scroll')});
  }
  return found;
}"""
CHARTS = """() => [...document.querySelectorAll('.chart svg')].filter(svg => svg.checkVisibility()).map(svg => ({
  width: svg.getBoundingClientRect().width, height: svg.getBoundingClientRect().height,
  marks: svg.querySelectorAll('.role-mark path, .role-mark line').length,
  texts: [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().width > 0).length}))"""


def a_page() -> Page:
    """Return a report with something of everything, a picture too."""
    out = io.BytesIO()
    Image.new("RGB", (32, 18), "teal").save(out, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    kept = Section(
        title="Kept frames", pictures=(EmbeddedImage(source=source, lines=("0:00:01.0 first frame", "$0.0004")),)
    )
    return report.page(runs.sample_run(), [kept])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return three pages on the disk, drawn once."""
    one, directory = runs.sample_run(), tmp_path_factory.mktemp("pages")
    drawn = {
        "report": a_page(),
        "comparison": comparison.page(one, replace(one, summary=runs.summary(kind="simulate"))),
        "nothing-known": report.page(runs.empty_run()),
    }
    return {name: write_page(page, directory / f"{name}.html") for name, page in drawn.items()}


@pytest.fixture(params=["report", "comparison", "nothing-known"])
def file(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


@pytest.fixture
def whole(pages: dict[str, Path]) -> Path:
    return pages["report"]


def hexed(colour: str) -> str:
    """Return a browser's `rgb(1, 2, 3)` as `#010203`."""
    numbers = colour[colour.index("(") + 1 : -1].split(",")
    assert len(numbers) == 3, colour
    return "#" + "".join(f"{int(number):02x}" for number in numbers)


async def words(one: OpenPage, which: str) -> list[str]:
    found = [text.splitlines()[0].strip() for text in await one.page.locator(which).all_inner_texts()]
    assert found
    return found


async def texts(one: OpenPage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await one.page.evaluate(TEXTS)
    assert len(found) > 50
    return found


async def test_a_page_asks_nobody_for_anything_and_nothing_is_complained_of(file: Path) -> None:
    async with open_page(file) as one:
        await one.page.wait_for_load_state("networkidle")
        assert [url for url in one.requested_urls if not url.startswith("data:")] == [file.as_uri()]
        assert one.messages == []


@pytest.mark.parametrize("width_px", [1_280, PHONE_PX])
async def test_every_chart_has_a_size_marks_and_words(whole: Path, width_px: int) -> None:
    async with open_page(whole, width_px=width_px) as one:
        charts = await one.page.evaluate(CHARTS)
    assert len(charts) == 13
    assert all(chart["width"] > 300 and chart["height"] > 50 for chart in charts), charts
    assert all(chart["marks"] >= 1 and chart["texts"] >= 4 for chart in charts), charts


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_word_stands_out_from_what_is_behind_it(file: Path, scheme: Any) -> None:
    async with open_page(file, scheme=scheme) as one:
        found = await texts(one)
    paper = PAPER.light if scheme == "light" else PAPER.dark
    assert sum(hexed(text["paper"]) == paper for text in found) > len(found) / 2
    faint = [text for text in found if contrast(hexed(text["ink"]), hexed(text["paper"])) < LEAST_CONTRAST]
    assert faint == []


async def test_nothing_is_wider_than_a_phone_nor_too_small_to_read(file: Path) -> None:
    async with open_page(file, width_px=PHONE_PX) as one:
        assert await one.page.evaluate("document.documentElement.scrollWidth") == PHONE_PX
        found = await texts(one)
    outside = [text for text in found if not text["scrolls"] and (text["left"] < 0 or text["right"] > PHONE_PX)]
    assert outside == []
    assert min(text["height"] for text in found) >= 10


async def test_paper_has_every_part_in_light_with_no_chart_torn(whole: Path) -> None:
    async with open_page(whole, scheme="dark") as one:
        paper = PdfReader(io.BytesIO(await one.page.pdf(prefer_css_page_size=True)))
        await one.page.emulate_media(media="print")
        assert {hexed(text["paper"]) for text in await texts(one)} >= {PAPER.light}
        assert await one.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        titles, charts_drawn = await words(one, "h2"), await words(one, ".chart > figcaption")
        heights = [chart["height"] for chart in await one.page.evaluate(CHARTS)]
    sides = [" ".join(side.extract_text().split()) for side in paper.pages]
    assert all(any(title in side for side in sides) for title in titles)
    over_time = [title for title in charts_drawn if "second" in title or "replicas" in title]
    assert len(over_time) >= 6
    # A chart whose title is on a side has its axis there too.
    assert all(any(title in side and "from the start" in side for side in sides) for title in over_time)
    assert max(heights) < 500 and round(float(paper.pages[0].mediabox.width)) == 595


async def test_names_that_would_be_code_are_words(tmp_path: Path) -> None:
    run = runs.sample_run(name="x", command=HOSTILE, notes=(HOSTILE, "{{ 7 * 7 }}"), scenario={HOSTILE: HOSTILE})
    run = runs.with_tenants(run, runs.tenant(HOSTILE), runs.tenant("</svg><img src=x onerror=alert(1)>"))
    async with open_page(report.write(run, tmp_path)) as one:
        assert await one.page.evaluate("document.scripts.length + document.images.length") == 0
        seen = [text["text"] for text in await texts(one)]
        assert one.messages == []
    assert seen.count(HOSTILE) >= 2 and "{{ 7 * 7 }}" in seen
    assert sum("</svg><img" in text for text in seen) >= 2


async def test_light_and_dark_are_two_pictures_of_one_page(whole: Path, tmp_path: Path) -> None:
    shots = Path(os.environ.get(SHOTS, tmp_path))
    light, dark = await shot(whole, shots / "light.png", "light"), await shot(whole, shots / "dark.png", "dark")
    assert light.size == dark.size
    assert ImageStat.Stat(light.convert("L")).mean[0] > 200 and ImageStat.Stat(dark.convert("L")).mean[0] < 60
    phone = await shot(whole, shots / "phone.png", "dark", PHONE_PX)
    assert phone.width == PHONE_PX and phone.height > light.height


async def shot(file: Path, out: Path, scheme: Any, width_px: int = 900) -> Image.Image:
    out.parent.mkdir(parents=True, exist_ok=True)
    async with open_page(file, scheme=scheme, width_px=width_px) as one:
        await one.page.screenshot(path=out, full_page=True)
        if scheme == "light":
            await one.page.pdf(path=out.with_name("print.pdf"), prefer_css_page_size=True)
    with Image.open(out) as image:
        image.load()
        return image


def test_a_browser_that_is_missing_and_cannot_be_installed_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"apt-get install chromium"):
        find_chromium(path=str(tmp_path))
