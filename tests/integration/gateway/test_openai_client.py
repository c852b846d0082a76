"""The real `openai` client against the routes: whole, streamed, embeddings, models, errors."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.support.gateway import InProcessCluster, jpeg


async def test_a_turn_is_answered_and_billed(client: openai.AsyncOpenAI, cluster: InProcessCluster) -> None:
    completion = await client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "What is on the screen?"}]
    )
    (event,) = await cluster.events()
    assert completion.choices[0].finish_reason == "stop" and completion.model == "simulated/gpt-6-luna"
    assert completion.usage is not None and completion.usage.completion_tokens > 0
    assert event["service"] == "llm" and event["outcome"] == "ok"


async def test_a_streamed_turn_ends_with_its_usage_after_its_cost_is_durable(
    client: openai.AsyncOpenAI, cluster: InProcessCluster
) -> None:
    stream = await client.chat.completions.create(
        model="simple",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    (event,) = await cluster.events()
    assert text.startswith("[simulated gpt-6-luna]") and len(chunks) > 3
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert event["cost_nanousd"] and event["estimated"] == 0


async def test_a_reader_who_leaves_early_is_billed(client: openai.AsyncOpenAI, cluster: InProcessCluster) -> None:
    stream = await client.chat.completions.create(
        model="simple", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    (event,) = await cluster.events()
    assert event["outcome"] in ("ok", "cancelled") and event["cost_nanousd"]


async def test_an_image_travels_inline_and_is_never_fetched(client: openai.AsyncOpenAI) -> None:
    import base64

    def turn(url: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
        parts: Any = [{"type": "text", "text": "Read it"}, {"type": "image_url", "image_url": {"url": url}}]
        return [{"role": "user", "content": parts}]

    inline = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    answer = await client.chat.completions.create(model="complex", messages=turn(inline))
    assert answer.usage is not None and answer.usage.prompt_tokens > 200
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="complex", messages=turn("https://example.com/x.jpg"))
    assert refused.value.param == "messages.0.content.1.image_url.url"


async def test_embeddings_come_one_for_each_input(client: openai.AsyncOpenAI, cluster: InProcessCluster) -> None:
    texts = ["a slide", "another", "a slide"]
    # The SDK requests base64 by default, and its strict mode then fails its own unpacking.
    result = await client.embeddings.create(model="auto", input=texts, encoding_format="float")
    vectors = [row.embedding for row in result.data]
    assert len(vectors) == 3 and len(vectors[0]) == 1_024
    assert vectors[0] == vectors[2] != vectors[1]
    assert [event["service"] for event in await cluster.events()] == ["embeddings"]


async def test_models_are_the_tiers_and_the_configured_models(client: openai.AsyncOpenAI) -> None:
    models = {model.id: model async for model in client.models.list()}
    configured = {"gpt-6-luna", "gemini-3.5-flash-lite", "gpt-6.1-sol", "claude-sonnet-5-5", "voyage-multimodal-3.5"}
    assert set(models) == {"auto", "simple", "complex"} | configured
    assert models["gpt-6-luna"].owned_by == "openai" and models["auto"].owned_by == "rayroom"
    assert [await client.models.retrieve(name) for name in models] == list(models.values())
    for absent in ("gpt-4o", "nova-3", "a/b", "gpt-9"):
        with pytest.raises(openai.NotFoundError) as not_found:
            await client.models.retrieve(absent)
        assert not_found.value.code == "model_not_found"


async def test_no_model_beyond_the_configured_ones_embeds(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="voyage-4", input="Hello", encoding_format="float")


async def test_an_unsupported_field_is_refused_by_name_and_not_billed(
    client: openai.AsyncOpenAI, cluster: InProcessCluster
) -> None:
    user = [{"role": "user", "content": "Hello"}]
    bad = [
        ({"model": "gpt-9"}, openai.NotFoundError, "model"),
        ({"model": "voyage-multimodal-3.5"}, openai.BadRequestError, "model"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"tools": [{"type": "function"}]}, openai.BadRequestError, "tools.0.function"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ]
    for change, kind, param in bad:
        with pytest.raises(kind) as refused:
            await client.chat.completions.create(**({"model": "auto", "messages": user} | change))  # type: ignore[operator]
        assert refused.value.param == param
    assert await cluster.events() == []
