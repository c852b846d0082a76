"""A command that lacks an extra or a checkout fails with one sentence that names it."""

from __future__ import annotations

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.cli.requirements import CHECKOUT_FILES, EXTRAS, check_demo, missing_extra
from routing.errors import ConfigurationError

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("module", "extra"), [("altair", "lab"), ("livekit.agents", "agent"), ("soxr", "senses"), ("sqlite3", None)]
)
def test_the_message_for_a_missing_module_names_its_extra(module: str, extra: str | None) -> None:
    message = missing_extra(ModuleNotFoundError(name=module))
    assert message is None if extra is None else message is not None and f"rayroom[{extra}]" in message


def test_every_module_belongs_to_its_extra_in_pyproject() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    distributions = packages_distributions()
    for extra, modules in EXTRAS.items():
        for module in modules:
            names = {name.lower().replace("_", "-") for name in distributions[module]}
            assert any(row.startswith(name) for row in declared[extra] for name in names), module


def test_the_demo_names_the_missing_files_of_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        check_demo(tmp_path)
    assert all(name in excinfo.value.message for name in CHECKOUT_FILES) and "\n" not in excinfo.value.message


def test_a_command_without_its_extra_exits_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_lab() -> None:
        raise ModuleNotFoundError("No module named 'altair'", name="altair")

    monkeypatch.setattr(main, "app", without_lab)
    with pytest.raises(SystemExit) as excinfo:
        main.main()
    stderr = capsys.readouterr().err
    assert excinfo.value.code == 2 and "rayroom[lab]" in stderr and stderr.count("\n") == 1
