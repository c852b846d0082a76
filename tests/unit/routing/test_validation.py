"""The text of a validation error names the field and never contains its value."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from routing.validation import Seconds, errors_of, first_error


class Outer(BaseModel):
    names: list[int]


def test_a_field_error_has_the_dotted_path_of_its_field() -> None:
    with pytest.raises(ValidationError) as excinfo:
        Outer.model_validate({"names": [1, "my secret"]})
    where, problem = first_error(excinfo.value)
    assert where == "names.1"
    assert "integer" in problem and "my secret" not in problem


def test_an_error_of_the_whole_value_has_an_empty_path() -> None:
    with pytest.raises(ValidationError) as excinfo:
        TypeAdapter(Seconds).validate_python(0)
    assert first_error(excinfo.value) == ("", "Input should be greater than 0")


def test_every_wrong_field_is_returned_and_no_text_repeats_a_value() -> None:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate({"names": ["my secret", 1, "another secret"]})
    errors = list(errors_of(raised.value))
    assert [(one.where, one.kind, one.value) for one in errors] == [
        ("names.0", "int_parsing", "my secret"),
        ("names.2", "int_parsing", "another secret"),
    ]
    assert "secret" not in repr(errors)
