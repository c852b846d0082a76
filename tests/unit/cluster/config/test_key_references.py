"""Nothing that Ray stores of the application holds a key: replicas find their keys where they run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray import cloudpickle

from cluster.app import build
from cluster.config.keys import ADMIN, AGENT, DISPATCH_SECRET, SECRET

CONFIG = Path(__file__).parents[4] / "serve_config.yaml"
PLANTED = {
    AGENT: "planted-agent-key-0123456789",
    ADMIN: "planted-admin-key-0123456789",
    SECRET: "planted-token-secret-of-32-bytes-and-more",
    DISPATCH_SECRET: "planted-dispatch-secret-of-32-bytes-and-more",
    "RAYROOM_BACKEND_KEY": "planted-backend-key-0123456789",
    "RAYROOM_WEBHOOK_KEY": "cGxhbnRlZC13ZWJob29rLWtleS0wMTIzNDU2Nzg5",
    "OPENAI_API_KEY": "planted-openai-key-0123456789",
    "ANTHROPIC_API_KEY": "planted-anthropic-key-0123456789",
    "GEMINI_API_KEY": "planted-gemini-key-0123456789",
    "VOYAGE_API_KEY": "planted-voyage-key-0123456789",
}


@pytest.mark.parametrize("place", ["environment", "file"])
def test_no_planted_key_is_in_the_application_that_serve_stores(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = yaml.safe_load(CONFIG.read_text("utf-8"))["applications"][0]["args"]
    args["backend"]["url"] = "http://127.0.0.1:9/trpc"
    args["costs"]["alert_webhook"] = {"url": "http://127.0.0.1:9/alerts"}
    for vendor in args["vendors"].values():
        vendor["simulated"] = False
    own = (AGENT, ADMIN, SECRET, DISPATCH_SECRET)
    for name, value in PLANTED.items():
        monkeypatch.delenv(name, raising=False)
        if place == "environment" or name not in own:
            monkeypatch.setenv(name, value)
    if place == "file":
        file = tmp_path / ".rayroom" / "keys.env"
        file.parent.mkdir()
        file.touch(0o600)
        file.write_text("".join(f"{name}={PLANTED[name]}\n" for name in own))
    monkeypatch.chdir(tmp_path)
    # Serve's checkpoint in the control store holds each deployment's class and arguments, pickled like this.
    stored = cloudpickle.dumps(build(args))  # type: ignore[no-untyped-call]
    assert b"RAYROOM_BACKEND_KEY" in stored
    assert [name for name, value in PLANTED.items() if value.encode() in stored] == []
