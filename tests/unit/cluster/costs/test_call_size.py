"""The size of a call follows the calls that the backend accepts."""

from __future__ import annotations

from cluster.costs.call_size import CallSize


def test_calls_shrink_after_a_failure_and_grow_again_after_full_ones() -> None:
    size = CallSize(25)
    size.shrink(25)
    assert size.rows == 12
    size.shrink(9)
    assert size.rows == 4
    size.stored(3)
    assert size.rows == 4
    for _ in range(100):
        size.stored(size.rows)
    assert size.rows == 25


def test_a_fixed_limit_of_the_backend_is_tried_ever_less_often() -> None:
    size, refused = CallSize(25), 0
    for _ in range(1_000):
        if size.rows > 1:
            refused += 1
            size.shrink(size.rows)
        else:
            size.stored(1)
    assert refused < 30
