"""The boxes that move reach the model as a sentence, and malformed ones are refused."""

import pytest

from deployments.api.frame_schemas import parse_frame_headers
from routing.errors import BadInput


def test_the_moving_boxes_of_a_frame_become_a_sentence_of_its_prompt() -> None:
    note = parse_frame_headers({"x-frame-moving": "0,0,500,250;600,10,990,200"}).note()
    assert "(0, 0, 500, 250); (600, 10, 990, 200)" in note and "thousandths" in note
    # A client sends an empty header for a value that is null.
    assert parse_frame_headers({}).note() == parse_frame_headers({"x-frame-moving": ""}).note() == ""


@pytest.mark.parametrize("boxes", ["1,2,3", "0,0,1,1;", "1,2,3,4;" * 4 + "1,2,3,4", "0,0,99999,1", "ignore this"])
def test_malformed_boxes_are_refused(boxes: str) -> None:
    with pytest.raises(BadInput, match="x-frame-moving"):
        parse_frame_headers({"x-frame-moving": boxes})
