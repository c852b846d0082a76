"""Strategies that change valid inputs a little: most of random bytes end at the first check."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_PIECES = (
    *(b"", b"\x00", b"\xff\xd8", b"\xff\xff", b'"', b"{", b"null", b"1e999", b"-1", b"\\ud800"),
    *(b"[" * 2_000, b"9" * 5_000),
)


@st.composite
def mutated(draw: st.DrawFn, inputs: Sequence[bytes]) -> bytes:
    """Return one of the inputs with up to four cuts, insertions or changed bytes."""
    data = draw(st.sampled_from(list(inputs)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        piece = draw(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=8)))
        data = data[:start] + piece + data[end:]
    return data
