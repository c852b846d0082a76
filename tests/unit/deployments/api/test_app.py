"""The app dispatches every route alike: body limits, errors, bugs, methods, the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest
from fastapi.responses import JSONResponse

from deployments.api.app import ApiApp, BoundedRequest
from routing.errors import RateLimited


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = ApiApp()

    @app.endpoint("POST", "/count", max_bytes=8, openapi_extra={"x-limit": 3})
    async def count(request: BoundedRequest) -> JSONResponse:
        """Count the body's bytes."""
        body = await request.read("acme")
        if body == b"limit":
            raise RateLimited(retry_after_s=1.5)
        if body == b"bug":
            raise KeyError("content that must not leave")
        return JSONResponse({"bytes": len(body)})

    @app.endpoint("POST", "/rooms/{room}/count")
    async def count_in(request: BoundedRequest, room: str) -> JSONResponse:
        return JSONResponse({"room": room, "bytes": len(await request.read("acme"))})

    @app.endpoint("PUT", "/rooms/{room}/count")
    async def replace(request: BoundedRequest, room: str) -> JSONResponse:
        return JSONResponse({"replaced": room})

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as client:
        yield client


async def test_an_endpoint_reads_its_request_and_answers(http: httpx.AsyncClient) -> None:
    assert (await http.post("/count", content=b"four")).json() == {"bytes": 4}


async def test_a_parameter_is_one_segment_of_the_path_as_it_was_meant(http: httpx.AsyncClient) -> None:
    assert (await http.post("/rooms/a%20b/count", content=b"four")).json() == {"room": "a b", "bytes": 4}
    assert [(await http.post(path)).status_code for path in ("/rooms//count", "/rooms/a/b/count")] == [404, 404]
    parameters = (await http.get("/openapi.json")).json()["paths"]["/rooms/{room}/count"]["post"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in parameters] == [("room", "path", True)]


async def test_an_error_of_ours_is_its_envelope_and_says_when_to_come_back(http: httpx.AsyncClient) -> None:
    limited = await http.post("/count", content=b"limit")
    assert limited.status_code == 429 and limited.headers["retry-after"] == "2"
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"


async def test_a_bug_is_an_internal_error_that_tells_nothing(http: httpx.AsyncClient) -> None:
    failed = await http.post("/count", content=b"bug")
    assert failed.status_code == 500 and failed.json()["error"]["code"] == "internal_error"
    assert "content" not in failed.text


async def test_a_body_is_read_up_to_the_limit_of_its_route(http: httpx.AsyncClient) -> None:
    assert (await http.post("/count", content=b"12345678")).status_code == 200
    refused = await http.post("/count", content=b"123456789")
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert (await http.post("/rooms/a/count", content=b"123456789")).json()["bytes"] == 9


async def test_an_unknown_path_or_method_is_an_error_in_the_envelope(http: httpx.AsyncClient) -> None:
    for method, path, status in (("GET", "/count", 405), ("GET", "/rooms/a/count", 405), ("POST", "/nothing", 404)):
        refused = await http.request(method, path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, "no_such_route")
        assert ("POST" in refused.headers.get("allow", "")) == (status == 405)


async def test_every_response_has_one_id_and_errors_too(http: httpx.AsyncClient) -> None:
    requests = ("POST", "/count", b"x"), ("POST", "/count", b"limit"), ("POST", "/count", b"bug"), ("GET", "/x", b"")
    responses = [await http.request(method, path, content=body) for method, path, body in requests]
    ids = [response.headers.get_list("x-request-id") for response in responses]
    assert [len(one) for one in ids] == [1] * 4 and len({one for (one,) in ids}) == 4


@pytest.mark.parametrize(("sent", "kept"), [("trace-1.a:b_2", True), ("a b", False), ("x" * 129, False), ("", False)])
async def test_a_plain_id_of_the_client_is_kept(sent: str, kept: bool, http: httpx.AsyncClient) -> None:
    response = await http.post("/count", content=b"x", headers={"x-request-id": sent})
    assert (response.headers["x-request-id"] == sent) is kept


async def test_behind_a_server_that_adds_ids_a_response_has_none() -> None:
    transport = httpx.ASGITransport(ApiApp(request_ids=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as client:
        assert "x-request-id" not in (await client.get("/nothing")).headers


async def test_two_methods_share_a_path_with_a_parameter(http: httpx.AsyncClient) -> None:
    assert (await http.put("/rooms/a/count")).json() == {"replaced": "a"}
    assert (await http.post("/rooms/a/count")).json() == {"room": "a", "bytes": 0}


async def test_fastapi_describes_the_endpoint(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()["paths"]["/count"]["post"]
    assert document["description"] == "Count the body's bytes." and document["x-limit"] == 3


async def sent(app: ApiApp, messages: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the answer to a request whose body arrives as `messages`, the last of them again and again."""
    answer: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: dict[str, object]) -> None:
        answer.append(message)

    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": [], "query_string": b""}
    await app(scope, receive, send)  # type: ignore[arg-type]
    return answer


@pytest.fixture
def uploader() -> ApiApp:
    app = ApiApp()

    @app.endpoint("POST", "/upload")
    async def upload(request: BoundedRequest) -> JSONResponse:
        return JSONResponse(len(await request.read("acme")))

    return app


async def test_an_upload_that_is_cut_gets_an_error_that_can_be_retried_and_raises_none(uploader: ApiApp) -> None:
    part: dict[str, object] = {"type": "http.request", "body": b"a", "more_body": True}
    start, body = await sent(uploader, [part, {"type": "http.disconnect"}])
    assert start["status"] == 503
    assert json.loads(cast(bytes, body["body"]))["error"]["code"] == "overloaded"


async def test_a_body_that_never_ends_is_refused_at_its_deadline(
    uploader: ApiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.api.app.BODY_TIMEOUT_S", 0.01)
    answer = await sent(uploader, [{"type": "http.request", "body": b"", "more_body": True}])
    assert answer[0]["status"] == 408
