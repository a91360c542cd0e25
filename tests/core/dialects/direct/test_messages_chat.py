"""The short cut says what the long way says, or nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.direct import DIRECT
from asgi_llm.dialects.interface import Answer, Profile, Restore
from asgi_llm.dialects.peek import peek
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import AsgiLLMError, ClientError
from asgi_llm.neutral.usage import Usage
from asgi_llm.providers.registry import PROVIDERS

PAIR = DIRECT["messages", "chat"]
MESSAGES, CHAT = DIALECTS["messages"], DIALECTS["chat"]
CASES = Path(__file__).parents[3] / "dialects" / "cases" / "messages-chat"
PROFILES = [provider.profile for provider in PROVIDERS.values()]
PLAIN: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "upstream",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def long_request(body: bytes, profile: Profile) -> Any:
    """The request by way of neutral, or why there is none."""
    try:
        encoded = CHAT.encode_request(MESSAGES.decode_request(body), profile)
    except AsgiLLMError as error:
        return error
    assert not encoded.restore.tools
    return (msgspec.json.decode(encoded.body), encoded.warnings)


def long_answer(body: bytes) -> tuple[Any, Usage | None]:
    response = CHAT.decode_response(body, Restore())
    answer = Answer(model="m", mint=lambda prefix: prefix + "0")
    return msgspec.json.decode(MESSAGES.encode_response(response, answer)), response.usage


def short_answer(body: bytes) -> tuple[Any, Usage | None] | None:
    found = PAIR.answer(body, "m")
    if found is None:
        return None
    said = msgspec.json.decode(found[0])
    if said["id"] != msgspec.json.decode(body).get("id"):
        assert len(said["id"]) == len("msg_") + 24
        said["id"] = "msg_0"
    return said, found[1]


def short_request(body: bytes, model: str, profile: Profile) -> bytes | None:
    try:
        said = peek("messages", body).said
    except ClientError:
        return None
    return None if said is None else PAIR.request(body, said, model, profile)


def files(name: str) -> Iterator[bytes]:
    for path in sorted(CASES.glob(f"*/{name}")):
        yield path.read_bytes()


texts = st.text() | st.sampled_from(["", '"quoted"', "back\\slash", "x-anthropic-billing-header: a", "\u2028", "\x7f"])
blocks = st.fixed_dictionaries({"type": st.just("text"), "text": texts}, optional={"cache_control": st.none()})
contents = texts | st.lists(blocks, max_size=2)
turns = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": contents})
bodies = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["m", "gpt-5", "gpt-4o"]),
        "max_tokens": st.integers(-1, 9999),
        "messages": st.lists(turns, max_size=4),
    },
    optional={
        "system": contents | st.none(),
        "temperature": st.floats(0, 2) | st.integers(0, 1),
        "top_p": st.floats(0, 1) | st.none(),
        "stop_sequences": st.lists(texts, max_size=5),
        "stream": st.booleans() | st.none(),
        "top_k": st.integers(1, 9),
        "metadata": st.just({"user_id": "u"}),
    },
)


@given(body=bodies, profile=st.sampled_from(PROFILES), ascii_only=st.booleans())
def test_a_request_is_what_the_long_way_makes_of_it(body: dict[str, Any], profile: Profile, ascii_only: bool) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = short_request(raw, body["model"], profile)
    if found is not None:
        assert (msgspec.json.decode(found), ()) == long_request(raw, profile)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief."}]},
        {"stream": True},
        {"stream": False, "temperature": 0.5, "top_p": 1, "stop_sequences": ["END"]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": '\u00fc \u4f60 \\n "x"'}]}]},
    ],
)
def test_plain_conversations_take_it(more: dict[str, Any]) -> None:
    body = msgspec.json.encode(PLAIN | more)
    found = short_request(body, "m", PROVIDERS["openai_compatible"].profile)
    assert found is not None
    assert (msgspec.json.decode(found), ()) == long_request(body, PROVIDERS["openai_compatible"].profile)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.provider)
def test_every_known_request_is_said_alike_or_left_to_the_long_way(profile: Profile) -> None:
    for body in files("request.json"):
        found = short_request(body, msgspec.json.decode(body)["model"], profile)
        if found is not None:
            assert (msgspec.json.decode(found), ()) == long_request(body, profile)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":null}]}',
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}',
        b'{"model":"m","max_tokens":1,"messages":' + b"[" * 5000,
        msgspec.json.encode(PLAIN | {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
        msgspec.json.encode(PLAIN | {"system": "x-anthropic-billing-header: a"}),
        msgspec.json.encode(PLAIN | {"thinking": {"type": "disabled"}}),
    ],
)
def test_anything_else_is_left_to_the_long_way(body: bytes) -> None:
    assert short_request(body, "m", Profile()) is None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": "msg_1"},
        {"service_tier": "priority", "system_fingerprint": "fp"},
        {"usage": None},
        {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}},
        {
            "choices": [
                {"message": {"content": '\u00fc\n"', "refusal": None, "annotations": []}, "finish_reason": "length"}
            ]
        },
        {"choices": [{"message": {"content": "a", "tool_calls": []}, "finish_reason": "stop", "stop_reason": 7}]},
    ],
)
def test_plain_answers_take_it(more: dict[str, Any]) -> None:
    body = msgspec.json.encode(ANSWER | more)
    assert short_answer(body) == long_answer(body)


@pytest.mark.parametrize(
    "more",
    [
        {"error": {"message": "x"}},
        {"object": "error"},
        {"choices": []},
        {"choices": [ANSWER["choices"][0]] * 2},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "a"}, "finish_reason": "content_filter"}]},
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "stop_reason": "END"}]},
        {"choices": [{"message": {"content": "a", "reasoning_content": "b"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "a", "refusal": "no"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "a", "annotations": [{}]}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
    ],
)
def test_any_other_answer_is_left_to_the_long_way(more: dict[str, Any]) -> None:
    assert PAIR.answer(msgspec.json.encode(ANSWER | more), "m") is None


def test_every_known_answer_is_said_alike_or_left_to_the_long_way() -> None:
    taken = 0
    for body in files("answer.json"):
        if (found := short_answer(body)) is not None:
            taken += 1
            assert found == long_answer(body)
    assert taken
