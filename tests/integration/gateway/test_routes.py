"""The responses of each route, and the errors of bad requests, which are never billed."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from PIL import Image
from structlog.testing import capture_logs

from deployments.api.access.keys import secret_id
from deployments.api.access.room_tokens import AUDIENCE, ISSUER
from deployments.api.jpeg import inspect_jpeg
from tests.integration.gateway.router_requests import error_of
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import KEYS, InProcessCluster, jpeg


async def test_a_frame_is_described_priced_and_marked_as_simulated(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    response = await http.post("/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS))
    body = response.json()
    (event,) = await cluster.events()
    assert response.status_code == 200 and body["description"].startswith("[simulated gemini-3.5-flash-lite]")
    assert body["simulated"] is True and body["model"] == "simulated/gemini-3.5-flash-lite" and body["tier"] == "simple"
    assert event["tenant_id"] == "acme" and event["cost_nanousd"] == body["cost_nanousd"] > 0
    assert event["outcome"] == "ok" and event["estimated"] == 0 and event["simulated"] == 1


async def test_a_dense_frame_goes_to_the_complex_tier(http: httpx.AsyncClient, bearer: Bearer) -> None:
    dense = {"x-frame-text-density": "0.9", "x-frame-novelty": "0.9", "x-frame-changed-share": "0.5"}
    response = await http.post("/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS, **dense))
    assert response.json()["tier"] == "complex" and "text" in response.json()["reasons"]


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PNG")
    return out.getvalue()


def claiming(width_px: int, height_px: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = jpeg()
    size = inspect_jpeg(data)
    real = size.height_px.to_bytes(2) + size.width_px.to_bytes(2)
    return data.replace(real, height_px.to_bytes(2) + width_px.to_bytes(2), 1)


BAD_FRAMES: dict[str, tuple[bytes, dict[str, str | None], tuple[int, str, str]]] = {
    "a PNG": (png(), {}, (415, "unsupported_media_type", "body")),
    "text": (b"hello", {}, (415, "unsupported_media_type", "body")),
    "nothing": (b"", {}, (415, "unsupported_media_type", "body")),
    "over 2 MiB": (jpeg() + b"\0" * 2_100_000, {}, (413, "too_large", "body")),
    "20,000 x 20,000": (claiming(20_000, 20_000), {}, (413, "too_large", "body")),
    "no pixels": (claiming(0, 0), {}, (400, "invalid_value", "body")),
    "cut in half": (jpeg()[: len(jpeg()) // 2], {}, (400, "invalid_value", "body")),
    "cut by one byte": (jpeg()[:-1], {}, (400, "invalid_value", "body")),
    "only a header": (jpeg()[:40], {}, (400, "invalid_value", "body")),
    "another content type": (jpeg(), {"content-type": "image/png"}, (415, "unsupported_media_type", "content-type")),
    "a time in words": (jpeg(), {"x-frame-captured-at": "noon"}, (400, "invalid_value", "x-frame-captured-at")),
    "an endless time": (jpeg(), {"x-frame-captured-at": "inf"}, (400, "invalid_value", "x-frame-captured-at")),
    "an empty track": (jpeg(), {"x-frame-track": ""}, (400, "invalid_value", "x-frame-track")),
    "a feature beyond 1": (jpeg(), {"x-frame-novelty": "1.5"}, (400, "invalid_value", "x-frame-novelty")),
    "a feature that is no number": (jpeg(), {"x-frame-novelty": "nan"}, (400, "invalid_value", "x-frame-novelty")),
    "an unknown header": (jpeg(), {"x-frame-colour": "red"}, (400, "unknown_parameter", "x-frame-colour")),
    "another source": (jpeg(), {"x-frame-source": "window"}, (400, "invalid_value", "x-frame-source")),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_is_refused_by_name_and_costs_nothing(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    body, changes, expected = BAD_FRAMES[name]
    headers = {k: v for k, v in (bearer(**FRAME_HEADERS) | changes).items() if v is not None}
    response = await http.post("/v1/frames", content=body, headers=headers)
    assert error_of(response) == expected
    assert await cluster.events() == []
    again = await http.post("/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS))
    assert again.status_code == 200


async def test_a_frame_needs_no_capture_time_and_no_track(http: httpx.AsyncClient, bearer: Bearer) -> None:
    response = await http.post("/v1/frames", content=jpeg(), headers=bearer(**{"content-type": "image/jpeg"}))
    assert response.status_code == 200


async def test_a_frame_older_than_its_tracks_newest_is_described_and_logged(
    http: httpx.AsyncClient, bearer: Bearer
) -> None:
    with capture_logs() as logs:
        for track, captured_at in (("TR_1", "10.5"), ("TR_2", "9.0"), ("TR_1", "10.5"), ("TR_1", "10.25")):
            headers = FRAME_HEADERS | {"x-frame-track": track, "x-frame-captured-at": captured_at}
            assert (await http.post("/v1/frames", content=jpeg(), headers=bearer(**headers))).status_code == 200
    late = [entry for entry in logs if entry["event"] == "frame received late"]
    assert [(entry["room"], entry["track"], entry["behind_s"]) for entry in late] == [
        ("tenant_acme_standup", "TR_1", 0.25)
    ]


def forged(claims: dict[str, Any], secret: str = KEYS.token_secret, algorithm: str = "HS256") -> str:
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": "token-1",
        "sub": "tenant_acme_standup",
        "tenant": "acme",
        "job": "j",
        "opened": time.time(),
        "exp": 9_999_999_999,
    } | claims
    header = {"kid": secret_id(KEYS.token_secret)}
    return jwt.encode({k: v for k, v in whole.items() if v is not None}, secret, algorithm, header)


BAD_TOKENS = {
    "nothing": "",
    "a word": "hello",
    "another key's signature": forged({}, "t" * 32),
    "no signature": forged({}, "", "none"),
    "expired": forged({"exp": 1_000}),
    "without an end": forged({"exp": None}),
    "another issuer": forged({"iss": "someone"}),
    "another audience": forged({"aud": "another-program"}),
    "without an audience": forged({"aud": None}),
    "without an id": forged({"jti": None}),
    "its room open for too long": forged({"opened": 1.0}),
    "an agent key": KEYS.agent[0],
    "an admin key": KEYS.admin[0],
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/v1/frames", "/v1/chat/completions", "/v1/embeddings"])
async def test_a_bad_token_opens_nothing(
    name: str, path: str, http: httpx.AsyncClient, cluster: InProcessCluster
) -> None:
    headers = {**FRAME_HEADERS, "authorization": f"Bearer {BAD_TOKENS[name]}"}
    response = await http.post(path, content=jpeg(), headers=headers)
    assert error_of(response) == (401, "invalid_api_key", "authorization")
    assert response.headers["www-authenticate"] == "Bearer"
    assert await cluster.events() == []


async def test_a_token_whose_tenant_is_not_its_rooms_is_refused(http: httpx.AsyncClient) -> None:
    headers = {**FRAME_HEADERS, "authorization": f"Bearer {forged({'tenant': 'globex'})}"}
    response = await http.post("/v1/frames", content=jpeg(), headers=headers)
    assert error_of(response)[:2] == (403, "forbidden")


async def test_the_tenant_is_the_tokens_whatever_the_request_claims(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    headers = bearer("tenant_acme_standup", **FRAME_HEADERS, **{"x-tenant-id": "globex"})
    await http.post("/v1/frames?tenant=globex", content=jpeg(), headers=headers)
    assert [event["tenant_id"] for event in await cluster.events()] == ["acme"]


async def test_a_turn_after_a_failed_answer_is_scored_harder(http: httpx.AsyncClient, bearer: Bearer) -> None:
    body = {"messages": [{"role": "user", "content": "What is on the second chart?"}]}
    plain, again = [
        (await http.post("/v1/chat/completions", json=body | metadata, headers=bearer())).json()["rayroom"]
        for metadata in ({"metadata": {"last_answer": "fine"}}, {"metadata": {"last_answer": "failed"}})
    ]
    assert again["score"] > plain["score"] + 0.3
    assert "failed before" in again["reasons"] and "failed before" not in plain["reasons"]


async def test_a_spent_budget_is_refused_with_its_amount_and_its_end(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    response = await http.post("/v1/frames", content=jpeg(), headers=bearer("tenant_poor_x", **FRAME_HEADERS))
    error = response.json()["error"]
    assert response.status_code == 402 and error["code"] == "budget_exceeded"
    assert error["limit_nanousd"] == 100 and error["spent_nanousd"] == 0 and "resets_at" in error
    assert error["estimate_nanousd"] > 100 == error["remaining_nanousd"]
    assert str(error["estimate_nanousd"]) in error["message"] and "100" in error["message"]
    assert await cluster.events() == []


async def test_a_tenant_above_its_rate_gets_retry_after(http: httpx.AsyncClient, bearer: Bearer) -> None:
    headers = bearer("tenant_slow_x", **FRAME_HEADERS)
    responses = [await http.post("/v1/frames", content=jpeg(), headers=headers) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 429]
    assert 8 <= int(responses[1].headers["retry-after"]) <= 10
    for response in responses:
        assert response.headers["x-ratelimit-limit-requests"] == "6"
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        assert 8 <= float(response.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 10


async def test_a_wrong_request_counts_and_returns_the_remaining_requests(
    http: httpx.AsyncClient, bearer: Bearer
) -> None:
    refused = await http.post("/v1/chat/completions", json={}, headers=bearer("tenant_slow_x"))
    unlimited = await http.post("/v1/chat/completions", json={}, headers=bearer())
    assert (refused.status_code, refused.headers["x-ratelimit-remaining-requests"]) == (400, "0")
    assert unlimited.status_code == 400 and "x-ratelimit-limit-requests" not in unlimited.headers


async def test_health_needs_no_key_and_every_other_path_is_an_error_in_the_envelope(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    assert error_of(await http.get("/v1/nothing")) == (404, "no_such_route", None)
    assert error_of(await http.get("/v1/frames")) == (405, "no_such_route", None)


async def test_the_openapi_document_names_every_route_and_resolves_its_references(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert set(document["paths"]) >= {
        "/v1/rooms",
        "/v1/rooms/{room}/heartbeat",
        "/v1/rooms/{room}",
        "/v1/frames",
        "/v1/chat/completions",
        "/v1/models",
        "/v1/embeddings",
        "/v1/tenants/{tenant_id}/usage",
        "/v1/bill",
        "/healthz",
        "/readyz",
    }
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])
