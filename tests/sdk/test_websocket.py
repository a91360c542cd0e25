"""The official SDK's WebSocket connection for the Responses API, over upstreams of all dialects."""

from typing import Any

import pytest
from ends.chat import ChatCaller

from asgi_llm.testing import Call, ScriptedUpstream

pytest.importorskip("websockets")

ADD: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}


@pytest.mark.parametrize("host", ["bare", "middleware"])
async def test_turns_with_a_tool(open_gateway: Any, any_speaker: Any, host: str) -> None:
    call = Call("add", '{"a":1,"b":2}', "call_abc")
    script = [any_speaker.answer(True, [], calls=[call]), any_speaker.answer(True, ["It is 3."])]
    async with ScriptedUpstream(script) as upstream:
        target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **any_speaker.settings}
        settings = {
            "targets": {"main": target},
            "auth": {"anonymous": True},
            "responses": {"stateful": True, "websocket": True},
        }
        client = await (await open_gateway(settings, host)).client(ChatCaller())
        async with client.responses.connect() as connection:
            await connection.response.create(model="m", input="1 + 2?", tools=[ADD], store=False)
            first = await last(connection)
            (asked,) = [item for item in first.output if item.type == "function_call"]
            result: Any = {"type": "function_call_output", "call_id": asked.call_id, "output": "3"}
            await connection.response.create(
                model="m", input=[result], tools=[ADD], store=False, previous_response_id=first.id
            )
            assert (await last(connection)).output_text == "It is 3."


async def last(connection: Any) -> Any:
    """The response of the last event about it."""
    async for event in connection:
        if event.type == "response.completed":
            return event.response
        assert event.type != "error", event
    return None
