"""Whole answers, both ways."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs
from openai.types.chat import ChatCompletion

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Answer, Restore, ToolShape
from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Citation,
    Image,
    Inline,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage


def decode(message, finish="stop", restore=None, **fields) -> Response:
    body = {
        "id": "x",
        "model": "up",
        "created": 5,
        "choices": [{"message": message, "finish_reason": finish}],
        **fields,
    }
    return CHAT.decode_response(json.dumps(body).encode(), restore or Restore())


def parts(message, **fields):
    return decode(message, **fields).candidates[0].parts


def reason(message, finish):
    return decode(message, finish).candidates[0].finish.reason


def usage(**fields) -> Usage:
    found = CHAT.usage(msgspec.Raw(json.dumps(fields).encode()))
    assert found is not None
    return found


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def answer(**fields) -> Answer:
    return Answer(model="mine", mint=lambda prefix: f"{prefix}minted", now=lambda: 7.5, **fields)


def encode(*parts, finish="end", usage=None, upstream_id="u", request=None):
    response = Response(id=upstream_id, model="up", candidates=(Candidate(parts, Finish(finish)),), usage=usage)
    body = CHAT.encode_response(response, answer(request=request))
    ChatCompletion.model_validate_json(body, strict=True)
    return json.loads(body)


@pytest.mark.parametrize(
    ("message", "neutral"),
    [
        ({"content": "x"}, (Text("x"),)),
        ({"content": None}, ()),
        ({"content": "x", "reasoning": "r"}, (Reasoning("r"), Text("x"))),
        ({"content": "x", "reasoning_content": "r"}, (Reasoning("r"), Text("x"))),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "r"}]},
                    {"type": "text", "text": "x"},
                ]
            },
            (Reasoning("r"), Text("x")),
        ),
        (
            {
                "content": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]},
                    {"type": "text", "text": "x"},
                ]
            },
            (Reasoning("r"), Text("x")),
        ),
        ({"content": None, "refusal": "no"}, (Refusal("no"),)),
        ({"content": "", "tool_calls": [CALL]}, (ToolCall("c", "f", "{}"),)),
        (
            {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]},
            (ToolCall("c", "f", '{"a":1}'),),
        ),
        ({"tool_calls": [{"id": "c", "custom": {"name": "f", "input": "i"}}]}, (ToolCall("c", "f", "i", kind="text"),)),
        ({"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]}, (Image(Inline("image/png", "AA")),)),
    ],
)
def test_messages(message, neutral):
    assert parts(message) == neutral


def test_missing_and_repeated_call_ids_are_minted():
    calls = [CALL | {"id": ""}, CALL | {"id": "c"}, CALL | {"id": "c"}, {"function": {"name": "f", "arguments": "{}"}}]
    ids = [part.id for part in parts({"tool_calls": calls})]
    assert ids[1] == "c"
    assert len(set(ids)) == 4
    assert all(ids)


@pytest.mark.parametrize(
    ("finish", "tools", "neutral"),
    [
        ("stop", False, "end"),
        ("stop", True, "tool_calls"),
        ("tool_calls", True, "tool_calls"),
        ("tool_calls", False, "end"),
        ("length", True, "max_tokens"),
        ("model_length", False, "context_full"),
        ("content_filter", False, "filtered"),
        (None, True, "tool_calls"),
        ("", False, "end"),
        ("COMPLETE", False, "end"),
        ("eos", False, "end"),
        ("weird", False, "other"),
    ],
)
def test_the_finish_is_derived(finish, tools, neutral):
    assert reason({"content": "x", "tool_calls": [CALL] if tools else []}, finish) == neutral


def test_a_matched_stop_string_is_told_where_the_server_tells_it():
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}]}
    finish = CHAT.decode_response(json.dumps(body).encode(), Restore()).candidates[0].finish
    assert finish == Finish("stop_sequence", stop_sequence="END")


@pytest.mark.parametrize(
    ("wire", "neutral"),
    [
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
            },
            {"fresh": 3, "cache_read": 4, "cache_write": 3, "visible": 5},
        ),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 5,
                "total_tokens": 6,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            {"fresh": 1, "visible": 1, "reasoning": 4},
        ),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 5,
                "total_tokens": 10,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            {"fresh": 1, "visible": 5, "reasoning": 4},
        ),
        (
            {"prompt_tokens": 2, "completion_tokens": 0, "prompt_cache_hit_tokens": 9},
            {"fresh": 0, "cache_read": 2, "visible": 0},
        ),
        ({"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.0000125}, {"fresh": 1, "visible": 1, "cost": 13}),
    ],
)
def test_usage_is_made_disjoint(wire, neutral):
    found = usage(**wire)
    assert {name: getattr(found, name) for name in neutral} == neutral


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_usage_comes_back_as_it_was(fresh, read, written, visible, reasoning):
    said = Usage(fresh=fresh, cache_read=read, cache_write=written, visible=visible, reasoning=reasoning)
    body = encode(Text("x"), usage=said)
    total = body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert body["usage"]["total_tokens"] == total == fresh + read + written + visible + reasoning
    again = CHAT.usage(msgspec.Raw(json.dumps(body["usage"]).encode()))
    assert again is not None
    assert (again.fresh, again.cache_read, again.cache_write) == (fresh, read, written)
    assert (again.visible, again.reasoning) == (visible, reasoning)


tokens = st.none() | st.integers(0, 1000)


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": st.integers(0, 1000), "completion_tokens": st.integers(0, 1000)},
        optional={
            "total_tokens": st.integers(0, 3000),
            "prompt_tokens_details": st.none()
            | st.fixed_dictionaries(
                {}, optional={"cached_tokens": tokens, "cache_write_tokens": tokens, "audio_tokens": tokens}
            ),
            "completion_tokens_details": st.none()
            | st.fixed_dictionaries({}, optional={"reasoning_tokens": tokens, "audio_tokens": tokens}),
        },
    )
)
def test_usage_as_documented_is_read_as_among_fields_of_other_servers(wire):
    """A price that is none makes the reader look everywhere; what it finds is the same."""
    plain, anywhere = usage(**wire), usage(**wire, cost="none")
    assert structs.replace(plain, raw=None) == structs.replace(anywhere, raw=None)


@pytest.mark.parametrize("finish", ["end", "max_tokens", "stop_sequence", "filtered", "refusal", "tool_calls", "pause"])
@given(text=st.text(max_size=8))
def test_an_answer_of_one_text_is_written_as_one_in_pieces(finish, text):
    assert encode(Text(text), finish=finish) == encode(Text(""), Text(text), finish=finish)


@pytest.mark.parametrize(
    ("body", "cause", "kind"),
    [
        (b'{"error":{"message":"no","code":429}}', Cause.IN_BAND, Kind.RATE_LIMIT),
        (b'{"error":{"message":"no","code":401}}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b'[{"error":{"message":"no","code":503}}]', Cause.IN_BAND, Kind.OVERLOADED),
        (b'{"error":"prompt is too long"}', Cause.IN_BAND, Kind.CONTEXT_LENGTH),
        (b'{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b'{"object":"error","message":"no"}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b"<html>hello</html>", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"null", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"choices":[]}', Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"choices":7}', Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"a":' + b"[" * 100_000, Cause.CONTENT, Kind.BAD_GATEWAY),
    ],
)
def test_answers_that_are_none(body, cause, kind):
    with pytest.raises(UpstreamError) as caught:
        CHAT.decode_response(body, Restore())
    assert (caught.value.cause, caught.value.kind) == (cause, kind)


def test_names_and_wrapped_arguments_are_restored():
    restore = Restore({"w": ToolShape("patch", "text", "ns")})
    call = {"id": "c", "function": {"name": "w", "arguments": '{"input": "a\\n\\"b\\""}'}}
    assert parts({"tool_calls": [call]}, restore=restore) == (ToolCall("c", "patch", 'a\n"b"', "text", "ns"),)


def test_an_answer_has_all_required_members():
    assert encode(Text("x")) == {
        "id": "chatcmpl-minted",
        "object": "chat.completion",
        "created": 7,
        "model": "mine",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert encode(Text("x"), upstream_id="chatcmpl-abc")["id"] == "chatcmpl-abc"


def test_parts_of_an_answer():
    signature = Carrier("anthropic.signature", "sig")
    message = encode(
        Reasoning("hm", carriers=(signature,)),
        Text("ab"),
        Text("cd", (Citation("messages", "https://e.x", "E"),)),
        ToolCall("toolu_1", "f", '{"a":1}', carriers=(Carrier("google.thought_signature", "c2ln"),)),
        ToolCall("bad id", "g", "free", kind="text"),
        Image(Inline("image/png", "AA")),
        finish="tool_calls",
    )["choices"][0]
    assert message["finish_reason"] == "tool_calls"
    said = message["message"]
    assert said["content"] == "abcd"
    assert said["reasoning_content"] == "hm"
    assert said["annotations"][0]["url_citation"] == {
        "start_index": 2,
        "end_index": 4,
        "title": "E",
        "url": "https://e.x",
    }
    assert said["tool_calls"][0] == {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1}'},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    assert said["tool_calls"][1] == {"id": "call_minted", "type": "custom", "custom": {"name": "g", "input": "free"}}
    assert said["images"][0]["image_url"]["url"] == "data:image/png;base64,AA"
    again = CHAT.decode_request(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": "q"}, said]}).encode()
    )
    assert again.turns[1].parts[0] == Reasoning("hm", carriers=(signature,))


@pytest.mark.parametrize(
    ("reason", "parts", "word"),
    [
        ("end", (ToolCall("1", "f"),), "tool_calls"),
        ("tool_calls", (Text("x"),), "stop"),
        ("max_tokens", (ToolCall("1", "f"),), "length"),
        ("refusal", (Refusal("no"),), "stop"),
        ("refusal", (), "content_filter"),
        ("pause", (Text("x"),), "stop"),
        ("context_full", (Text("x"),), "length"),
    ],
)
def test_finish_reasons(reason, parts, word):
    assert encode(*parts, finish=reason)["choices"][0]["finish_reason"] == word


def test_content_is_null_only_where_something_else_was_said():
    assert encode(ToolCall("1", "f"))["choices"][0]["message"]["content"] is None
    assert encode()["choices"][0]["message"]["content"] == ""


def test_who_asks_with_functions_gets_a_function_call():
    asked = CHAT.decode_request(b'{"model":"m","messages":[],"functions":[{"name":"f"}]}')
    choice = encode(ToolCall("1", "f", "{}"), finish="tool_calls", request=asked)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert asked.dialect == Request(model="m", dialect="chat").dialect


def test_spoken_answers():
    said = encode(Audio(Inline("audio/pcm", "AAAA")), Text("hi"))["choices"][0]["message"]
    assert said["audio"]["data"] == "AAAA"
    assert said["audio"]["transcript"] == "hi"


def test_several_candidates_and_log_probabilities():
    logprobs = Raw(b'{"content":[],"refusal":null}')
    candidates = (
        Candidate((Text("a"),), Finish("end"), 0, logprobs),
        Candidate((Text("b"),), Finish("max_tokens"), 1),
    )
    body = CHAT.encode_response(Response(id="", model="m", candidates=candidates, created=3), answer())
    again = CHAT.decode_response(body, Restore())
    assert [(c.index, c.parts, c.finish.reason) for c in again.candidates] == [
        (0, (Text("a"),), "end"),
        (1, (Text("b"),), "max_tokens"),
    ]
    assert again.candidates[0].logprobs is not None
    assert bytes(again.candidates[0].logprobs) == bytes(logprobs)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "content", "tool_calls", "error", "type"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["id", "choices", "usage", "error", "created", "object"]), json_values))
def test_any_json_is_an_answer_or_an_upstream_error(body):
    data = json.dumps(body).encode()
    CHAT.usage(msgspec.Raw(data))
    with suppress(UpstreamError):
        assert CHAT.decode_response(data, Restore()).candidates
