"""What the builders write is what the official SDKs read: they are the oracle of the oracle."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from asgi_llm import testing
from asgi_llm.testing import (
    Answer,
    Call,
    ScriptedUpstream,
    Stall,
    Tokens,
    chat_error,
    chat_events,
    chat_stream,
    chat_text,
    messages_error,
    messages_stream,
    messages_text,
    responses_error,
    responses_events,
    responses_stream,
    responses_text,
)

CALLS = [Call("weather", '{"city": "Reykjav\u00edk"}', "call_a"), Call("time", "{}", "call_b")]
TOKENS = Tokens(input=100, output=50, cached=60, written=10, reasoning=20)
FULL: dict[str, Any] = {"calls": CALLS, "reasoning": "Let me think about it.", "tokens": TOKENS, "model": "m-1"}
ASK: dict[str, Any] = {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}


def open_ai(*answers: Answer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="k",
        base_url="http://up/v1",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=ScriptedUpstream(answers).transport(httpx2)),
    )


def claude(*answers: Answer) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key="k",
        base_url="http://up",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=ScriptedUpstream(answers).transport(httpx2)),
    )


async def test_chat_whole() -> None:
    answer = await open_ai(chat_text("Hello!", **FULL)).chat.completions.create(**ASK)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason, answer.model) == ("Hello!", "tool_calls", "m-1")
    assert choice.message.tool_calls is not None
    assert [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        (call.id, call.name, call.arguments) for call in CALLS
    ]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (100, 50, 150)


@pytest.mark.parametrize("split", [0, 1])
async def test_chat_streamed_is_chat_whole(split: int) -> None:
    client = open_ai(chat_stream(["Hel", "lo!"], split=split, **FULL), chat_text("Hello!", **FULL))
    async with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        streamed = (await stream.get_final_completion()).to_dict(mode="json")
    whole = (await client.chat.completions.create(**ASK)).to_dict(mode="json")
    assert plain(streamed) == plain(whole)


def plain(value: Any) -> Any:
    """Without what the accumulator adds (``parsed``, indexes), and without what is null."""
    match value:
        case dict():
            left_out = ("parsed", "parsed_arguments", "index", "object")
            return {k: plain(v) for k, v in value.items() if k not in left_out and v is not None}
        case list():
            return [plain(entry) for entry in value]
        case _:
            return value


async def test_messages_whole() -> None:
    answer = await claude(messages_text("Hello!", **FULL)).messages.create(**ASK, max_tokens=9)
    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert answer.stop_reason == "tool_use"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (30, 60)
    assert (answer.usage.cache_creation_input_tokens, answer.usage.output_tokens) == (10, 50)


@pytest.mark.parametrize("split", [0, 1])
async def test_messages_streamed_is_messages_whole(split: int) -> None:
    client = claude(messages_stream(["Hel", "lo!"], split=split, **FULL), messages_text("Hello!", **FULL))
    async with client.messages.stream(**ASK, max_tokens=9) as stream:
        streamed = (await stream.get_final_message()).to_dict(mode="json")
    whole = (await client.messages.create(**ASK, max_tokens=9)).to_dict(mode="json")
    assert plain(streamed) == plain(whole)


async def test_responses_whole() -> None:
    answer = await open_ai(responses_text("Hello!", **FULL)).responses.create(model="m-1", input="hi")
    assert [item.type for item in answer.output] == ["reasoning", "message", "function_call", "function_call"]
    assert (answer.output_text, answer.status) == ("Hello!", "completed")
    assert answer.usage is not None
    assert (answer.usage.input_tokens_details.cached_tokens, answer.usage.total_tokens) == (60, 150)


@pytest.mark.parametrize("split", [0, 1])
async def test_responses_streamed_is_responses_whole(split: int) -> None:
    client = open_ai(responses_stream(["Hel", "lo!"], split=split, **FULL), responses_text("Hello!", **FULL))
    async with client.responses.stream(model="m-1", input="hi") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        streamed = (await stream.get_final_response()).to_dict(mode="json")
    whole = (await client.responses.create(model="m-1", input="hi")).to_dict(mode="json")
    assert deltas == ["Hel", "lo!"]
    assert plain(streamed) == plain(whole)


def test_responses_events_are_numbered_without_gaps() -> None:
    events = responses_events(["a", Stall(), "b"], **FULL)
    numbers = [event["sequence_number"] for event in events if isinstance(event, dict)]
    assert numbers == list(range(len(events) - 1))


def test_responses_arguments_are_streamed() -> None:
    events = [event for event in responses_events(calls=[CALLS[0]]) if isinstance(event, dict)]
    deltas = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == CALLS[0].arguments


@pytest.mark.parametrize("finish", ["incomplete", "failed"])
def test_responses_that_do_not_complete_end_in_their_own_event(finish: str) -> None:
    last = responses_events(finish=finish)[-1]
    assert isinstance(last, dict)
    assert (last["type"], last["response"]["status"]) == (f"response.{finish}", finish)


@pytest.mark.parametrize("build", [chat_stream, messages_stream, responses_stream])
async def test_steps_between_pieces_happen_there(build: Callable[..., Answer]) -> None:
    received: list[bytes] = []

    async def read_all() -> None:
        upstream = ScriptedUpstream([build(["Hel", Stall(), "lo!"])])
        async with (
            httpx2.AsyncClient(transport=upstream.transport(httpx2), timeout=0.02) as client,
            client.stream("POST", "http://up/") as answer,
        ):
            async for chunk in answer.aiter_raw():
                received.append(chunk)  # noqa: PERF401  a comprehension would lose what came before the error

    with pytest.raises(httpx2.ReadTimeout):
        await read_all()
    assert b"Hel" in b"".join(received)
    assert b"lo!" not in b"".join(received)


async def read(answer: Answer) -> bytes:
    async with httpx2.AsyncClient(transport=ScriptedUpstream([answer]).transport(httpx2)) as client:
        return (await client.get("http://up/")).content


@pytest.mark.parametrize(
    "answer", [chat_text, chat_stream, messages_text, messages_stream, responses_text, responses_stream]
)
async def test_usage_can_be_left_out(answer: Callable[..., Answer]) -> None:
    assert b'"output_tokens":12' in await read(answer()) or b'"completion_tokens":12' in await read(answer())
    silent = (await read(answer(tokens=None))).replace(b'"usage":null', b"")
    assert b'"usage"' not in silent


async def test_a_chat_stream_ends_in_finish_usage_done() -> None:
    *_, finish, usage, done = chat_events()
    assert isinstance(finish, dict)
    assert isinstance(usage, dict)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["total_tokens"], done) == ([], 21, "[DONE]")


async def test_errors_have_the_shape_the_sdks_know() -> None:
    error = chat_error(429, "Slow down.", kind="rate_limit_error", code="slow_down", headers={"retry-after": "7"})
    with pytest.raises(openai.RateLimitError, match="Slow down") as chat:
        await open_ai(error).chat.completions.create(**ASK)
    assert (chat.value.code, chat.value.response.headers["retry-after"]) == ("slow_down", "7")
    with pytest.raises(openai.InternalServerError):
        await open_ai(responses_error()).responses.create(model="m", input="hi")
    with pytest.raises(anthropic.InternalServerError, match="Overloaded") as messages:
        await claude(messages_error(529, "Overloaded", kind="overloaded_error")).messages.create(**ASK, max_tokens=9)
    assert isinstance(messages.value.body, dict)
    assert messages.value.body["error"]["type"] == "overloaded_error"


async def test_each_answer_is_json_again() -> None:
    assert (
        json.loads(await read(chat_text("\u00e9 \U0001f600")))["choices"][0]["message"]["content"]
        == "\u00e9 \U0001f600"
    )


def test_the_public_names_exist_and_are_sorted() -> None:
    assert testing.__all__ == sorted(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)
