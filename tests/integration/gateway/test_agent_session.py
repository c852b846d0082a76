"""LiveKit's AgentSession with a function tool, through its OpenAI plugin, against the routes behind a real server."""

from __future__ import annotations

from livekit.agents import Agent, AgentSession, RunResult, function_tool
from livekit.plugins import openai as livekit_openai

from deployments.gateway.service import Gateway
from tests.support.credentials import room_token
from tests.support.gateway import InProcessCluster, served


@function_tool
async def look_up_page(page: str) -> str:
    """Return a page of the slides."""
    return f"Page {page} shows a chart of sales."


async def test_a_session_calls_its_function_tool_and_answers_with_the_result(
    gateway: Gateway, cluster: InProcessCluster
) -> None:
    async with served(gateway) as url:
        model = livekit_openai.LLM(model="simple", api_key=room_token(), base_url=f"{url}/v1")
        session: AgentSession[None] = AgentSession(llm=model)
        async with session:
            await session.start(Agent(instructions="Answer briefly.", tools=[look_up_page]))
            result: RunResult[None] = await session.run(user_input="Please look up page for me.")
        await model.aclose()
    called, output, answered = result.events
    assert called.type == "function_call" and called.item.name == "look_up_page"
    assert output.type == "function_call_output" and not output.item.is_error
    assert output.item.output.endswith("a chart of sales.")
    assert answered.type == "message" and (answered.item.text_content or "").startswith("[simulated gpt-6-luna]")
    assert [row["outcome"] for row in await cluster.events()] == ["ok", "ok"]
