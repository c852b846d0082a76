"""A late frame is logged, and the newest times of no more than `MOST_TRACKS` tracks are kept."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from deployments.api.frame_schemas import FrameHeaders
from deployments.gateway import frame_order
from deployments.gateway.frame_order import FrameOrder


def late(order: FrameOrder, track: str, captured_at_s: float) -> bool:
    with capture_logs() as logs:
        order.check("tenant_acme_standup", FrameHeaders(captured_at=captured_at_s, track=track))
    return bool(logs)


def test_a_frame_older_than_one_before_it_is_late() -> None:
    order = FrameOrder()
    assert [late(order, "TR_1", at_s) for at_s in (1.0, 3.0, 2.0, 3.0)] == [False, False, True, False]


def test_the_track_without_a_frame_for_longest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_order, "MOST_TRACKS", 2)
    order = FrameOrder()
    for track in ("TR_1", "TR_2", "TR_1", "TR_3"):
        late(order, track, 5.0)
    assert late(order, "TR_1", 4.0)
    assert not late(order, "TR_2", 4.0)
