"""livekit-server is found, or built once, or the missing tool is named; its configuration is private."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from cluster.lab.stack.livekit_server import find_livekit_server, livekit_config
from routing.errors import ConfigurationError

SECRET = "a secret of more than thirty-two bytes"

GO = """#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit; fi
echo "$2" >> "{builds}"
sleep 0.1
{build}
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Tools:
    """A directory to search instead of the PATH, with a `go` that writes down what it is asked to build."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.path = str(directory / "path")
        self._builds = directory / "builds"

    def add_go(self, version: str = "go1.26.8", build: str = 'echo built > "$GOBIN/server"') -> None:
        executable(Path(self.path, "go"), GO.format(version=version, builds=self._builds, build=build))

    def find(self) -> Path:
        return find_livekit_server(self.root, self.path)

    def builds(self) -> list[str]:
        return self._builds.read_text().splitlines() if self._builds.exists() else []


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


def test_the_server_on_the_path_comes_first(tools: Tools) -> None:
    executable(tools.root / ".tools/bin/livekit-server", "")
    installed = executable(Path(tools.path, "livekit-server"), "")
    assert tools.find() == installed


def test_a_server_once_built_is_used_again(tools: Tools) -> None:
    tools.add_go()
    built = tools.find()
    assert built == tools.root / ".tools/bin/livekit-server"
    assert built.read_text() == "built\n"
    assert tools.find() == built
    assert tools.builds() == ["github.com/livekit/livekit-server/cmd/server@v1.13.5"]


def test_two_who_need_the_server_at_once_build_it_once(tools: Tools) -> None:
    tools.add_go()
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(tools.find) for _ in range(4)]
    assert len({future.result() for future in found}) == 1
    assert len(tools.builds()) == 1


def test_a_missing_go_is_named_with_the_way_to_get_it(tools: Tools) -> None:
    with pytest.raises(ConfigurationError, match=r"go is missing.*Go 1\.26 or newer.*go\.dev/dl"):
        tools.find()


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "nonsense"])
def test_an_old_go_is_named_with_its_version(tools: Tools, version: str) -> None:
    tools.add_go(version)
    with pytest.raises(ConfigurationError, match=rf"Go 1\.26 or newer, this is {version}"):
        tools.find()


def test_a_build_that_fails_says_what_go_said_and_leaves_nothing(tools: Tools) -> None:
    tools.add_go(build="echo no route to the module proxy >&2; exit 1")
    with pytest.raises(ConfigurationError, match="no route to the module proxy"):
        tools.find()
    assert {path.name for path in (tools.root / ".tools").rglob("*")} == {"bin", "lock"}


def test_the_configuration_is_of_a_private_server_on_its_own_ports() -> None:
    config = yaml.safe_load(livekit_config(20_001, 20_002, 20_003, "demo", SECRET))
    assert (config["port"], config["bind_addresses"]) == (20_001, ["127.0.0.1"])
    assert (config["rtc"]["tcp_port"], config["rtc"]["udp_port"]) == (20_002, 20_003)
    assert (config["rtc"]["node_ip"], config["rtc"]["use_external_ip"]) == ("127.0.0.1", False)
    assert config["keys"] == {"demo": SECRET}


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        livekit_config(20_001, 20_002, 20_003, "devkey", "secret")
