"""A thought signature travels inside the id of its tool call, and any id comes back as it was."""

from __future__ import annotations

import re

import pytest

from deployments.api.call_ids import join_call_id, split_call_id


@pytest.mark.parametrize("signature", ["", "AbC+/=", "é漢", "x" * 5_000])
def test_a_signature_returns_from_the_id_that_carries_it(signature: str) -> None:
    joined = join_call_id("call_1", signature)
    assert split_call_id(joined) == ("call_1", signature)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", joined)


def test_an_id_without_a_signature_stays_as_it_is() -> None:
    assert join_call_id("call_1", None) == "call_1" and split_call_id("call_1") == ("call_1", None)


@pytest.mark.parametrize("foreign", ["call__sig_%%%", "__sig_abc", "call__sig_a", "call__sig__w"])
def test_a_foreign_id_with_the_mark_is_no_signature(foreign: str) -> None:
    assert split_call_id(foreign) == (foreign, None)


def test_an_id_that_holds_the_mark_itself_keeps_it() -> None:
    assert split_call_id(join_call_id("a__sig_b", "s")) == ("a__sig_b", "s")
