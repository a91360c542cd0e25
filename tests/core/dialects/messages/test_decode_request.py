"""A Messages body becomes neutral, or a 400 that names the field."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.messages.signatures import seal
from asgi_llm.errors import ClientError, Kind
from asgi_llm.neutral.request import (
    Blocks,
    CacheMark,
    Carrier,
    Document,
    FunctionTool,
    HostedTool,
    Image,
    Inline,
    Instruction,
    Opaque,
    PlainText,
    Reasoning,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    TypedTool,
    Url,
)


def decode(*messages: Any, **fields: Any) -> Request:
    body = {"model": "m", "max_tokens": 10, "messages": list(messages) or [{"role": "user", "content": "hi"}]}
    return MESSAGES.decode_request(json.dumps({**body, **fields}).encode())


def parts(*blocks: Any, role: str = "user") -> tuple[Any, ...]:
    return decode({"role": role, "content": list(blocks)}).turns[0].parts


def refused(body: bytes) -> ClientError:
    with pytest.raises(ClientError) as caught:
        MESSAGES.decode_request(body)
    return caught.value


def test_the_least_request() -> None:
    request = decode()
    assert (request.model, request.max_output, request.dialect, request.stream.on) == ("m", 10, "messages", False)
    assert request.turns == (Turn("user", (Text("hi"),)),)


def test_blocks_of_a_user() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    got = parts(
        {"type": "text", "text": "a", "cache_control": mark},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, "title": "t"},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "citations": {"enabled": True},
        },
        {"type": "search_result", "source": "https://s", "title": "S", "content": [{"type": "text", "text": "found"}]},
    )
    assert got == (
        Text("a", cache=CacheMark("1h")),
        Image(Inline("image/png", "iVBO")),
        Image(Url("https://x/y.png")),
        Document(PlainText("d"), title="t"),
        Document(Inline("application/pdf", "JVBE"), cite=True),
        Document(Blocks((Text("found"),)), title="S", context="Source: https://s"),
    )


def test_arguments_keep_numbers_and_key_order() -> None:
    """No digit of a number and no order of keys is lost."""
    raw = '{"b": 12345678901234567890, "a": 1.0, "z": 1e400}'
    body = (
        '{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":'
        '[{"type":"tool_use","id":"t","name":"f","input":' + raw + "}]}]}"
    )
    assert MESSAGES.decode_request(body.encode()).turns[0].parts == (ToolCall("t", "f", raw),)


def test_a_call_without_input_has_no_arguments() -> None:
    for block in ({"input": None}, {}):
        (call,) = parts({"type": "tool_use", "id": "t", "name": "f", **block}, role="assistant")
        assert call.arguments in ("", "{}")


def test_tool_results_have_three_values_of_is_error() -> None:
    got = parts(
        {"type": "tool_result", "tool_use_id": "1", "content": "x"},
        {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "y"}], "is_error": False},
        {"type": "tool_result", "tool_use_id": "3", "is_error": True},
    )
    assert got == (
        ToolResult("1", (Text("x"),)),
        ToolResult("2", (Text("y"),), is_error=False),
        ToolResult("3", (), is_error=True),
    )


def test_thoughts_carry_their_signature() -> None:
    got = parts(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "redacted_thinking", "data": "enc"},
        role="assistant",
    )
    assert got == (
        Reasoning("hm", carriers=(Carrier("anthropic.signature", "sig", provider="anthropic"),)),
        Reasoning("unsigned"),
        Reasoning(carriers=(Carrier("anthropic.redacted", "enc", provider="anthropic"),), redacted=True),
    )


def test_our_own_signature_gives_back_what_it_holds() -> None:
    thought, call = Carrier("openai.encrypted", "blob"), Carrier("google.thought_signature", "g")
    got = parts(
        {"type": "thinking", "thinking": "a", "signature": seal([thought])},
        {"type": "thinking", "thinking": "", "signature": seal([call], "next")},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "tool_use", "id": "u", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "", "signature": seal([call], "previous")},
        role="assistant",
    )
    assert got == (
        Reasoning("a", carriers=(thought,)),
        ToolCall("t", "f", "{}", carriers=(call,)),
        ToolCall("u", "f", "{}", carriers=(call,)),
    )


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_a_broken_signature_of_ours_holds_nothing(cut: int) -> None:
    signature = seal([Carrier("openai.encrypted", "blob")])
    got = parts({"type": "thinking", "thinking": "a", "signature": signature[: 12 + cut]}, role="assistant")
    assert got == (Reasoning("a"),)


def test_server_tools_and_unknown_blocks_keep_their_bytes() -> None:
    hit = {"type": "web_search_result", "title": "T", "url": "https://u", "encrypted_content": "e"}
    call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [hit]}
    odd = {"type": "hologram", "x": [1]}
    first, second, third, fourth = parts({"type": "text", "text": "t"}, call, result, odd, role="assistant")
    assert first == Text("t")
    assert isinstance(second, ServerCall)
    assert (second.kind, second.id, second.name, json.loads(second.arguments)) == (
        "web_search", "s", "web_search", {"query": "q"}
    )  # fmt: skip
    assert isinstance(third, ServerResult)
    assert (third.kind, third.call_id, third.text) == ("web_search", "s", "T https://u")
    assert isinstance(fourth, Opaque)
    assert (fourth.kind, msgspec.json.decode(fourth.raw)) == ("hologram", odd)


def test_a_result_with_an_unknown_block_inside() -> None:
    inner = {"type": "tool_reference", "tool_name": "f"}
    (got,) = parts({"type": "tool_result", "tool_use_id": "1", "content": [inner, {"type": "text", "text": "x"}]})
    assert isinstance(got, ToolResult)
    opaque, text = got.parts
    assert isinstance(opaque, Opaque)
    assert opaque.text == "Tool: f"
    assert text == Text("x")


def test_system_becomes_one_instruction_a_block_without_the_attribution_line() -> None:
    request = decode(
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1"},
            {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "B"},
        ]
    )
    assert request.instructions == (Instruction((Text("A", cache=CacheMark()),)), Instruction((Text("B"),)))
    assert decode(system="S").instructions == (Instruction((Text("S"),)),)


def test_system_in_mid_conversation_is_a_turn() -> None:
    request = decode({"role": "user", "content": "a"}, {"role": "system", "content": "env"})
    assert request.turns[1] == Turn("system", (Text("env"),))


def test_tools() -> None:
    schema = {"type": "object", "properties": {}}
    request = decode(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "bash", "input": {}}]},
        tools=[
            {"name": "f", "description": "d", "input_schema": schema, "strict": False, "defer_loading": True},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "web_search_20260318", "name": "web_search", "max_uses": 3},
            {"type": "hyperdrive_1", "name": "h"},
        ],
        tool_choice={"type": "tool", "name": "web_search", "disable_parallel_tool_use": True},
    )
    function, typed, search, unknown = request.tools
    assert isinstance(function, FunctionTool)
    assert (function.name, function.strict, function.defer_loading) == ("f", False, True)
    assert function.schema is not None
    assert msgspec.json.decode(function.schema) == schema
    assert isinstance(typed, TypedTool)
    assert (typed.kind, typed.name) == ("bash_20250124", "bash")
    assert isinstance(search, HostedTool)
    assert (search.kind, msgspec.json.decode(search.raw or b"")["max_uses"]) == ("web_search", 3)
    assert isinstance(unknown, HostedTool)
    assert unknown.kind == "hyperdrive_1"
    assert request.tool_choice == ToolChoice("hosted", name="web_search", hosted="web_search")
    assert request.parallel_tools is False
    assert request.turns[0].parts == (ToolCall("1", "bash", "{}", typed="bash_20250124"),)


def test_knobs() -> None:
    request = decode(
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        temperature=1,
        top_k=5,
        stop_sequences=["a"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        cache_control={"type": "ephemeral"},
        stream=True,
        context_management={"edits": []},
        container=None,
    )
    assert request.reasoning is not None
    assert (request.reasoning.adaptive, request.reasoning.visible, request.reasoning.effort) == (True, False, "high")
    assert request.output is not None
    assert (request.output.kind, request.output.schema) == ("schema", Raw(b'{"type": "object"}'))
    assert (request.sampling.temperature, request.sampling.top_k, request.stop) == (1.0, 5, ("a",))
    assert (request.end_user, request.service_tier, request.cache.auto) == ("u", "default", CacheMark())
    assert request.stream.on
    assert set(request.ext) == {"context_management"}


def test_thinking_disabled_and_by_budget() -> None:
    off, budget = decode(thinking={"type": "disabled"}), decode(thinking={"type": "enabled", "budget_tokens": 2000})
    assert off.reasoning is not None
    assert off.reasoning.effort == "none"
    assert budget.reasoning is not None
    assert budget.reasoning.budget == 2000


def test_no_tokens_at_all_may_be_asked_for() -> None:
    """``max_tokens`` 0 warms the cache."""
    assert decode(max_tokens=0).max_output == 0


GOOD = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": 7}]}]}, "messages.0.content.0.type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "zip"}}]}]},
            "messages.0.content.0.source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "messages.0.content.0.tool_use_id",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": 1}]}]}
                ]
            },
            "messages.0.content.0.content.0.type",
        ),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"system": 1}, "system"),
        ({"tools": [{"description": "x"}]}, "tools.0.name"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools.0.input_schema"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences.0"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
        ({"stream": "yes"}, "stream"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str) -> None:
    error = refused(json.dumps({**GOOD, **change}).encode())
    assert (error.param, error.code, error.status) == (param, "invalid_request", 400)
    assert error.message.startswith(param)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"model":"\xff"}', b"[" * 100_000, b'{"a":' * 5000 + b"1"],
)
def test_what_is_no_object_is_a_400(body: bytes) -> None:
    assert refused(body).status == 400


def test_deep_nesting_anywhere_is_a_400() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":%b}]}' % deep
    assert refused(body).status == 400


def test_a_continued_thread_is_not_found() -> None:
    error = refused(json.dumps({**GOOD, "thread": {"type": "continue", "previous_message_id": "m"}}).encode())
    assert (error.kind, error.code) == (Kind.NOT_FOUND, "thread_not_found")
    assert decode(thread={"type": "create"}).state.thread is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
    "temperature", "stop_sequences", "metadata", "thread", "cache_control", "stream", "service_tier", "x",
]  # fmt: skip
TYPES = st.sampled_from(
    [
        "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result",
        "server_tool_use", "web_search_tool_result", "compaction", "mcp_tool_use", "odd",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    ["text", "source", "content", "id", "name", "input", "tool_use_id", "thinking", "signature", "data", "citations"]
)
BLOCKS = st.builds(lambda kind, rest: {**rest, "type": kind}, TYPES, st.dictionaries(KEYS, JSON, max_size=4))
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "x"]), "content": st.lists(BLOCKS, max_size=3) | JSON}
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.lists(MESSAGE, max_size=3), st.booleans())
def test_any_json_is_decoded_or_refused_by_name(fields: dict[str, Any], messages: list[Any], good: bool) -> None:
    """Whatever comes, nothing but a ClientError is raised."""
    body = {**fields, "messages": messages}
    if good:
        body = {**body, "model": "m", "max_tokens": 1}
    with contextlib.suppress(ClientError):
        MESSAGES.decode_request(json.dumps(body).encode())
