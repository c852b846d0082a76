"""Read the files of vendors row by row, so that a broken row is named and the others are read."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from cluster.bill.vendor_exports.models import BrokenRow, Parsed, VendorUsage
from routing.units import DAY_S

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_AMOUNT = 2**53
"""Nine million dollars, or as many tokens as nobody buys in a day: a larger figure is a mistake."""
MAX_PROBLEM_CHARS = 200

Row = Mapping[str, Any]
Place = tuple[str, Any]
"""Where a value stands in its file, and the value."""


class UnreadableExport(ValueError):
    """The file as a whole cannot be read."""


def read_documents(path: Path) -> Iterator[Place]:
    """Yield each JSON document of a file: one, one a line, or the pages of an API in a list.

    Numbers with a fraction are decimals. A broken line is a ValueError in the place of its document. Raises
    UnreadableExport for any other file.
    """
    text = _text(path)
    try:
        document = _parse(text)
    except ValueError:
        yield from _lines(path, text)
        return
    if isinstance(document, list):
        yield from ((f"{path.name}[{number}]", one) for number, one in enumerate(document))
    else:
        yield path.name, document


def _lines(path: Path, text: str) -> Iterator[Place]:
    documents = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield f"{path.name}:{number}", _parse(line)
            documents += 1
        except ValueError as error:
            if not documents:
                raise UnreadableExport(f"{path.name} is neither JSON nor JSON lines ({error})") from None
            yield f"{path.name}:{number}", ValueError(f"is no JSON: {error}")


def read_csv(path: Path) -> Iterator[Place]:
    """Yield each row of a CSV file with a header, by lower-case names such as `usage_start_date`."""
    lines = csv.reader(_text(path).splitlines(keepends=True))
    header: list[str] | None = None
    try:
        for values in lines:
            if not any(values):
                continue
            if header is None:
                header = [_column(name) for name in values]
            elif len(values) != len(header):
                problem = f"has {len(values)} cells, and the header {len(header)}"
                yield f"{path.name}:{lines.line_num}", ValueError(problem)
            else:
                yield f"{path.name}:{lines.line_num}", dict(zip(header, values, strict=True))
    except csv.Error as error:
        yield f"{path.name}:{lines.line_num}", ValueError(f"and all after it are no CSV: {error}")


def is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def parse_rows(places: Iterable[Place], parse: Callable[[Row], Iterable[VendorUsage]]) -> Parsed:
    """Yield the usage of each row, and a BrokenRow in the place of one that is not valid."""
    for place, row in places:
        try:
            if isinstance(row, Exception):
                raise row
            yield from list(parse(_object(row, "the row")))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            yield broken(place, error)


def broken(place: str, error: Exception) -> BrokenRow:
    """Return an error about a row as a BrokenRow."""
    text = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return BrokenRow(place=place, problem=text[:MAX_PROBLEM_CHARS])


def results_of(places: Iterable[Place]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place, the bucket and each result of the pages of OpenAI's and Anthropic's reports."""
    for place, page in places:
        if isinstance(page, Exception):
            yield place, page, None
            continue
        buckets = page.get("data") if isinstance(page, dict) else None
        if not isinstance(buckets, list):
            yield place, ValueError("has no list `data`"), None
            continue
        for number, bucket in enumerate(buckets):
            results = bucket.get("results") if isinstance(bucket, dict) else None
            if not isinstance(results, list):
                yield f"{place} data[{number}]", ValueError("has no list `results`"), None
                continue
            for index, result in enumerate(results):
                yield f"{place} data[{number}].results[{index}]", bucket, result


def joined(results: Iterable[tuple[str, Any, Any]]) -> Iterator[Place]:
    """Yield each result with its bucket as `bucket`."""
    for place, bucket, result in results:
        if isinstance(bucket, Exception):
            yield place, bucket
        elif not isinstance(result, dict):
            yield place, ValueError("is no object")
        else:
            yield place, {**result, "bucket": bucket}


def text_of(row: Row, name: str) -> str:
    """Return a text that is not blank; raises KeyError or ValueError."""
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is no text")
    return value.strip()


def amount_of(row: Row, name: str, times: int = 1) -> int:
    """Return `times` a number that is not negative, rounded to a whole one; zero where it is absent or null."""
    value = row.get(name)
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError(f"{name} is no number")
    try:
        number = Decimal(value) * times
    except InvalidOperation:
        raise ValueError(f"{name} is no number") from None
    if not number.is_finite() or not 0 <= number <= MAX_AMOUNT:
        raise ValueError(f"{name} is negative, too large or no number")
    return int(number.to_integral_value())


def day_of(value: object) -> int:
    """Return the UTC day, counted from 1970, of UNIX seconds or of a text; raises ValueError."""
    if isinstance(value, str) and not value.isdigit():
        time = dt.datetime.fromisoformat(value.strip().removesuffix(" UTC"))
        value = int((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp())
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("the time is neither UNIX seconds nor a date")
    seconds = int(value)
    if not 0 <= seconds < 2**33:
        raise ValueError("the time is out of range")
    return seconds // DAY_S


def refuse_longer_than_a_day(begin: object, end: object) -> None:
    """Raise ValueError for a row of several days, which cannot be compared day by day."""
    if end is not None and end != "" and day_of(end) - day_of(begin) > 1:
        raise ValueError("it covers more than a day; export it by day")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableExport(f"{path.name} is larger than {MAX_FILE_BYTES} bytes; export a shorter time")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UnreadableExport(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableExport(f"{path.name} is no UTF-8 text") from None


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _column(name: str) -> str:
    kept = "".join(char if char.isalnum() else " " for char in name.lower())
    return "_".join(kept.split())


def _object(value: Any, name: str) -> Row:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value
