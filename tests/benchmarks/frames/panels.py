"""The layouts of screens with figures and pictures: sheet, slide, dashboard, board and video player."""

from __future__ import annotations

from tests.benchmarks.frames.draft import SceneDraft, amount, sentence


def sheet(draft: SceneDraft) -> None:
    """Draw a spreadsheet with row and column headers and a selected cell."""
    rng, theme, top = draft.rng, draft.theme, draft.top
    draft.shape("bar", (0, top, draft.width, top + 60), theme.bar)
    draft.text("label", 16, top + 10, sentence(rng, 2).title(), 15)
    side = rng.choice((12, 13, 14))
    columns, rows = (draft.width - 60) // 110, (draft.height - top - 100) // 26
    for column in range(columns):
        draft.text("label", 100 + 110 * column, top + 66, chr(ord("A") + column % 26), 12, theme.muted)
        draft.shape("grid", (50 + 110 * column, top + 60, 51 + 110 * column, draft.height - 10), theme.frame)
    for row in range(rows):
        y = top + 90 + 26 * row
        draft.shape("grid", (0, y - 5, draft.width, y - 4), theme.frame)
        draft.text("label", 14, y, str(row + 1), 12, theme.muted)
        for column in range(min(columns, 9)):
            if column == 0:
                draft.text("cell label", 58, y, sentence(rng, 1), side)
            elif rng.random() < 0.7:
                draft.text("cell", 58 + 110 * column, y, amount(rng), side)
    column, row = rng.randrange(1, min(columns, 9)), rng.randrange(rows)
    left, y = 50 + 110 * column, top + 85 + 26 * row
    draft.shape("selection", (left, y, left + 110, y + 26), None, outline=theme.accent)


def slide(draft: SceneDraft) -> None:
    """Draw a slide with bullets and a bar chart or a picture."""
    rng, theme, top = draft.rng, draft.theme, draft.top
    draft.text("title", 80, top + 60, sentence(rng, 3).title(), 46, face="bold")
    for row in range(rng.randint(3, 6)):
        draft.text("line", 110, top + 180 + 64 * row, "• " + sentence(rng, 4), 26)
    left, bottom = draft.width * 5 // 8, draft.height - 90
    if rng.random() < 0.4:
        draft.picture((left, top + 180, draft.width - 80, top + 520))
        return
    for bar in range(rng.randint(3, 5)):
        height = rng.randint(60, 320)
        x = left + 84 * bar
        draft.shape("column", (x, bottom - height, x + 56, bottom), theme.accent)
        draft.text("figure", x + 8, bottom - height - 26, str(height), 18)
        draft.text("label", x, bottom + 10, f"Q{bar + 1}", 16, theme.muted)


def dashboard(draft: SceneDraft) -> None:
    """Draw figures, states, a pie, a banner and a table."""
    rng, theme, palette, top = draft.rng, draft.theme, draft.palette, draft.top
    draft.shape("bar", (0, top, draft.width, top + 48), theme.bar)
    draft.text("title", 20, top + 14, sentence(rng, 2).title(), 17, face="bold")
    draft.text("badge", draft.width - 130, top + 16, f"{rng.randint(0, 9)} alerts", 14)
    draft.shape("banner", (20, top + 60, draft.width - 20, top + 92), palette.good)
    draft.text("label", 36, top + 67, sentence(rng, 5), 14, (255, 255, 255))
    for tile in range(4):
        x = 20 + tile * (draft.width - 40) // 4
        draft.shape("tile", (x, top + 106, x + 200, top + 196), theme.bar, outline=theme.frame)
        draft.text("label", x + 14, top + 116, sentence(rng, 1), 13, theme.muted)
        draft.text("figure", x + 14, top + 142, amount(rng), 30, face="bold")
    _pie(draft, (40, top + 230, 240, top + 430))
    for row in range((draft.height - top - 240) // 28):
        y = top + 230 + 28 * row
        state = palette.good if rng.random() < 0.7 else palette.bad
        draft.shape("status", (330, y + 2, 344, y + 16), state, "ellipse")
        draft.text("cell label", 356, y, sentence(rng, 2), 14)
        draft.text("cell", 560, y, amount(rng), 14)
        draft.text("cell", 680, y, amount(rng), 14)


def _pie(draft: SceneDraft, box: tuple[int, int, int, int]) -> None:
    first, second = draft.rng.randint(60, 150), draft.rng.randint(190, 300)
    colours = (draft.palette.good, draft.palette.bad, draft.palette.link)
    for angles, colour in zip(((0, first), (first, second), (second, 360)), colours, strict=True):
        draft.shape("slice", box, colour, "slice", angles=angles)


def board(draft: SceneDraft) -> None:
    """Draw a kanban board: columns of cards, each with a coloured label, and a chess-like row of pieces."""
    rng, theme, palette, top = draft.rng, draft.theme, draft.palette, draft.top
    wide = (draft.width - 40) // 4
    for column in range(4):
        x = 20 + wide * column
        draft.shape("panel", (x, top + 30, x + wide - 16, draft.height - 20), theme.bar)
        draft.text("label", x + 14, top + 40, sentence(rng, 1).title(), 15, face="bold")
        draft.text("figure", x + wide - 56, top + 40, str(rng.randint(2, 19)), 14, theme.muted)
        for row in range(rng.randint(2, max((draft.height - top - 140) // 90, 3))):
            y = top + 76 + 90 * row
            draft.shape("card", (x + 10, y, x + wide - 26, y + 76), theme.paper, outline=theme.frame)
            draft.text("message", x + 22, y + 12, sentence(rng, 3), 14)
            draft.shape("status", (x + 22, y + 44, x + 62, y + 56), rng.choice((palette.good, palette.bad)), "pill")
    x, y = 20 + wide // 2, draft.height - 60
    draft.shape("icon", (x, y, x + 12, y + 16), theme.ink)


def player(draft: SceneDraft) -> None:
    """Draw a paused video with a subtitle, and the titles of the next videos."""
    rng, top = draft.rng, draft.top
    right = draft.width * 3 // 4
    bottom = top + 40 + (right - 40) * 9 // 16
    draft.picture((20, top + 30, right - 20, min(bottom, draft.height - 90)))
    at = min(bottom, draft.height - 90)
    draft.shape("caption", (right // 4, at - 60, right * 3 // 4, at - 22), (0, 0, 0))
    draft.text("subtitle", right // 4 + 16, at - 54, sentence(rng, 5), 20, (255, 255, 255))
    draft.text("title", 20, at + 16, sentence(rng, 5).title(), 20, face="bold")
    for row in range(rng.randint(4, 8)):
        y = top + 40 + 84 * row
        draft.shape("thumbnail", (right, y, right + 120, y + 68), draft.theme.frame)
        draft.text("message", right + 130, y + 8, sentence(rng, 2), 14)
