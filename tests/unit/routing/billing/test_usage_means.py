"""The means of completed answers follow them, and stand in for the usage of an unfinished one."""

from __future__ import annotations

from routing.billing.usage_means import MEMORY_ANSWERS, UsageHistory, UsageMeans
from routing.models import Usage

MOST = Usage(input_tokens=1_000, image_tokens=400, output_tokens=500, thinking_tokens=200)
USED = Usage(input_tokens=700, output_tokens=90, thinking_tokens=50)


def test_the_first_answer_replaces_the_defaults() -> None:
    means = UsageMeans().with_answer(MOST, 160, USED)
    assert (means.input_share, means.visible_tokens, means.thinking_share, means.bytes_per_token) == (0.5, 40, 0.25, 4)
    assert means.expected(MOST) == Usage(input_tokens=700, image_tokens=400, output_tokens=90, thinking_tokens=50)


def test_images_that_a_vendor_counts_apart_are_no_text() -> None:
    means = UsageMeans().with_answer(MOST, 160, Usage(input_tokens=700, image_tokens=400, output_tokens=1))
    assert means.input_share == 0.5


def test_an_expected_answer_is_no_longer_than_its_limit() -> None:
    means = UsageMeans().with_answer(MOST, 0, Usage(output_tokens=10_000))
    assert means.expected(MOST).output_tokens == 500


def test_an_answer_without_text_or_thinking_changes_neither_mean() -> None:
    means = UsageMeans().with_answer(Usage(input_tokens=10), 0, Usage(input_tokens=5))
    assert (means.bytes_per_token, means.thinking_share) == (4.0, 0.25)


def test_an_old_mean_follows_newer_answers() -> None:
    means = UsageMeans()
    for _ in range(1_000):
        means = means.with_answer(MOST, 160, USED)
    longer = Usage(input_tokens=700, output_tokens=50 + 40 + MEMORY_ANSWERS, thinking_tokens=50)
    assert means.with_answer(MOST, 160, longer).visible_tokens == 41


def test_each_model_has_means_of_its_own_and_others_for_images() -> None:
    history, text = UsageHistory(), Usage(input_tokens=100)
    history.add("m", MOST, 160, USED)
    assert history.means("m", MOST).answers == 1
    assert history.means("m", text) == history.means("n", MOST) == UsageMeans()


def test_the_pace_is_that_of_the_answers_whose_pieces_were_timed() -> None:
    means = UsageMeans().with_answer(MOST, 160, USED)
    assert means.bytes_per_s == 400.0
    assert UsageMeans().with_answer(MOST, 160, USED, bytes_per_s=250.0).bytes_per_s == 250.0
