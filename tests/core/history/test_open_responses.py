"""What the compliance tests of Open Responses look at, over upstreams of every dialect, with and without state."""

import json
from typing import Any

import pytest

from asgi_llm.testing import (
    Answer,
    Call,
    Recorded,
    ScriptedUpstream,
    chat_stream,
    chat_text,
    gemini_stream,
    gemini_text,
    messages_stream,
    messages_text,
    responses_stream,
    responses_text,
)

KITS = {
    "chat": (chat_text, chat_stream),
    "messages": (messages_text, messages_stream),
    "gemini": (gemini_text, gemini_stream),
    "responses": (responses_text, responses_stream),
}
REQUIRED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user", "usage",
    "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier",
    "prompt_cache_key",
}  # fmt: skip
"""What the schema of a response demands, whatever the upstream says."""
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def user(content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": content}


SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"input": [user("Say hello in three words.")]},
    "streaming": {"input": [user("Count to five.")], "stream": True},
    "system prompt": {
        "input": [{"type": "message", "role": "system", "content": "Talk like a pirate."}, user("Say hello.")]
    },
    "tool calling": {"input": [user("Is it raining in Rome?")], "tools": [WEATHER]},
    "tool calling, streamed": {"input": [user("Is it raining in Rome?")], "tools": [WEATHER], "stream": True},
    "image": {
        "input": [user([{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}])]
    },
    "several turns": {
        "input": [
            user("My name is Alice."),
            {"type": "message", "role": "assistant", "content": "Hello Alice!"},
            user("What is my name?"),
        ]
    },
    "phases": {
        "input": [
            {"type": "message", "role": "assistant", "phase": "commentary", "content": "I look it up."},
            {"type": "message", "role": "assistant", "phase": "final_answer", "content": "It is four."},
            user("Say it again."),
        ]
    },
    "file": {
        "input": [
            user(
                [
                    {"type": "input_text", "text": "Its title?"},
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64,JVBERi0xLjEK",
                    },
                ]
            )
        ]
    },
}


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("dialect", KITS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_scenario(open_client: Any, scenario: str, dialect: str, stateful: bool) -> None:
    asked = SCENARIOS[scenario]
    whole, streamed = KITS[dialect]
    calls = [Call("get_weather", '{"location": "Rome"}')] if "tools" in asked else []

    def answer(_request: Recorded) -> Answer:
        return streamed(["One ", "two."], calls=calls) if asked.get("stream") else whole("One two.", calls=calls)

    async with ScriptedUpstream(answer) as upstream:
        client = await open_client(upstream, dialect, stateful=stateful)
        told = await client("POST", "/v1/responses", {"model": "m", **asked})
        assert told.status == 200, told.body
        response = told.json
        assert (response["object"], response["status"]) == ("response", "completed")
        assert response["output"]
        assert not REQUIRED - response.keys()
        assert told.text == "One two."
        if calls:
            (call,) = [item for item in response["output"] if item["type"] == "function_call"]
            assert json.loads(call["arguments"]) == {"location": "Rome"}
        if asked.get("stream"):
            _check_events(told.events, calls=bool(calls))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_leaves_members_out(open_client: Any, stream: bool) -> None:
    """They are what was asked, or the default."""
    kit = KITS["responses"]
    async with ScriptedUpstream(lambda _request: kit[1](["Hi."]) if stream else kit[0]("Hi.")) as upstream:
        client = await open_client(upstream, "responses")
        asked = {"truncation": "auto", "reasoning": {"effort": "low"}, "prompt_cache_key": "k", "max_tool_calls": 3}
        response = (await client.say("Hello.", stream=stream, **asked)).json
        assert asked.items() <= response.items()
        assert (response["text"], response["top_logprobs"]) == ({"format": {"type": "text"}}, 0)
        assert response["completed_at"] >= response["created_at"]
        assert (await client("GET", f"/v1/responses/{response['id']}")).json == response


@pytest.mark.parametrize("dialect", KITS)
async def test_compaction(open_client: Any, dialect: str) -> None:
    async with ScriptedUpstream(lambda _request: KITS[dialect][0]("Launch on Tuesday.")) as upstream:
        client = await open_client(upstream, dialect)
        said = [user("We launch on Tuesday."), {"type": "message", "role": "assistant", "content": "Understood."}]
        small = await client("POST", "/v1/responses/compact", {"model": "m", "prompt_cache_key": "k", "input": said})
        assert (small.status, small.json["object"]) == (200, "response.compaction")
        message, compaction = small.json["output"]
        assert compaction["type"] == "compaction"
        assert {"id", "type", "role", "status", "content"} <= message.keys()
        assert message["content"] == [{"type": "input_text", "text": "We launch on Tuesday."}]
        assert (await client("POST", "/v1/responses/compact", {"input": said})).status == 400


def _check_events(events: list[Any], *, calls: bool) -> None:
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    if calls:
        items = {
            (event["type"], event["item"]["type"])
            for event in events
            if event["type"].startswith("response.output_item")
        }
        assert {
            ("response.output_item.added", "function_call"),
            ("response.output_item.done", "function_call"),
        } <= items
        assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= set(kinds)


@pytest.mark.parametrize("dialect", KITS)
async def test_the_input_of_a_chain(open_client: Any, dialect: str) -> None:
    async with ScriptedUpstream(lambda _request: KITS[dialect][0]("Yes.")) as upstream:
        client = await open_client(upstream, dialect)
        first = (await client.say("One?")).json["id"]
        second = (await client.say("Two?", previous_response_id=first)).json["id"]
        third = (await client.say("Three?", previous_response_id=second)).json["id"]
        path = f"/v1/responses/{third}/input_items"
        page = (await client("GET", f"{path}?order=asc&limit=3")).json
        rest = (await client("GET", f"{path}?order=asc&after={page['last_id']}")).json
        said = [item["content"][0]["text"] for item in (*page["data"], *rest["data"])]
        assert said == ["One?", "Yes.", "Two?", "Yes.", "Three?"]
        assert (page["has_more"], rest["has_more"]) == (True, False)
        await client("DELETE", f"/v1/responses/{first}")
        left = (await client("GET", path)).json["data"]
        assert [item["content"][0]["text"] for item in left] == ["Three?"]
