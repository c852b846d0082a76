"""A report is rendered by a real browser: from disk, in light and dark mode, on a phone and on paper."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image, ImageStat
from playwright.async_api import Browser
from pypdf import PdfReader

from cluster.lab.report import comparison, report
from cluster.lab.report.page import EmbeddedImage, Page, Section, write_page
from cluster.lab.report.palette import PAPER, contrast
from routing.errors import ConfigurationError
from tests.support import runs
from tests.support.browser import OpenPage, find_chromium, open_page, running_chromium

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = "<script>alert('x')</script>"
MIN_CONTRAST = 4.5
SCREENSHOT_DIRECTORY = "RAYROOM_REPORT_SHOTS"
"""The variable with the directory of the screenshots; without it they are written to a temporary directory."""
PHONE_PX = 390

# Returns each text of a page with its colour, background and position.
TEXTS_SCRIPT = """() => {
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
CHARTS_SCRIPT = """() => [...document.querySelectorAll('.chart svg')].filter(svg => svg.checkVisibility()).map(svg => ({
  width: svg.getBoundingClientRect().width, height: svg.getBoundingClientRect().height,
  marks: svg.querySelectorAll('.role-mark path, .role-mark line').length,
  texts: [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().width > 0).length}))"""


def full_page() -> Page:
    """Return a report with every kind of section, a picture included."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 18), "teal").save(buffer, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    section = Section(
        title="Kept frames", pictures=(EmbeddedImage(source=source, lines=("0:00:01.0 first frame", "$0.0004")),)
    )
    return report.page(runs.sample_run(), [section])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return three pages on disk, rendered once."""
    run, directory = runs.sample_run(), tmp_path_factory.mktemp("pages")
    drawn = {
        "report": full_page(),
        "comparison": comparison.page(run, replace(run, summary=runs.summary(kind="simulate"))),
        "nothing-known": report.page(runs.empty_run()),
    }
    return {name: write_page(page, directory / f"{name}.html") for name, page in drawn.items()}


@pytest.fixture(params=["report", "comparison", "nothing-known"])
def file(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


@pytest.fixture
def full_report(pages: dict[str, Path]) -> Path:
    return pages["report"]


def hex_colour(colour: str) -> str:
    """Return a browser's `rgb(1, 2, 3)` as `#010203`."""
    numbers = colour[colour.index("(") + 1 : -1].split(",")
    assert len(numbers) == 3, colour
    return "#" + "".join(f"{int(number):02x}" for number in numbers)


async def headings(browser: OpenPage, selector: str) -> list[str]:
    lines = [text.splitlines()[0].strip() for text in await browser.page.locator(selector).all_inner_texts()]
    assert lines
    return lines


async def visible_texts(browser: OpenPage) -> list[dict[str, Any]]:
    texts: list[dict[str, Any]] = await browser.page.evaluate(TEXTS_SCRIPT)
    assert len(texts) > 50
    return texts


async def test_a_page_loads_nothing_and_logs_no_error(chromium: Browser, file: Path) -> None:
    async with open_page(chromium, file) as browser:
        await browser.page.wait_for_load_state("networkidle")
        assert [url for url in browser.requested_urls if not url.startswith("data:")] == [file.as_uri()]
        assert browser.messages == []


@pytest.mark.parametrize("width_px", [1_280, PHONE_PX])
async def test_every_chart_has_a_size_marks_and_labels(chromium: Browser, full_report: Path, width_px: int) -> None:
    async with open_page(chromium, full_report, width_px=width_px) as browser:
        charts = await browser.page.evaluate(CHARTS_SCRIPT)
    assert len(charts) == 13
    assert all(chart["width"] > 300 and chart["height"] > 50 for chart in charts), charts
    assert all(chart["marks"] >= 1 and chart["texts"] >= 4 for chart in charts), charts


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_contrasts_with_its_background(chromium: Browser, file: Path, scheme: Any) -> None:
    async with open_page(chromium, file, scheme=scheme) as browser:
        texts = await visible_texts(browser)
    paper = PAPER.light if scheme == "light" else PAPER.dark
    assert sum(hex_colour(text["paper"]) == paper for text in texts) > len(texts) / 2
    faint = [text for text in texts if contrast(hex_colour(text["ink"]), hex_colour(text["paper"])) < MIN_CONTRAST]
    assert faint == []


async def test_the_page_fits_a_phone_in_readable_size(chromium: Browser, file: Path) -> None:
    async with open_page(chromium, file, width_px=PHONE_PX) as browser:
        assert await browser.page.evaluate("document.documentElement.scrollWidth") == PHONE_PX
        texts = await visible_texts(browser)
    outside = [text for text in texts if not text["scrolls"] and (text["left"] < 0 or text["right"] > PHONE_PX)]
    assert outside == []
    assert min(text["height"] for text in texts) >= 10


async def test_the_printed_page_is_light_and_splits_no_chart(chromium: Browser, full_report: Path) -> None:
    async with open_page(chromium, full_report, scheme="dark") as browser:
        pdf = PdfReader(io.BytesIO(await browser.page.pdf(prefer_css_page_size=True)))
        await browser.page.emulate_media(media="print")
        assert {hex_colour(text["paper"]) for text in await visible_texts(browser)} >= {PAPER.light}
        assert await browser.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        titles, captions = await headings(browser, "h2"), await headings(browser, ".chart > figcaption")
        heights = [chart["height"] for chart in await browser.page.evaluate(CHARTS_SCRIPT)]
    sheets = [" ".join(sheet.extract_text().split()) for sheet in pdf.pages]
    assert all(any(title in sheet for sheet in sheets) for title in titles)
    time_charts = [title for title in captions if "second" in title or "replicas" in title]
    assert len(time_charts) >= 6
    # A chart's axis is on the same sheet as its title.
    assert all(any(title in sheet and "from the start" in sheet for sheet in sheets) for title in time_charts)
    assert max(heights) < 500 and round(float(pdf.pages[0].mediabox.width)) == 595


async def test_html_in_names_is_escaped(chromium: Browser, tmp_path: Path) -> None:
    run = runs.sample_run(name="x", command=HOSTILE, notes=(HOSTILE, "{{ 7 * 7 }}"), scenario={HOSTILE: HOSTILE})
    run = runs.with_tenants(run, runs.tenant(HOSTILE), runs.tenant("</svg><img src=x onerror=alert(1)>"))
    async with open_page(chromium, report.write(run, tmp_path)) as browser:
        assert await browser.page.evaluate("document.scripts.length + document.images.length") == 0
        texts = [text["text"] for text in await visible_texts(browser)]
        assert browser.messages == []
    assert texts.count(HOSTILE) >= 2 and "{{ 7 * 7 }}" in texts
    assert sum("</svg><img" in text for text in texts) >= 2


async def test_light_and_dark_mode_have_the_same_layout(chromium: Browser, full_report: Path, tmp_path: Path) -> None:
    directory = Path(os.environ.get(SCREENSHOT_DIRECTORY, tmp_path))
    light, dark = (
        await screenshot(chromium, full_report, directory / "light.png", "light"),
        await screenshot(chromium, full_report, directory / "dark.png", "dark"),
    )
    assert light.size == dark.size
    assert ImageStat.Stat(light.convert("L")).mean[0] > 200 and ImageStat.Stat(dark.convert("L")).mean[0] < 60
    phone = await screenshot(chromium, full_report, directory / "phone.png", "dark", PHONE_PX)
    assert phone.width == PHONE_PX and phone.height > light.height


async def screenshot(chromium: Browser, file: Path, out: Path, scheme: Any, width_px: int = 900) -> Image.Image:
    out.parent.mkdir(parents=True, exist_ok=True)
    async with open_page(chromium, file, scheme=scheme, width_px=width_px) as browser:
        await browser.page.screenshot(path=out, full_page=True)
        if scheme == "light":
            await browser.page.pdf(path=out.with_name("print.pdf"), prefer_css_page_size=True)
    with Image.open(out) as image:
        image.load()
        return image


async def test_the_error_for_a_missing_browser_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"apt-get install chromium"):
        find_chromium(path=str(tmp_path))
