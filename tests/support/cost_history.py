"""A journal of two months for tests of the bill: speech, persons, an estimate that was corrected, and a refund."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from cluster.costs.journal import KEPT_S, Journal
from cluster.costs.models import Correction, Knowledge
from cluster.costs.storage.month_files import MonthFiles
from routing.models import Outcome, Usage
from tests.support.cost_entries import book, seal, settlement

OCTOBER_S = dt.datetime(2026, 10, 5, 12, tzinfo=dt.UTC).timestamp()
NOVEMBER_S = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC).timestamp()
STANDUP, REVIEW = "tenant_acme_standup", "tenant_acme_review"
CHAT: dict[str, Any] = {"service": "llm", "vendor": "openai", "model": "gpt-6.1-sol", "simulated": False}
SPEECH: dict[str, Any] = {"service": "stt", "vendor": "deepgram", "model": "nova-3", "simulated": False}


def write_history(path: Path) -> None:
    """Write the journal, with October in a month file.

    October: acme 1,000 for Ann (llm), 400 of speech, an estimate of 900 for Bob; globex 50. November: the correction of
    the estimate to 300, acme 70 for Ann in another room, a refund of 100 of her first request.
    """
    journal = Journal(path)
    chat: dict[str, Any] = {"usage": Usage(input_tokens=100, output_tokens=20), **CHAT}
    book(journal, "ann", 1_000, OCTOBER_S, participant="ann", request_id="q1", opened_at_s=OCTOBER_S, **chat)
    book(journal, "speech", 400, OCTOBER_S + 1, usage=Usage(audio_ms=60_000), opened_at_s=OCTOBER_S + 1, **SPEECH)
    guess = Knowledge.ROUTER_ESTIMATE
    book(journal, "bob", 900, OCTOBER_S + 2, guess, participant="bob", opened_at_s=OCTOBER_S + 2, **chat)
    book(journal, "other", 50, OCTOBER_S + 3, tenant_id="globex", room="tenant_globex_x", opened_at_s=OCTOBER_S + 3)
    seal(journal)
    actual = settlement("bob", 300, outcome=Outcome.OK, usage=Usage(input_tokens=100, output_tokens=5))
    with journal.transaction():
        journal.settle(actual, Knowledge.VENDOR_FINAL, NOVEMBER_S)
        journal.correct(Correction(correction_id="refund", event_id="ann", cost_nanousd=-100), NOVEMBER_S + 1)
    book(journal, "late", 70, NOVEMBER_S + 2, room=REVIEW, participant="ann", opened_at_s=NOVEMBER_S + 2, **chat)
    seal(journal)
    months = MonthFiles(path)
    while (last := months.copy_events(NOVEMBER_S - KEPT_S)) is not None:
        journal.drop_events(last)
    journal.close()
