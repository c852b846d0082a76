"""Every row of injections.toml in every channel; `-m injections` selects these tests."""

from __future__ import annotations

import pytest

from tests.unit.room_agent.injections import (
    CHANNELS,
    INJECTIONS,
    Injection,
    assert_adds_no_message,
    assert_leaks_no_secret,
    assert_stays_data,
)

pytestmark = [
    pytest.mark.injections,
    pytest.mark.parametrize("channel", CHANNELS),
    pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.name),
]


def test_an_injection_stays_quoted_data(injection: Injection, channel: str) -> None:
    assert_stays_data(injection, channel)


def test_an_injection_adds_no_message_and_changes_no_role(injection: Injection, channel: str) -> None:
    assert_adds_no_message(injection, channel)


def test_an_injection_reveals_no_secret(injection: Injection, channel: str) -> None:
    assert_leaks_no_secret(injection, channel)
