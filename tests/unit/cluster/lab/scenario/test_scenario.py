"""A scenario file is valid, or is rejected with key and line before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.lab.scenario.arrivals import draw_rooms
from cluster.lab.scenario.scenario import load_scenario, shipped_scenarios
from routing.errors import ConfigurationError

VALID = """\
name: good
length_s: 60
arrivals: {kind: steady, rooms: 5}
"""


def rejection(tmp_path: Path, text: str) -> str:
    file = tmp_path / "one.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as excinfo:
        load_scenario(str(file))
    return excinfo.value.message


def test_a_minimal_file_is_a_complete_scenario(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(VALID, "utf-8")
    scenario, directory = load_scenario(str(tmp_path / "one.yaml"))
    assert scenario.name == "good" and scenario.rooms.frames_per_second == 1.0 and directory == tmp_path


@pytest.mark.parametrize(
    ("added", "line", "expected"),
    [
        ("colour: red\n", 4, "scenario.colour"),
        ("rooms: {stay: 4}\n", 4, "scenario.rooms.stay"),
        ("rooms:\n  frames_per_second: -1\n", 5, "scenario.rooms.frames_per_second"),
        ("rooms: {screens: {disco: 1}}\n", 4, "disco"),
        ("rooms: {screens: {still: 0}}\n", 4, "at least one scene"),
        ("vendors:\n  faults:\n    - {vendor: openai, from_s: 9, to_s: 3}\n", 6, "must be later"),
        ("warm_up_s: 60\n", 1, "must be less than length_s"),
        ("scaling: {vision: {min_replicas: 5, max_replicas: 2}}\n", 4, "min_replicas 5"),
    ],
)
def test_an_invalid_key_is_named_with_its_line(tmp_path: Path, added: str, line: int, expected: str) -> None:
    message = rejection(tmp_path, VALID + added)
    assert f"one.yaml:{line}: " in message and expected in message


def test_a_negative_number_of_rooms_is_rejected(tmp_path: Path) -> None:
    message = rejection(tmp_path, VALID.replace("rooms: 5", "rooms: -5"))
    assert "one.yaml:3: scenario.arrivals" in message and "-5" in message


def test_every_invalid_key_is_reported_at_once(tmp_path: Path) -> None:
    message = rejection(tmp_path, VALID + "colour: red\nlenght_s: 3\n")
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [unclosed\n"])
def test_a_file_without_a_mapping_is_rejected(tmp_path: Path, text: str) -> None:
    assert "one.yaml" in rejection(tmp_path, text)


def test_the_error_for_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigurationError, match="nine-oclock"):
        load_scenario("ten-oclock")


def test_every_shipped_scenario_has_rooms_and_targets() -> None:
    shipped = shipped_scenarios()
    assert len(shipped) >= 6
    for path in shipped:
        scenario, directory = load_scenario(path.stem)
        assert scenario.name == path.stem and len(draw_rooms(scenario, directory)) and scenario.description
        assert any(limit is not None for limit in scenario.targets.model_dump().values())
        assert path.read_text("utf-8").startswith("# ")
