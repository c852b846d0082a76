"""Speaks OpenAI's chat and embeddings protocol under /openai/v1."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from deployments.providers.emulator.faults import Fault, Seen

if TYPE_CHECKING:
    from deployments.providers.emulator.server import Emulator

IMAGE_TOKENS = 765
_SAID = "This is the emulator speaking: it saw the request and answers with a fixed sentence of words".split()


def openai_routes(emulator: Emulator) -> list[web.RouteDef]:
    """Return the routes, bound to the emulator that holds their faults and journal."""
    speaker = _OpenAI(emulator)
    return [
        web.post("/openai/v1/chat/completions", speaker.chat),
        web.post("/openai/v1/embeddings", speaker.embeddings),
    ]


class _OpenAI:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        fault = self._emulator.next_fault() or Fault()
        await asyncio.sleep(fault.delay_s)
        refused = self._refusal(request, body, fault)
        if refused is not None:
            return refused
        said = _SAID[: body.get("max_completion_tokens") or len(_SAID)]
        usage = _usage(body, len(said))
        self._remember(request, body, usage, 200)
        if body.get("stream"):
            return await _stream(request, body, said, usage, fault)
        return web.json_response(_completion(body, said, usage))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        fault = self._emulator.next_fault() or Fault()
        await asyncio.sleep(fault.delay_s)
        refused = self._refusal(request, body, fault)
        if refused is not None:
            return refused
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        tokens = sum(len(text.split()) for text in inputs)
        self._remember(request, body, {"prompt_tokens": tokens, "completion_tokens": 0}, 200)
        rows = [{"object": "embedding", "index": i, "embedding": [1.0, 0.0]} for i, _ in enumerate(inputs)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "model": body["model"], "data": rows, "usage": usage})

    def _refusal(self, request: web.Request, body: dict[str, Any], fault: Fault) -> web.Response | None:
        status, code = fault.status, fault.code
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            status, code = 401, "invalid_api_key"
        if status is None:
            return None
        self._remember(request, body, {"prompt_tokens": 0, "completion_tokens": 0}, status)
        error = {"message": f"emulated {status}", "type": code, "code": code, "param": None}
        return web.json_response({"error": error}, status=status, headers=fault.headers)

    def _remember(self, request: web.Request, body: dict[str, Any], usage: dict[str, Any], status: int) -> None:
        self._emulator.journal.append(
            Seen(
                path=request.path,
                model=str(body.get("model")),
                stream=bool(body.get("stream")),
                prompt_tokens=usage["prompt_tokens"],
                completion_tokens=usage["completion_tokens"],
                images=_images(body),
                status=status,
            )
        )


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    contents = [message["content"] for message in body.get("messages", [])]
    return [
        part
        for content in contents
        for part in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
    ]


def _images(body: dict[str, Any]) -> int:
    return sum(part["type"] == "image_url" for part in _parts(body))


def _usage(body: dict[str, Any], said: int) -> dict[str, Any]:
    words = sum(len(part["text"].split()) for part in _parts(body) if part["type"] == "text")
    prompt = words + IMAGE_TOKENS * _images(body)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _completion(body: dict[str, Any], said: list[str], usage: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": " ".join(said), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return _head("chat.completion", body) | {"choices": [choice], "usage": usage}


def _head(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-emulated", "object": kind, "created": int(time.time()), "model": body["model"]}


async def _stream(
    request: web.Request, body: dict[str, Any], said: list[str], usage: dict[str, Any], fault: Fault
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    head = _head("chat.completion.chunk", body)
    for index, word in enumerate(said):
        if index == fault.cut_after_chunks:
            return response
        if index == fault.reset_after_chunks and request.transport is not None:
            request.transport.abort()
            return response
        await _send(response, head | {"choices": [_choice({"content": word + " "}, None)]})
    await _send(response, head | {"choices": [_choice({}, "stop")]})
    if (body.get("stream_options") or {}).get("include_usage"):
        await _send(response, head | {"choices": [], "usage": usage})
    await response.write(b"data: [DONE]\n\n")
    return response


def _choice(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(f"data: {json.dumps(event)}\n\n".encode())
