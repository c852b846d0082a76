"""The job processes start without the parts of livekit-agents that no room uses, unless an operator wants them."""

from __future__ import annotations

from livekit.agents.ipc import _preload
from livekit.agents.telemetry import loop_monitor

from room_agent.host.process_tuning import LOCAL_INFERENCE, LOOP_MONITOR, MALLOC_ARENAS, tune_environment


def test_the_installed_livekit_agents_reads_the_variables_that_are_set() -> None:
    assert LOOP_MONITOR == loop_monitor.ENV_WARN_THRESHOLD_MS
    assert LOCAL_INFERENCE == _preload.ENV_PRELOAD_LOCAL_INFERENCE


def test_the_weights_are_shared_by_the_job_processes_only_where_a_model_judges_pauses() -> None:
    judged: dict[str, str] = {}
    tune_environment(judged, judges_pauses=True)
    assert judged[LOCAL_INFERENCE] not in _preload._FALSY


def test_a_variable_that_an_operator_has_set_stays() -> None:
    environment = {LOOP_MONITOR: "200"}
    tune_environment(environment, judges_pauses=False)
    assert environment == {LOOP_MONITOR: "200", LOCAL_INFERENCE: "0", MALLOC_ARENAS: "2"}
