"""The layouts of screens with text: code, terminal, document, chat and web page; and `scene`, which draws any kind."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.benchmarks.frames.draft import STYLES, SceneDraft, Style, sentence
from tests.benchmarks.frames.panels import board, dashboard, player, sheet, slide
from tests.benchmarks.frames.scene import RenderedScene, Size
from tests.benchmarks.frames.themes import THEMES, StatusPalette, Theme

LINE_PT = 21


def code(draft: SceneDraft) -> None:
    """Draw an editor with a file tree, changed lines and a status bar."""
    rng, theme, top = draft.rng, draft.theme, draft.top
    draft.shape("panel", (0, top, 210, draft.height), theme.bar)
    for row in range(rng.randint(8, 16)):
        draft.text("label", 18 + 14 * rng.randint(0, 2), top + 44 + 24 * row, sentence(rng, 1) + ".py", 13)
    draft.text("label", 230, top + 10, sentence(rng, 1) + ".py", 13, theme.accent)
    side = rng.choice((12, 13, 14, 15))
    rows = (draft.height - top - 80) // LINE_PT
    depth = 0
    for row in range(rng.randint(max(rows // 2, 4), rows - 2)):
        depth = max(0, min(4, depth + rng.choice((-1, 0, 0, 1))))
        name, call = sentence(rng, 1), sentence(rng, 2).replace(" ", "_")
        text = rng.choice(
            (
                f"{name} = {call}({rng.randint(0, 900)})",
                f"if {name} in {call}:",
                f"return {call}",
                f"# {sentence(rng, 5)}",
            )
        )
        draft.text("line", 270 + 28 * depth, top + 40 + LINE_PT * row, text, side, face="mono")
        draft.text("label", 232, top + 40 + LINE_PT * row, str(row + 1), side, theme.muted, "mono")
    draft.shape("bar", (0, draft.height - 26, draft.width, draft.height), theme.accent)
    draft.text("badge", draft.width - 170, draft.height - 21, f"{rng.randint(0, 9)} problems", 12, theme.paper)


def terminal(draft: SceneDraft) -> None:
    """Draw a terminal that fills the screen, as htop and compilers do."""
    rng = draft.rng
    side = rng.choice((13, 14, 15))
    rows = (draft.height - draft.top - 30) // LINE_PT
    for row in range(rng.randint(rows // 2, rows - 1)):
        colour = draft.palette.good if rng.random() < 0.15 else draft.theme.ink
        text = rng.choice(
            (
                f"$ {sentence(rng, 1)} --{sentence(rng, 1)} {rng.randint(1, 64)}",
                f"[{rng.randint(10, 99)}%] {sentence(rng, 4)}",
                f"{rng.randint(100, 9999):>6} {sentence(rng, 1)} {rng.random():.3f}s ok",
                f"WARN {sentence(rng, 6)}",
            )
        )
        draft.text("line", 12, draft.top + 14 + LINE_PT * row, text, side, colour, "mono")


def document(draft: SceneDraft) -> None:
    """Draw a page of prose with a heading, a link and a comment in its margin."""
    rng, theme = draft.rng, draft.theme
    left, width = draft.width // 5, draft.width * 11 // 20
    draft.text("title", left, draft.top + 40, sentence(rng, 4).title(), 28, face="bold")
    words = max(width // 62, 5)
    rows = min((draft.height - draft.top - 150) // 26, 24)
    for row in range(rng.randint(rows * 2 // 3, rows)):
        draft.text("line", left, draft.top + 100 + 26 * row, sentence(rng, words), 16, face="serif")
    draft.text("link", left, draft.height - 34, sentence(rng, 2), 15)
    comment = left + width + 90
    draft.shape("panel", (comment, draft.top + 130, comment + 230, draft.top + 230), theme.bar, outline=theme.frame)
    for row in range(3):
        draft.text("comment", comment + 12, draft.top + 142 + 26 * row, sentence(rng, 3), 13, theme.muted)


def chat(draft: SceneDraft) -> None:
    """Draw channels with unread badges, members with a presence dot, and messages."""
    rng, theme, top = draft.rng, draft.theme, draft.top
    draft.shape("panel", (0, top, 240, draft.height), theme.bar)
    for row in range(rng.randint(7, 14)):
        y = top + 50 + 30 * row
        online = rng.random() < 0.5
        draft.shape("status", (16, y + 3, 26, y + 13), draft.palette.good if online else draft.palette.bad, "ellipse")
        draft.text("label", 36, y, sentence(rng, 1), 14)
        if row % 3 == 0:
            draft.shape("pill", (196, y - 1, 224, y + 17), draft.palette.bad, "pill")
            draft.text("badge", 205, y, str(rng.randint(1, 9)), 12, (255, 255, 255), "bold")
    for row in range(rng.randint(5, (draft.height - top - 140) // 56)):
        y = top + 40 + 56 * row
        draft.shape("avatar", (264, y, 300, y + 36), theme.frame, "ellipse")
        draft.text("label", 312, y, sentence(rng, 1).title(), 14, theme.accent, "bold")
        draft.text("message", 312, y + 20, sentence(rng, rng.randint(3, 9)), 15)
    draft.shape("panel", (260, draft.height - 60, draft.width - 20, draft.height - 20), None, outline=theme.frame)


def web(draft: SceneDraft) -> None:
    """Draw a page in a browser: a tab, an article, pictures, a link and a form with radio buttons."""
    rng, theme, top = draft.rng, draft.theme, draft.top
    draft.shape("bar", (0, top, draft.width, top + 72), theme.bar)
    draft.text("badge", 40, top + 10, f"({rng.randint(1, 9)}) {sentence(rng, 2)}", 13)
    draft.text("label", 120, top + 44, f"https://{sentence(rng, 1)}.example/{sentence(rng, 1)}", 13, theme.muted)
    draft.text("badge", draft.width - 140, top + 44, f"{rng.randint(0, 9)} alerts", 13)
    left = draft.width // 8
    draft.text("title", left, top + 100, sentence(rng, 5).title(), 26, face="bold")
    for row in range(rng.randint(8, max((draft.height - top - 220) // 24, 9))):
        draft.text("line", left, top + 150 + 24 * row, sentence(rng, max(draft.width // 190, 4)), 15)
    right = draft.width * 5 // 8
    draft.picture((right, top + 150, right + 300, top + 150 + 180))
    draft.text("link", right, top + 350, sentence(rng, 3), 15)
    chosen = rng.randrange(3)
    for row in range(3):
        y = top + 390 + 30 * row
        draft.shape("radio", (right, y, right + 16, y + 16), theme.paper, "ellipse", outline=theme.ink)
        draft.text("label", right + 26, y, sentence(rng, 2), 14)
        if row == chosen:
            draft.shape("choice", (right + 4, y + 4, right + 12, y + 12), theme.ink, "ellipse")


LAYOUTS: dict[str, Callable[[SceneDraft], None]] = {
    "code": code,
    "terminal": terminal,
    "document": document,
    "chat": chat,
    "web": web,
    "sheet": sheet,
    "slide": slide,
    "dashboard": dashboard,
    "board": board,
    "player": player,
}
SCALES = (1.0, 1.0, 1.25, 1.5)
SIZES: tuple[Size, ...] = ((1920, 1080), (1920, 1080), (1920, 1080), (1280, 720), (1600, 900))
_SQUEEZED_SIZE: Size = (2560, 1440)
_SQUEEZED_SHARE = 0.2


def scene(
    kind: str,
    rng: random.Random,
    palettes: tuple[StatusPalette, ...],
    *,
    size_px: Size | None = None,
    theme: Theme | None = None,
    style: Style | None = None,
    scale: float | None = None,
) -> RenderedScene:
    """Return a screen of a kind. Its size, theme, style and scaling are drawn where they are not given."""
    squeezed = size_px is None and rng.random() < _SQUEEZED_SHARE
    draft = SceneDraft(
        rng=rng,
        theme=theme or rng.choice(THEMES),
        palette=rng.choice(palettes),
        size_px=_SQUEEZED_SIZE if squeezed else size_px or rng.choice(SIZES),
        scale=scale or (1.0 if squeezed else rng.choice(SCALES)),
        style=rng.choice(STYLES) if style is None else style,
    )
    LAYOUTS[kind](draft)
    draft.bars()
    return draft.scene(kind, squeezed)


def another_page(before: RenderedScene, rng: random.Random, kind: str | None = None) -> RenderedScene:
    """Return another screen on the same desktop, of the same kind unless `kind` names one."""
    style: Style = "full screen" if before.clock_at_px is None else _style_of(before)
    after = scene(
        kind or before.kind,
        rng,
        (before.palette,),
        size_px=before.size_px,
        theme=before.theme,
        style=style,
        scale=before.scale,
    )
    return before.with_elements(after.elements)


def _style_of(before: RenderedScene) -> Style:
    left, top = before.clock_at_px or (0, 0)
    if top > before.size_px[1] // 2:
        return "task bar"
    return "menu bar" if left > before.size_px[0] * 3 // 4 else "top clock"
