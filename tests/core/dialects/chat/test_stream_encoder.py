"""Streams for callers, read by the official client."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai import APIError, AsyncOpenAI
from openai.types.chat import ChatCompletion

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    MediaDelta,
    Ping,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import unfold
from asgi_llm.neutral.request import (
    Carrier,
    Citation,
    Image,
    Inline,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    Text,
    ToolCall,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

START = Start("up", "model", 5)
END = Finished(Finish("end"))
USAGE = UsageUpdate(Usage(fresh=3, cache_read=1, visible=4, reasoning=2))


def encode(*events: Event, **fields) -> bytes:
    encoder = CHAT.stream_encoder(Answer(model="mine", mint=lambda prefix: f"{prefix}minted", now=lambda: 7, **fields))
    return b"".join(encoder.feed([event]) for event in events)


def chunks(data: bytes) -> list[dict]:
    frames = [frame for frame in data.decode().split("\n\n") if frame.startswith("data: {")]
    return [json.loads(frame[6:]) for frame in frames]


def block(index: int, part: Part, *deltas: Event) -> list[Event]:
    return [BlockStart(index, part), *deltas, BlockStop(index)]


def client(data: bytes) -> AsyncOpenAI:
    async def body() -> AsyncIterator[bytes]:
        yield data

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handle))
    return AsyncOpenAI(api_key="k", base_url="http://test/v1", http_client=http, max_retries=0)


async def accumulate(data: bytes) -> ChatCompletion:
    """What the official client makes of a stream; it joins whatever is repeated."""
    async with (
        client(data) as openai,
        openai.chat.completions.stream(model="m", messages=[], stream_options={"include_usage": True}) as stream,
    ):
        async for _ in stream:
            pass
        return await stream.get_final_completion()


async def test_text_thoughts_and_parallel_calls_are_accumulated_by_the_official_client():
    data = encode(
        START,
        *block(
            0,
            Reasoning(),
            ReasoningDelta(0, "h"),
            ReasoningDelta(0, "m"),
            CarrierSet(0, Carrier("anthropic.signature", "s")),
        ),
        *block(1, Text(""), TextDelta(1, "a"), TextDelta(1, "b\n")),
        *block(2, ToolCall("1", "f"), ArgumentsDelta(2, '{"a":'), ArgumentsDelta(2, "1}")),
        *block(3, ToolCall("2", "g", carriers=(Carrier("google.thought_signature", "c2ln"),)), ArgumentsDelta(3, "{}")),
        USAGE,
        Finished(Finish("tool_calls")),
        include_usage=True,
    )
    completion = await accumulate(data)
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.role == "assistant"
    assert choice.message.content == "ab\n"
    assert choice.message.tool_calls is not None
    assert [(c.id, c.type, c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
        ("1", "function", "f", '{"a":1}'),
        ("2", "function", "g", "{}"),
    ]
    extra = choice.message.model_extra
    assert extra is not None
    assert extra["reasoning_content"] == "hm"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 4
    assert completion.usage.completion_tokens == 6
    assert completion.id == "chatcmpl-minted"
    assert completion.model == "mine"
    echoed = {"model": "m", "messages": [choice.message.model_dump(exclude_none=True) | {"tool_calls": None}]}
    again = CHAT.decode_request(json.dumps(echoed).encode()).turns[0].parts[0]
    assert again == Reasoning("hm", carriers=(Carrier("anthropic.signature", "s"),))


async def test_citations_and_several_details_survive_the_official_client():
    cited = Citation("messages", "https://e.x", "E")
    data = encode(
        START,
        *block(0, Reasoning(), ReasoningDelta(0, "one"), CarrierSet(0, Carrier("anthropic.signature", "s1"))),
        *block(1, Reasoning(redacted=True, carriers=(Carrier("anthropic.redacted", "d"),))),
        *block(2, Reasoning(), ReasoningDelta(2, "two"), CarrierSet(2, Carrier("anthropic.signature", "s2"))),
        *block(3, Text(""), TextDelta(3, "ab")),
        *block(4, Text(""), TextDelta(4, "cd"), CitationAdd(4, cited)),
        END,
    )
    message = (await accumulate(data)).choices[0].message.model_dump(exclude_none=True)
    assert message["annotations"][0]["url_citation"] == {
        "start_index": 2,
        "end_index": 4,
        "title": "E",
        "url": "https://e.x",
    }
    again = CHAT.decode_request(json.dumps({"model": "m", "messages": [message]}).encode()).turns[0].parts
    assert again[:3] == (
        Reasoning("one", carriers=(Carrier("anthropic.signature", "s1"),)),
        Reasoning("", carriers=(Carrier("anthropic.redacted", "d"),), redacted=True),
        Reasoning("two", carriers=(Carrier("anthropic.signature", "s2"),)),
    )


async def test_an_empty_answer_a_refusal_and_a_length_stop():
    empty = await accumulate(encode(START, END))
    assert empty.choices[0].message.content == ""
    refused = await accumulate(encode(START, *block(0, Refusal(""), TextDelta(0, "no")), Finished(Finish("refusal"))))
    assert refused.choices[0].message.refusal == "no"
    assert refused.choices[0].finish_reason == "stop"
    filtered = chunks(encode(START, Finished(Finish("refusal", detail="because"))))
    assert filtered[1]["choices"][0]["delta"] == {"refusal": "because"}
    assert filtered[-1]["choices"][0]["finish_reason"] == "content_filter"


async def test_a_failure_is_raised_by_the_official_client_and_nothing_follows():
    error = UpstreamError("it broke", cause=Cause.TRUNCATED)
    data = encode(START, *block(0, Text(""), TextDelta(0, "a")), Failure(error), END)
    assert b"[DONE]" not in data
    with pytest.raises(APIError, match="it broke"):
        await accumulate(data)
    assert data.endswith(CHAT.encode_failure(error))


def test_role_is_said_once_and_done_is_last():
    data = encode(START, *block(0, Text(""), TextDelta(0, "a")), END)
    assert data.count(b'"role"') == 1
    assert data.endswith(b"data: [DONE]\n\n")
    assert {(c["id"], c["created"], c["model"]) for c in chunks(data)} == {("chatcmpl-minted", 5, "mine")}


def test_usage_is_sent_only_if_asked_for():
    events = [START, *block(0, Text(""), TextDelta(0, "a")), USAGE, END]
    assert b"usage" not in encode(*events)
    asked = chunks(encode(*events, include_usage=True))
    assert [chunk["usage"] is None for chunk in asked] == [True, True, True, False]
    assert asked[-1]["choices"] == []


def test_custom_tools_are_streamed_as_custom():
    found = chunks(
        encode(
            START, *block(0, ToolCall("1", "c", kind="text"), ArgumentsDelta(0, 'a"b')), Finished(Finish("tool_calls"))
        )
    )
    fragments = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in found[1:3]]
    assert fragments == [
        {"index": 0, "id": "1", "type": "custom", "custom": {"name": "c", "input": ""}},
        {"index": 0, "custom": {"input": 'a"b'}},
    ]


def test_who_asks_with_functions_gets_a_function_call():
    asked = CHAT.decode_request(b'{"model":"m","messages":[],"functions":[{"name":"f"}]}')
    data = encode(
        START, *block(0, ToolCall("1", "f"), ArgumentsDelta(0, "{}")), Finished(Finish("tool_calls")), request=asked
    )
    assert [chunk["choices"][0]["delta"] for chunk in chunks(data)[1:3]] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]
    assert chunks(data)[-1]["choices"][0]["finish_reason"] == "function_call"
    assert b"tool_calls" not in data


def test_images_log_probabilities_and_provider_tools():
    logprobs = Raw(b'{"content":\n[]}')
    found = chunks(
        encode(
            START,
            *block(0, ServerCall("messages", "web_search")),
            *block(1, Image(Inline("image/png", "")), MediaDelta(1, "AA"), MediaDelta(1, "BB")),
            BlockStart(2, Text("")),
            TextDelta(2, "a", logprobs=logprobs),
            BlockStop(2),
            END,
        )
    )
    assert found[1]["choices"][0]["delta"]["images"][0]["image_url"]["url"] == "data:image/png;base64,AABB"
    assert found[2]["choices"][0]["logprobs"] == {"content": []}
    assert len(found) == 4


def test_a_call_without_arguments_has_an_empty_object():
    call = ToolCall("1", "f")
    whole = Response(id="", model="m", candidates=(Candidate((call,), Finish("tool_calls")),))
    message = json.loads(CHAT.encode_response(whole, Answer(model="m")))["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"
    streamed = chunks(encode(*unfold(whole)))
    assert [chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in streamed[1:3]] == [
        "",
        "{}",
    ]


def test_the_parts_of_a_summary_are_parted_as_in_a_whole_answer():
    thought = Reasoning(summary=("one", "two"))
    whole = Response(id="", model="m", candidates=(Candidate((thought, Text("x")), Finish("end")),))
    streamed = chunks(encode(*unfold(whole)))
    text = "".join(chunk["choices"][0]["delta"].get("reasoning_content", "") for chunk in streamed)
    said = json.loads(CHAT.encode_response(whole, Answer(model="m")))["choices"][0]["message"]
    assert text == said["reasoning_content"] == "one\n\ntwo"


def test_a_sign_of_life_changes_nothing():
    encoder = CHAT.stream_encoder(Answer(model="m"))
    assert encoder.keepalive() == encoder.feed([Ping()]) == CHAT.keepalive
    assert CHAT.stream_decoder(Restore()).feed(CHAT.keepalive) == []


texts = st.text(max_size=6)
block_parts = st.one_of(
    texts.map(Text),
    texts.map(Refusal),
    st.builds(Reasoning, texts, carriers=st.sampled_from([(), (Carrier("anthropic.signature", "s"),)])),
    st.builds(ToolCall, st.sampled_from(["1", "2", "bad id", ""]), st.just("f"), st.just('{"a":1}')),
    st.builds(ToolCall, st.just("3"), st.just("c"), texts, st.just("text")),
    st.just(Image(Inline("image/png", "AA"))),
)
reasons = st.sampled_from(["end", "max_tokens", "tool_calls", "filtered", "pause", "other"])
candidates = st.lists(st.tuples(st.lists(block_parts, max_size=5), reasons), min_size=1, max_size=2)


@given(candidates, st.booleans(), st.booleans())
def test_any_answer_is_a_legal_stream_that_says_the_same(plan, include_usage, broken):
    answers = tuple(Candidate(tuple(parts), Finish(reason), index) for index, (parts, reason) in enumerate(plan))
    events = unfold(Response(id="u", model="m", candidates=answers, usage=Usage(fresh=1, visible=2)))
    if broken:
        events[-1] = Failure(UpstreamError("x", cause=Cause.RESET))
    encoder = CHAT.stream_encoder(Answer(model="m", include_usage=include_usage))
    data = encoder.feed(events)
    assert data.endswith(b"\n\n")
    assert (b"[DONE]" in data) is not broken
    found = chunks(data)
    for index, (parts, _) in enumerate(plan):
        choices = [choice for chunk in found for choice in chunk.get("choices", ()) if choice["index"] == index]
        if not broken:
            assert [choice["finish_reason"] is None for choice in choices] == [True] * (len(choices) - 1) + [False]
            content = "".join(choice["delta"].get("content", "") for choice in choices)
            assert content == "".join(part.text for part in parts if isinstance(part, Text))
            fragments = [fragment for choice in choices for fragment in choice["delta"].get("tool_calls", ())]
            begun = [fragment for fragment in fragments if "id" in fragment]
            assert [fragment["index"] for fragment in begun] == list(range(len(begun)))
            assert len({fragment["id"] for fragment in begun}) == len(begun)
    if not broken:
        watcher = CHAT.watcher()
        watcher.feed(data)
        assert watcher.ended
        assert (watcher.usage is not None) is include_usage


@given(
    st.lists(
        st.one_of(texts.filter(bool).map(Text), st.builds(ToolCall, st.just("1"), st.just("f"), st.just("{}"))),
        max_size=3,
    )
)
def test_what_is_encoded_decodes_to_the_same(parts):
    answer = Response(
        id="u", model="m", candidates=(Candidate(tuple(parts), Finish("end")),), usage=Usage(fresh=1, visible=2)
    )
    data = CHAT.stream_encoder(Answer(model="m", include_usage=True)).feed(unfold(answer))
    decoder = CHAT.stream_decoder(Restore())
    events = [*decoder.feed(data), *decoder.end()]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "".join(part.text for part in parts if isinstance(part, Text))
    calls = [event.part for event in events if isinstance(event, BlockStart) and isinstance(event.part, ToolCall)]
    assert [call.name for call in calls] == [part.name for part in parts if isinstance(part, ToolCall)]
