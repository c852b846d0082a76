"""Count the bare relatives in the prose of the repository: docstrings, comments and Markdown."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

RELATIVES = re.compile(r"\b(?:what|who|whom|whose|whatever|whoever|whomever)\b", re.IGNORECASE)
"""Every use counts, also in a question: the limit leaves room for those."""
_FENCED = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class RelativeCount:
    """The words of some prose, and its bare relatives as `file:line: text`."""

    words: int
    relatives: tuple[str, ...]

    @property
    def per_thousand(self) -> float:
        return 1_000 * len(self.relatives) / max(self.words, 1)


def count_relatives(files: Iterable[Path]) -> RelativeCount:
    """Count the words and the bare relatives in the prose of Python and Markdown files."""
    words, relatives = 0, []
    for file in files:
        for line, text in prose_of(file):
            words += len(text.split())
            for match in RELATIVES.finditer(text):
                relatives.append(f"{file}:{line + text.count(chr(10), 0, match.start())}: {match.group()}")
    return RelativeCount(words, tuple(relatives))


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield each piece of a file's prose with the number of its first line; code in it is left out."""
    source = file.read_text("utf-8")
    if file.suffix == ".md":
        yield 1, _INDENTED.sub("", _FENCED.sub(lambda code: "\n" * code.group().count("\n"), source))
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _Documented):
            for statement in node.body:
                # A string that stands alone documents the module, the class or the line above it.
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    if isinstance(statement.value.value, str):
                        yield statement.lineno, _FENCED.sub("", statement.value.value)
