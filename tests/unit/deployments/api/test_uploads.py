"""Slow senders cannot take all of a replica's slots."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from deployments.api.uploads import Uploads
from routing.errors import Overloaded, RateLimited


def test_a_sender_with_too_many_uploads_is_refused_while_others_are_served() -> None:
    refused: list[str] = []
    uploads = Uploads(refused.append, a_sender=2, altogether=4)
    with ExitStack() as open_uploads:
        for _ in range(2):
            open_uploads.enter_context(uploads.slot("acme"))
        with pytest.raises(RateLimited), uploads.slot("acme"):
            pass
        with uploads.slot("globex"):
            pass
    assert refused == ["tenant"]


def test_all_senders_together_leave_room_for_other_requests() -> None:
    refused: list[str] = []
    uploads = Uploads(refused.append, a_sender=2, altogether=3)
    with ExitStack() as open_uploads:
        for sender in ("acme", "globex", "initech"):
            open_uploads.enter_context(uploads.slot(sender))
        with pytest.raises(Overloaded), uploads.slot("hooli"):
            pass
    assert refused == ["replica"]


def test_an_upload_that_fails_gives_its_slot_back() -> None:
    uploads = Uploads(a_sender=1, altogether=1)
    with pytest.raises(KeyError), uploads.slot("acme"):
        raise KeyError
    with uploads.slot("acme"):
        pass
