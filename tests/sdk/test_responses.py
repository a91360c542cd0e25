"""The Responses API, passed on as it is, through the official SDK."""

import json
from typing import Any

import openai
import pytest

from asgi_llm.testing import Call, Tokens

TOOL = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALLS = [Call("add", '{"a":1,"b":2}', "call_a"), Call("add", '{"a":3,"b":4}', "call_b")]


async def _client(open_desk: Any, chat_caller: Any, speakers: Any, script: Any, **more: Any) -> Any:
    desk = await open_desk(speakers["responses"], script, **more)
    return desk, await desk.client(chat_caller)


async def _create(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Any:
    return await client.responses.create(**asked)


async def _iterate(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Any:
    """The response that the last event carries; the events are numbered without a gap."""
    events = [event async for event in await client.responses.create(**asked, stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events[-1].response


async def _helper(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Any:
    async with client.responses.stream(**asked) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


ways = pytest.mark.parametrize("way", [_create, _iterate, _helper], ids=["whole", "plain", "helper"])


@ways
async def test_an_answer(open_desk: Any, chat_caller: Any, speakers: Any, way: Any) -> None:
    tokens = Tokens(input=100, output=50, cached=30, reasoning=20)
    answer = speakers["responses"].answer(way is not _create, ["Hel", "lo ☃"], reasoning="Hm.", tokens=tokens, split=5)
    desk, client = await _client(open_desk, chat_caller, speakers, [answer])

    response = await way(client, {"model": "m", "input": "Say hello.", "instructions": "Be kind."})

    assert (response.output_text, response.status) == ("Hello ☃", "completed")
    assert response.output[0].summary[0].text == "Hm."
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 50, 150)
    assert usage.input_tokens_details.cached_tokens == 30
    assert usage.output_tokens_details.reasoning_tokens == 20
    settled = await desk.ended()
    assert settled.outcome == "ok"
    assert (settled.usage.fresh, settled.usage.cache_read, settled.usage.visible, settled.usage.reasoning) == (
        70,
        30,
        30,
        20,
    )
    assert desk.upstream.requests[0].json["instructions"] == "Be kind."


@ways
async def test_a_round_of_parallel_tools(open_desk: Any, chat_caller: Any, speakers: Any, way: Any) -> None:
    speaker, streamed = speakers["responses"], way is not _create
    script = [speaker.answer(streamed, [], calls=CALLS, reasoning="Hm."), speaker.answer(streamed, ["3 and 7"])]
    desk, client = await _client(open_desk, chat_caller, speakers, script)
    asked = {"model": "m", "input": [{"role": "user", "content": "Go."}], "tools": [TOOL]}

    first = await way(client, asked)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        (call.id, call.name, call.arguments) for call in CALLS
    ]
    results = [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": str(sum(json.loads(call.arguments).values())),
        }
        for call in calls
    ]
    said = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    second = await way(client, {**asked, "input": [*asked["input"], *said, *results]})

    assert second.output_text == "3 and 7"
    wire = desk.upstream.requests[1].json["input"]
    assert [item.get("type", "message") for item in wire] == [
        "message",
        "reasoning",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert [item["output"] for item in wire[-2:]] == ["3", "7"]


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "BadRequestError", 400),
        (401, "InternalServerError", 503),
        (404, "NotFoundError", 404),
        (429, "RateLimitError", 429),
        (500, "InternalServerError", 500),
    ],
)
@ways
async def test_errors(
    open_desk: Any, chat_caller: Any, speakers: Any, way: Any, status: int, name: str, expected: int
) -> None:
    error = speakers["responses"].error(status, "No, not so.", {"retry-after": "7"})
    _, client = await _client(open_desk, chat_caller, speakers, [error])
    with pytest.raises(getattr(openai, name)) as caught:
        await way(client, {"model": "m", "input": "?"})
    assert caught.value.status_code == expected
    assert caught.value.response.headers["retry-after"] == "7"
    assert ("No, not so." in caught.value.message) is (status != 401)


async def test_the_caller_s_name_of_the_model(open_desk: Any, chat_caller: Any, speakers: Any) -> None:
    answer = speakers["responses"].answer(False, model="upstream-1")
    desk, client = await _client(open_desk, chat_caller, speakers, [answer], models={"m": "upstream-1"})
    response = await client.responses.create(model="m", input="?")
    assert response.model == "m"
    assert desk.upstream.requests[0].json["model"] == "upstream-1"
