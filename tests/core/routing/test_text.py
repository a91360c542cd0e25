"""What a request says to routing, and that it only grows at its end."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.text import EXTRACTORS, Endpoint, RoutingText, routing_text

BLOB = "QUJD" * 50


def text_of(endpoint: Endpoint, **members: Any) -> RoutingText:
    return routing_text(endpoint, json.dumps({"model": "m", **members}).encode())


def test_chat() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image("image_url", {"url": data_url()})]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "secret thought",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "two"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": data_url()},
    ]
    found = text_of("chat", messages=messages, tools=[{"type": "function", "function": {"name": "unused"}}])
    assert found.text.split("\n") == ["Be kind.", "Look", "add", '"{\\"x\\":1}"', "two", "No."]
    assert found.text[: found.opening] == "Be kind.\nLook"


def test_messages() -> None:
    document = {"type": "text", "media_type": "text/plain", "data": "Page one"}
    result = [{"type": "text", "text": "rain"}, image("source", {"type": "base64", "data": BLOB})]
    messages = [
        {"role": "user", "content": [{"type": "document", "title": "T", "context": "C", "source": document}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "secret thought", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": BLOB},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": result}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": BLOB}}]},
        {
            "role": "user",
            "content": [{"type": "search_result", "source": "s", "title": "S", "content": [{"text": "found"}]}],
        },
    ]
    system = [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}, {"type": "text", "text": "Be kind."}]
    found = text_of("messages", system=system, messages=messages, tools=[{"name": "unused", "input_schema": {}}])
    expected = ["Be kind.", "T", "C", "Page one", "I look.", "weather", '{"city": "Oslo"}', "rain", "S", "s", "found"]
    assert found.text.split("\n") == expected
    assert found.text[: found.opening] == "Be kind.\nT\nC\nPage one"


def test_responses() -> None:
    items = [
        {"role": "developer", "content": "Mind the rules."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "secret"}], "encrypted_content": BLOB},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "patch", "input": "*** Begin"},
        {"type": "computer_call_output", "call_id": "e", "output": {"type": "s", "image_url": data_url()}},
        {"type": "mcp_approval_request", "name": "delete", "arguments": "{}"},
        {"type": "mcp_approval_response", "approve": True, "reason": "fine"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done"}]},
    ]
    found = text_of("responses", instructions="Be kind.", input=items)
    expected = ["Be kind.", "Mind the rules.", "Hello", "add", '"{}"', "two", "patch", '"*** Begin"', "Done"]
    assert found.text.split("\n") == expected
    assert found.text[: found.opening] == "Be kind.\nMind the rules.\nHello"
    assert text_of("responses", instructions="Be kind.", input="Hello") == ("Be kind.\nHello", 14)


@pytest.mark.parametrize("snake", [False, True])
def test_gemini_in_both_spellings(snake: bool) -> None:
    names = {"s": "system_instruction", "c": "function_call", "r": "function_response"}
    if not snake:
        names = {"s": "systemInstruction", "c": "functionCall", "r": "functionResponse"}
    contents = [
        {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": BLOB}}]},
        {
            "role": "model",
            "parts": [{"text": "secret", "thought": True}, {names["c"]: {"name": "f", "args": {"x": 1}}}],
        },
        {"role": "user", "parts": [{names["r"]: {"name": "f", "response": {"y": 2}}}]},
    ]
    found = text_of("gemini", contents=contents, **{names["s"]: {"parts": [{"text": "Be kind."}]}})
    assert found.text.split("\n") == ["Be kind.", "Hi", "f", '{"x": 1}', "f", '{"y": 2}']
    assert found.text[: found.opening] == "Be kind.\nHi"


@pytest.mark.parametrize(
    ("endpoint", "members", "text"),
    [
        ("completions", {"prompt": "Once"}, "Once"),
        ("completions", {"prompt": ["a", "b"], "suffix": "z"}, "a\nb\nz"),
        ("completions", {"prompt": [1, 2, 34]}, "[1, 2, 34"),
        ("embeddings", {"input": "x"}, "x"),
        ("embeddings", {"input": [[1, 2], [3]]}, "[[1, 2], [3"),
        ("rerank", {"query": "q", "documents": ["a", {"text": "b"}]}, "q\na\nb"),
        ("generate", {"text": "x", "image_data": BLOB}, "x"),
        ("generate", {"input_ids": [5, 6]}, "[5, 6"),
        ("generate", {}, ""),
    ],
)
def test_endpoints_without_turns(endpoint: Endpoint, members: dict[str, Any], text: str) -> None:
    assert text_of(endpoint, **members) == (text, len(text))


def test_what_has_the_wrong_shape_is_left_out_and_the_rest_stays() -> None:
    messages = [{"role": "user", "content": "a"}, 7, {"role": "user", "content": 5}, {"role": "user", "content": "b"}]
    assert text_of("messages", system={"x": 1}, messages=messages).text == "a\nb"
    assert text_of("chat", messages="nothing").text == ""


def data_url() -> str:
    return f"data:image/png;base64,{BLOB}"


def image(name: str, value: Any) -> dict[str, Any]:
    return {"type": "image", name: value}


# -- growth

texts = st.text(min_size=1, max_size=12)
turns = st.lists(st.tuples(texts, st.none() | texts, texts, st.none() | texts), min_size=1, max_size=6)


def chat_body(rounds: list[Any]) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": "S"}]
    for asked, thought, said, called in rounds:
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": called}}] if called else None
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": said, "reasoning_content": thought, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": "c", "content": said}] if called else []
    return {"messages": messages}


def messages_body(rounds: list[Any]) -> dict[str, Any]:
    messages: list[Any] = []
    for asked, thought, said, called in rounds:
        thinking = [{"type": "thinking", "thinking": thought, "signature": "c2ln"}] if thought else []
        calls = [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": called}}] if called else []
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": [*thinking, {"type": "text", "text": said}, *calls]})
        if called:
            block = {"type": "tool_result", "tool_use_id": "t", "content": said}
            messages.append({"role": "user", "content": [block]})
    return {"system": "S", "messages": messages}


def responses_body(rounds: list[Any]) -> dict[str, Any]:
    items: list[Any] = []
    for asked, thought, said, called in rounds:
        items.append({"role": "user", "content": asked})
        items += [{"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]}] if thought else []
        items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]})
        if called:
            items.append({"type": "function_call", "call_id": "c", "name": "f", "arguments": called})
            items.append({"type": "function_call_output", "call_id": "c", "output": said})
    return {"instructions": "S", "input": items}


def gemini_body(rounds: list[Any]) -> dict[str, Any]:
    contents: list[Any] = []
    for asked, thought, said, called in rounds:
        thoughts = [{"text": thought, "thought": True}] if thought else []
        calls = [{"functionCall": {"name": "f", "args": {"x": called}}}] if called else []
        contents.append({"role": "user", "parts": [{"text": asked}]})
        contents.append({"role": "model", "parts": [*thoughts, {"text": said}, *calls]})
        if called:
            contents.append({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"y": said}}}]})
    return {"systemInstruction": {"parts": [{"text": "S"}]}, "contents": contents}


BODIES = {"chat": chat_body, "messages": messages_body, "responses": responses_body, "gemini": gemini_body}
MEMBERS = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}


@pytest.mark.parametrize("endpoint", list(BODIES))
@given(rounds=turns)
def test_a_conversation_that_has_grown_begins_with_what_it_was(endpoint: Endpoint, rounds: list[Any]) -> None:
    """Cut after any turn. Its opening is the same from the first request on."""
    whole = BODIES[endpoint](rounds)
    turns = whole[MEMBERS[endpoint]]
    first = 2 if endpoint == "chat" else 1
    cuts = [text_of(endpoint, **whole | {MEMBERS[endpoint]: turns[:end]}) for end in range(first, len(turns) + 1)]
    for shorter, longer in pairwise(cuts):
        assert longer.text.startswith(shorter.text)
        assert longer.opening == shorter.opening
    assert cuts[0].opening == len(cuts[0].text)


@given(prompt=texts, more=texts, tokens=st.lists(st.integers(0, 9999), min_size=1), token=st.integers(0, 9999))
def test_prompts_grow_at_their_end(prompt: str, more: str, tokens: list[int], token: int) -> None:
    assert text_of("completions", prompt=prompt + more).text.startswith(text_of("completions", prompt=prompt).text)
    longer = text_of("generate", input_ids=[*tokens, token])
    assert longer.text.startswith(text_of("generate", input_ids=tokens).text)


# -- anything

WORDS = (
    "messages input contents system instructions prompt role content type text tool_calls function parts source data "
    "output arguments documents query input_ids"
)
names = st.sampled_from(WORDS.split(" "))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("endpoint", list(EXTRACTORS))
@given(value=st.dictionaries(names, anything, max_size=5) | anything)
def test_any_json_has_a_text(endpoint: Endpoint, value: Any) -> None:
    found = routing_text(endpoint, json.dumps(value).encode())
    assert 0 <= found.opening <= len(found.text)


@pytest.mark.parametrize("endpoint", list(EXTRACTORS))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"messages":' + b"[" * 100_000,
        b'{"input":"\xff"}',
        b'{"prompt":"\\ud800"}',
    ],
)
def test_what_is_no_json_has_none(endpoint: Endpoint, body: bytes) -> None:
    assert routing_text(endpoint, body).text == ""


@pytest.mark.parametrize(
    ("endpoint", "member"), [("messages", "messages"), ("chat", "messages"), ("responses", "input")]
)
def test_blocks_within_blocks_without_end_are_left_out(endpoint: Endpoint, member: str) -> None:
    deep = b'[{"content":' * 5000 + b'"x"' + b"}]" * 5000
    assert routing_text(endpoint, b'{"%b":%b}' % (member.encode(), deep)).text in ("", "x")
