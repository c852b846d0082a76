"""Run one simulation of a scenario."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cluster.config.settings import AppSettings
from cluster.lab.results import record
from cluster.lab.scenario.arrivals import draw_rooms
from cluster.lab.scenario.recorded_screens import RecordedScreens, load_recordings
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.results import run_of
from cluster.lab.simulator.simulator import Simulator
from cluster.lab.simulator.vendor_model import VendorModel
from routing.catalogue import Catalogue
from routing.chat import Message
from routing.errors import ConfigurationError
from routing.estimates import text_tokens
from routing.models import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A scenario, the directory of its trace, the application and the assumptions."""

    scenario: Scenario
    directory: Path
    app: AppSettings
    assumptions: Assumptions = field(default_factory=Assumptions)
    recordings: RecordedScreens | None = None
    """The recorded screens; drawn or read from their cache if None."""


def simulate(experiment: Experiment, command: str = "", watch: Callable[[float], None] = lambda _: None) -> record.Run:
    """Run an experiment; raises ConfigurationError for a missing trace, model or policy."""
    started_at, began_s = dt.datetime.now(dt.UTC), time.perf_counter()
    scenario, app = experiment.scenario, experiment.app
    recordings = experiment.recordings or load_recordings(scenario.rooms, long_side_px=app.rooms.image_long_side_px)
    rooms = draw_rooms(scenario, experiment.directory)
    vendor_models = vendor_models_of(scenario, app, experiment.assumptions, recordings, started_at.date())
    simulated = Simulator(scenario, rooms, recordings, app, vendor_models, experiment.assumptions).run(watch)
    return run_of(
        simulated,
        scenario,
        rooms,
        app,
        experiment.assumptions,
        command=command,
        started_at=started_at,
        elapsed_s=time.perf_counter() - began_s,
    )


def vendor_models_of(
    scenario: Scenario, app: AppSettings, assumptions: Assumptions, recordings: RecordedScreens, day: dt.date
) -> dict[str, VendorModel]:
    """Return the vendors of each service; raises ConfigurationError for an unknown vendor or model."""
    catalogue = app.catalogue()
    _check_names(scenario, catalogue, app)
    prompt = Usage(input_tokens=text_tokens([Message(role="user", content=(app.vision.prompt,))]))
    frame_px = int((recordings.width_px * recordings.height_px).mean())
    question = Usage(input_tokens=assumptions.question_tokens)
    vision = VendorModel(app.vision, prompt, catalogue, scenario.vendors, app.retries, day, frame_px)
    return {"vision": vision, "llm": VendorModel(app.llm, question, catalogue, scenario.vendors, app.retries, day)}


def _check_names(scenario: Scenario, catalogue: Catalogue, app: AppSettings) -> None:
    for number, fault in enumerate(scenario.vendors.faults):
        if fault.vendor not in app.vendors:
            key = f"scenario.vendors.faults.{number}.vendor"
            raise ConfigurationError(f"{key}: {fault.vendor} is not one of {', '.join(sorted(app.vendors))}.", key)
    for name in scenario.vendors.profiles:
        if name not in catalogue.models:
            key = f"scenario.vendors.profiles.{name}"
            raise ConfigurationError(f"{key}: there is no such model; `rayroom models` shows them.", key)
