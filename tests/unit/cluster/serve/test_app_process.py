"""The app's process reports a failed deployment, and stops requests first, then the replicas, then the bill."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from ray import serve
from ray.serve.schema import ApplicationStatus

from cluster.serve import app_process
from cluster.serve.app_process import AppProcess, DeployFailed

CONFIG: Any = SimpleNamespace(applications=[SimpleNamespace(name="rayroom")])


class Cluster:
    """Serve, HAProxy and the aggregator as `AppProcess` sees them; `steps` holds its calls in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, open_requests: int = 0, deleted_after: int = 1) -> None:
        self.steps: list[str] = []
        self.open_requests = open_requests
        self._statuses_left = deleted_after
        self.now_s = 0.0
        monkeypatch.setattr(serve, "status", self.status)
        monkeypatch.setattr(
            app_process,
            "HAProxySocket",
            lambda path: SimpleNamespace(refuse_requests=self.refuse, open_requests=self.count),
        )
        context = SimpleNamespace(get_node_id=lambda: "node")
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(app_process, "find_aggregators", self.settle)
        monkeypatch.setattr(ray, "get", lambda references, timeout: references)

    def process(self) -> AppProcess:
        process = AppProcess(CONFIG, threading.Event(), lambda: self.now_s)
        process._client = SimpleNamespace(delete_apps=lambda names, blocking: self.steps.append(f"delete {names}"))
        return process

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def refuse(self) -> None:
        self.steps.append("refuse")

    def count(self) -> int:
        self.open_requests = max(0, self.open_requests - 1)
        return self.open_requests

    def status(self) -> Any:
        self._statuses_left -= 1
        running = SimpleNamespace(status=ApplicationStatus.DELETING, message="")
        return SimpleNamespace(applications={"rayroom": running} if self._statuses_left >= 0 else {})

    def settle(self) -> list[Any]:
        self.steps.append("settle")
        return []


def test_a_failed_deployment_is_raised_with_rays_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(status=ApplicationStatus.DEPLOY_FAILED, message="the image has no such module")
    monkeypatch.setattr(serve, "status", lambda: SimpleNamespace(applications={"rayroom": failed}))
    with pytest.raises(DeployFailed, match="rayroom was not deployed: the image has no such module"):
        cast(Any, AppProcess(CONFIG, threading.Event(), lambda: 0.0))._runs()


def test_the_replicas_end_after_the_last_open_request_and_before_the_bill_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(monkeypatch, open_requests=4)
    cluster.process().drain(grace_s=100.0)
    assert [step for step in cluster.steps if step != "refuse"] == ["delete ['rayroom']", "settle"]
    assert cluster.open_requests == 0 and cluster.steps[0] == "refuse"


def test_requests_that_do_not_end_are_given_up_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, open_requests=10_000, deleted_after=10_000)
    cluster.process().drain(grace_s=10.0)
    assert cluster.steps[-2:] == ["delete ['rayroom']", "settle"]
    assert cluster.now_s == pytest.approx(10.0, abs=1.0)


def test_a_haproxy_that_does_not_answer_keeps_nothing_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)

    def refuse() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(cluster, "refuse", refuse)
    process = cluster.process()
    monkeypatch.setattr(app_process, "HAProxySocket", lambda path: SimpleNamespace(refuse_requests=refuse))
    process.drain(grace_s=10.0)
    assert cluster.steps == ["delete ['rayroom']", "settle"]
