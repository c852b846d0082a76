"""The text of a validation error names the field and never contains its value."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from routing.validation import Seconds, first_error


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
