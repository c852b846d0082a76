"""Print how well the complexity scorer ranks labelled prompts, as a table or as JSON. Calls no model."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from cluster.cli.labelled_prompts import Evaluation, evaluate, read_labels
from routing.complexity import score_text
from routing.share import ShareControl, ShareTarget

SEED = 7


def evaluate_file(file: Path, share: float) -> Evaluation:
    """Return the evaluation of a labelled file; raises BadInput naming its first error."""
    control = ShareControl(ShareTarget(service="llm", share=share), random.Random(SEED))
    return evaluate(read_labels(file), lambda prompt: score_text(prompt).score, control, random.Random(SEED))


def show(evaluation: Evaluation, console: Console, as_json: bool) -> None:
    """Print the evaluation."""
    if as_json:
        print(json.dumps(asdict(evaluation), indent=2))
        return
    percent = f"{evaluation.share:.0%}"
    accuracy = f"weak {evaluation.weak_correct:.1%}, strong {evaluation.strong_correct:.1%}"
    table = Table(title=f"{evaluation.prompts} prompts; right: {accuracy}", box=box.SIMPLE_HEAD)
    for name in ("ranked by", "APGR", f"gap recovered at {percent}", "CPT50"):
        table.add_column(name, justify="left" if name == "ranked by" else "right")
    for quality in evaluation.qualities:
        table.add_row(quality.name, f"{quality.apgr:.3f}", f"{quality.pgr_at_share:.1%}", f"{quality.cpt50:.1%}")
    console.print(table)
    held = evaluation.held
    console.print(
        f"In the file's order, with {percent} to hold: {held.share:.1%} went to the strong model"
        f" ({held.trailing_share:.1%} of the last {held.trailing}) and recovered {held.gap_recovered:.1%} of the gap.\n"
        f"The threshold went from {held.first_threshold:.2f} to {held.last_threshold:.2f};"
        f" the burst held {held.capped} back.",
        soft_wrap=True,
    )
