"""Define the scenario file as typed settings, and load it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from cluster.config.settings import DeploymentsScaling, explain
from cluster.lab.scenario.synthetic_screens import Scene
from deployments.common.settings import ProfileChange, Settings
from routing.errors import ConfigurationError
from routing.validation import Count, Seconds, Share, errors_of

SHIPPED = Path(__file__).parent / "scenarios"
Amount = Annotated[int, Field(ge=0, le=1_000_000)]
Moment = Annotated[float, Field(ge=0)]
_SCENES: tuple[Scene, ...] = get_args(Scene)


class Steady(Settings):
    """A constant number of rooms."""

    kind: Literal["steady"]
    rooms: Count


class Ramp(Settings):
    """A linear change from one number of rooms to another."""

    kind: Literal["ramp"]
    from_rooms: Amount = 0
    to_rooms: Amount
    from_s: Moment = 0
    over_s: Seconds


class Step(Settings):
    """A change from one number of rooms to another at one moment."""

    kind: Literal["step"]
    from_rooms: Amount = 0
    to_rooms: Amount
    at_s: Moment


class Burst(Settings):
    """Many meetings at the same hour: more rooms within a few seconds, which leave when their meetings end."""

    kind: Literal["burst"]
    rooms: Amount = 0
    burst_rooms: Count
    at_s: Moment
    over_s: Seconds = 30
    lasts_s: Seconds | None = None
    """From `at_s` to the first departure; without it they stay to the end."""


class Day(Settings):
    """A day's curve: its lowest at the start and at the end, its highest in the middle."""

    kind: Literal["day"]
    low_rooms: Amount = 0
    high_rooms: Count
    day_s: Seconds | None = None
    """The length of a day; the whole scenario by default."""


class Trace(Settings):
    """Recorded meetings: a CSV or Parquet file with `join_at_s`, and `leave_at_s` and `tenant` where they are known."""

    kind: Literal["trace"]
    file: str
    """Beside the scenario, or absolute."""


Arrivals = Annotated[Steady | Ramp | Step | Burst | Day | Trace, Field(discriminator="kind")]


class RoomBehaviour(Settings):
    """The activity in a room."""

    frames_per_second: Annotated[float, Field(gt=0, le=5)] = 1.0
    screens: dict[Scene, Annotated[float, Field(ge=0)]] = dict.fromkeys(_SCENES, 1.0)
    """The share of its time that a screen spends in each scene; scaled to 1."""
    stay_s: Seconds | None = None
    """The mean length of a meeting (exponential); the next one begins when it ends. Without it, to the end."""
    talk_share: Share = 0.0
    """The share of the rooms in which participants ask the agent questions."""
    question_every_s: Seconds = 30
    """The mean time between two questions in such a room (exponential)."""

    @model_validator(mode="after")
    def _check_screens(self) -> RoomBehaviour:
        if not sum(self.screens.values()) > 0:
            raise ValueError("screens: at least one scene needs a share above 0")
        return self


class Tenants(Settings):
    """The tenants of the rooms."""

    count: Annotated[int, Field(ge=1, le=10_000)] = 2
    skew: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Zipf's exponent: 0 gives every tenant as many rooms, 1 gives the first twice as many as the second."""


class VendorFault(Settings):
    """A fault of one vendor: for a period a share of its answers are errors, or all are slower."""

    vendor: str
    from_s: Moment
    to_s: Moment
    share: Share = 1.0
    status: Annotated[int, Field(ge=400, le=599)] | None = 503
    slower_by_s: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _check_times(self) -> VendorFault:
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s} must be later than from_s {self.from_s}")
        return self


class Vendors(Settings):
    """How the simulated vendors behave."""

    speed: Annotated[float, Field(gt=0)] = 1.0
    """The speed-up over the published latencies."""
    profiles: dict[str, ProfileChange] = Field(default={})
    faults: tuple[VendorFault, ...] = ()
    """With any of these the app calls the emulator, through the vendors' own SDKs."""


class Targets(Settings):
    """The targets of a run; a target that is not set is not checked."""

    p95_ms: Annotated[float, Field(gt=0)] | None = None
    """A frame's answer, from the moment it was due."""
    own_p95_ms: Annotated[float, Field(gt=0)] | None = None
    """The same without the vendor's time."""
    shed_share: Share | None = None
    """Frames kept but not answered, of all that were kept."""
    usd_per_room_hour: Annotated[float, Field(gt=0)] | None = None


class Scenario(Settings):
    """A load: arrivals, activity in the rooms, behaviour of the vendors, and targets."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 7
    length_s: Annotated[float, Field(ge=5, le=7 * 86_400)]
    warm_up_s: Moment = 0
    """Events before this moment are in the report, but do not count for the targets."""
    arrivals: Arrivals
    rooms: RoomBehaviour = RoomBehaviour()
    tenants: Tenants = Tenants()
    vendors: Vendors = Vendors()
    scaling: DeploymentsScaling = DeploymentsScaling()
    """The bounds and the policy of every deployment, as under `args.scaling` of serve_config.yaml."""
    targets: Targets = Targets()

    @model_validator(mode="after")
    def _check_warm_up(self) -> Scenario:
        if self.warm_up_s >= self.length_s:
            raise ValueError(f"warm_up_s {self.warm_up_s} must be less than length_s {self.length_s}")
        return self


def load_scenario(name: str) -> tuple[Scenario, Path]:
    """Return a scenario and the directory of its file, by path or by a shipped one's name.

    Raises ConfigurationError naming each wrong key with its line.
    """
    path = _find(name)
    try:
        text = path.read_text("utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: is not a YAML file that can be read: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: must be a mapping with `name`, `length_s` and `arrivals`.")
    try:
        return Scenario.model_validate(document), path.parent
    except ValidationError as error:
        # An error without a key (`scenario`) concerns the whole file.
        explained = zip(errors_of(error), explain(error, "scenario", Scenario), strict=True)
        lines = [f"{path}:{_line(text, problem.loc)}: {message}" for problem, message in explained]
        raise ConfigurationError("\n".join(lines)) from None


def shipped_scenarios() -> tuple[Path, ...]:
    return tuple(sorted(SHIPPED.glob("*.yaml")))


def _find(name: str) -> Path:
    for path in (Path(name), SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(path.stem for path in shipped_scenarios())
    raise ConfigurationError(f"{name}: there is no such file, nor a scenario of that name. Shipped: {shipped}.")


def _line(text: str, loc: tuple[int | str, ...]) -> int:
    """Return the line (from 1) of the deepest part of `loc` that exists in the file."""
    node = yaml.compose(text)
    line = 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                # A kind of arrivals is a step of the type, not of the file.
                continue
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
