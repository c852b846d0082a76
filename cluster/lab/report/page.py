"""Define a report page and render it as one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cluster.lab.report import palette
from cluster.lab.report.palette import Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure of the headline. `good` is None if no target was set."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendKey:
    """An entry of a chart's legend."""

    label: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One chart, as SVG for a desk and for a phone; `about` describes it for screen readers."""

    title: str
    about: str
    wide: str = field(repr=False)
    narrow: str = field(repr=False)
    keys: tuple[LegendKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """One table: its first column names the row, `text_columns` hold text, all others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedImage:
    """One picture, as a data URL, and the lines of its caption."""

    source: str = field(repr=False)
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page: sentences first, then charts, tables, preformatted text, pictures."""

    title: str
    texts: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    preformatted: str = ""
    pictures: tuple[EmbeddedImage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole report."""

    title: str
    about: str
    badges: tuple[str, ...]
    facts: tuple[Fact, ...]
    sections: Sequence[Section]


def section(
    title: str,
    fallback: str,
    texts: Sequence[str] = (),
    figures: Sequence[Figure | None] = (),
    tables: Sequence[ReportTable | None] = (),
) -> Section:
    """Return a section with the figures and tables that are not None; without any, `fallback` is its text."""
    existing_figures = tuple(figure for figure in figures if figure is not None)
    existing_tables = tuple(table for table in tables if table is not None)
    missing = (fallback,) if not existing_figures and (figures or not existing_tables) else ()
    return Section(title=title, texts=missing or tuple(texts), figures=existing_figures, tables=existing_tables)


def render(page: Page) -> str:
    """Return the page as HTML; every text is escaped except the charts, which Vega wrote."""
    return _environment().get_template("report.html.j2").render(page=page, colours=palette.COLOURS)


def write_page(page: Page, file: Path) -> Path:
    """Write the page atomically; raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=file.parent) as directory:
        temporary = Path(directory) / file.name
        temporary.write_text(render(page), "utf-8")
        os.replace(temporary, file)
    return file


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("cluster.lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
