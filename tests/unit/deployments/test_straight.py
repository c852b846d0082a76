"""A straight route behaves as FastAPI's others do: errors, bugs, methods, its place in the document."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Request
from fastapi.responses import JSONResponse

from deployments.routes import StraightApp
from routing.errors import RateLimited


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = StraightApp()

    @app.post_straight("/count", openapi_extra={"x-limit": 3})
    async def count(request: Request) -> JSONResponse:
        """Count the body's bytes."""
        body = await request.body()
        if body == b"limit":
            raise RateLimited(retry_after_s=1.5)
        if body == b"bug":
            raise KeyError("content that must not leave")
        return JSONResponse({"bytes": len(body)})

    @app.post_straight("/rooms/{room}/count")
    async def count_in(request: Request, room: str) -> JSONResponse:
        return JSONResponse({"room": room, "bytes": len(await request.body())})

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


async def test_fastapi_still_knows_the_route(http: httpx.AsyncClient) -> None:
    assert (await http.get("/count")).status_code == 405
    document = (await http.get("/openapi.json")).json()["paths"]["/count"]["post"]
    assert document["description"] == "Count the body's bytes." and document["x-limit"] == 3
