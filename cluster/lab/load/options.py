"""The options of `rayroom load`, the load that they name, and the console."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cluster.lab.results import record
from cluster.lab.scenario.arrivals import ScheduledRooms, draw_rooms
from cluster.lab.scenario.scenario import Scenario, load_scenario
from routing.errors import ConfigurationError

console = Console(highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The options of the command."""

    scenario: str
    command: str
    url: str | None = None
    key_env: str = "RAYROOM_AGENT_KEYS"
    keys: Path = Path(".rayroom/keys.env")
    metrics_urls: tuple[str, ...] = ()
    config: Path = Path("serve_config.yaml")
    replay: bool = False
    webrtc: int = 0
    processes: int | None = None
    out: Path | None = None
    ray_address: str | None = None

    @property
    def kind(self) -> record.Kind:
        return "webrtc" if self.webrtc else "replay" if self.replay else "load"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLoad:
    """A scenario and the rooms drawn from it."""

    scenario: Scenario
    rooms: ScheduledRooms

    @property
    def tenants(self) -> int:
        """Return the number of tenants; a trace may name more than the scenario."""
        return max(self.scenario.tenants.count, int(self.rooms.tenant.max(initial=0)) + 1)


def read_load(name: str) -> ScenarioLoad:
    """Return a scenario's load; raises ConfigurationError for a scenario that is wrong."""
    scenario, directory = load_scenario(name)
    rooms = draw_rooms(scenario, directory)
    if not len(rooms):
        raise ConfigurationError(f"{name}: no room ever joins: raise the rooms under `arrivals`.", "arrivals")
    return ScenarioLoad(scenario=scenario, rooms=rooms)
