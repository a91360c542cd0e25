"""Reading what callers send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.chat.wire import Body
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Carrier,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    HostedTool,
    Image,
    Inline,
    Instruction,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Url,
)

USER = {"role": "user", "content": "hi"}


def read(messages=None, **fields) -> Request:
    body = {"model": "m", "messages": [USER] if messages is None else messages, **fields}
    return CHAT.decode_request(json.dumps(body).encode())


def refused(**fields) -> ClientError:
    with pytest.raises(ClientError) as caught:
        read(**fields)
    return caught.value


def part(part):
    """The neutral form of one part of a user message."""
    return read([{"role": "user", "content": [part]}]).turns[0].parts[0]


def test_leading_system_and_developer_messages_are_instructions_and_later_ones_stay():
    request = read(
        [
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            USER,
            {"role": "system", "content": "d"},
            {"role": "developer", "content": "e"},
        ]
    )
    assert request.instructions == (
        Instruction((Text("a"),), "system"),
        Instruction((Text("b"), Text("c")), "developer"),
    )
    assert request.turns == (
        Turn("user", (Text("hi"),)),
        Turn("system", (Text("d"),)),
        Turn("developer", (Text("e"),)),
    )


@pytest.mark.parametrize(
    ("wire", "neutral"),
    [
        ({"type": "text", "text": "x"}, Text("x")),
        (
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Text("x", cache=CacheMark("1h")),
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;charset=x;base64,AAAA", "detail": "low"}},
            Image(Inline("image/png", "AAAA"), "low"),
        ),
        ({"type": "image_url", "image_url": {"url": "https://e.x/a.png"}}, Image(Url("https://e.x/a.png"))),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            Audio(Inline("audio/wav", "AAAA"), "wav"),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            Document(Inline("application/pdf", "AAAA"), "a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, Document(FileId("chat", "file-1"))),
    ],
)
def test_parts_of_user_messages(wire, neutral):
    assert part(wire) == neutral


def test_an_assistant_message_keeps_thoughts_text_refusal_and_calls_in_this_order():
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "t"}, {"type": "refusal", "refusal": "no"}],
        "reasoning_content": "hm",
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a":1.0}'},
                "extra_content": {"google": {"thought_signature": "c2ln"}},
            },
            {"id": "2", "type": "custom", "custom": {"name": "c", "input": "free"}},
        ],
    }
    assert read([USER, message]).turns[1].parts == (
        Reasoning("hm"),
        Text("t"),
        Refusal("no"),
        ToolCall("1", "f", '{"a":1.0}', carriers=(Carrier("google.thought_signature", "c2ln", provider="google"),)),
        ToolCall("2", "c", "free", kind="text"),
    )


def test_neighbouring_tool_messages_become_one_user_turn_apart_from_the_user_message():
    request = read(
        [
            {"role": "tool", "tool_call_id": "1", "content": "a"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "b"}]},
            USER,
        ]
    )
    assert request.turns == (
        Turn("user", (ToolResult("1", (Text("a"),)), ToolResult("2", (Text("b"),)))),
        Turn("user", (Text("hi"),)),
    )


def test_the_deprecated_function_form_is_converted_and_call_and_result_share_an_id():
    request = read(
        [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    call, result = request.turns[1].parts[0], request.turns[2].parts[0]
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.id == result.call_id
    assert isinstance(request.tools[0], FunctionTool)
    assert request.tool_choice == ToolChoice("tool", name="f")


def test_foreign_reasoning_details_are_kept_whole():
    entry = {"type": "reasoning.encrypted", "data": "xyz", "format": "openai-responses-v1", "index": 0}
    reasoning = read([USER, {"role": "assistant", "content": "t", "reasoning_details": [entry]}]).turns[1].parts[0]
    assert isinstance(reasoning, Reasoning)
    assert [carrier.kind for carrier in reasoning.carriers] == ["openrouter.detail"]
    assert json.loads(reasoning.carriers[0].data) == entry


def test_our_own_reasoning_details_come_back_apart():
    details = [
        {
            "type": "reasoning.text",
            "format": "asgi-llm/anthropic.signature",
            "signature": "s1",
            "index": 0,
            "start": 0,
            "end": 2,
        },
        {
            "type": "reasoning.encrypted",
            "format": "asgi-llm/anthropic.redacted",
            "data": "d",
            "index": 1,
            "start": 2,
            "end": 2,
        },
        {
            "type": "reasoning.text",
            "format": "asgi-llm/anthropic.signature",
            "signature": "s2",
            "index": 2,
            "start": 2,
            "end": 5,
        },
    ]
    message = {"role": "assistant", "content": "t", "reasoning_content": "äbcde", "reasoning_details": details}
    assert read([USER, message]).turns[1].parts[:3] == (
        Reasoning("äb", carriers=(Carrier("anthropic.signature", "s1"),)),
        Reasoning("", carriers=(Carrier("anthropic.redacted", "d"),), redacted=True),
        Reasoning("cde", carriers=(Carrier("anthropic.signature", "s2"),)),
    )


@pytest.mark.parametrize(
    ("wire", "neutral"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", name="f")),
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice("tool", name="c")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("allowed", names=("f",), required=True),
        ),
    ],
)
def test_tool_choice_in_all_forms(wire, neutral):
    assert read(tool_choice=wire).tool_choice == neutral


def test_tools_keep_their_schema_byte_for_byte():
    function = b'{"name":"f","parameters":{"b": 1.0,"a":1e2}}'
    body = b'{"model":"m","messages":[],"tools":[{"type":"function","function":%b}]}' % function
    tool = CHAT.decode_request(body).tools[0]
    assert isinstance(tool, FunctionTool)
    assert tool.schema is not None
    assert bytes(tool.schema) == b'{"b": 1.0,"a":1e2}'
    assert tool.strict is None


def test_custom_tools_and_web_search():
    grammar = {"type": "grammar", "grammar": {"definition": "start: x", "syntax": "lark"}}
    request = read(tools=[{"type": "custom", "custom": {"name": "c", "format": grammar}}], web_search_options={})
    assert request.tools[0] == CustomTool("c", syntax="lark", grammar="start: x")
    assert isinstance(request.tools[1], HostedTool)
    assert request.tools[1].kind == "web_search"


def test_knobs():
    request = read(
        temperature=1,
        top_p=0.1,
        seed=2**62,
        max_tokens=5,
        stop="x",
        n=2,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
        stream=True,
        stream_options={"include_usage": True},
        store=False,
        metadata={"a": "b"},
        user="u",
        parallel_tool_calls=False,
        top_k=3,
    )
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.seed) == (1, 0.1, 2**62)
    assert isinstance(request.sampling.temperature, int)
    assert (request.max_output, request.stop, request.n, request.end_user) == (5, ("x",), 2, "u")
    assert request.stream.on
    assert request.stream.include_usage
    assert request.state.store is False
    assert request.output is not None
    assert request.output.strict is True
    assert request.parallel_tools is False


def test_null_is_like_absent_for_every_optional_field():
    nulls = dict.fromkeys(name for name in Body.__struct_fields__ if name not in ("model", "messages"))
    assert read(**nulls) == read()
    message = {"role": "assistant", "content": "x", "refusal": None, "tool_calls": None, "audio": None, "name": None}
    assert read([message | {"reasoning_content": None, "reasoning_details": None, "function_call": None}]).turns == (
        Turn("assistant", (Text("x"),)),
    )


def test_unknown_top_level_fields_are_kept_raw():
    ext = CHAT.decode_request(b'{"model":"m","messages":[],"chat_template_kwargs":{"a":1.0}}').ext
    assert {name: bytes(raw) for name, raw in ext.items()} == {"chat_template_kwargs": b'{"a":1.0}'}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": [{"type": "nope"}]}]}, "messages[1].content[0].type"),
        ({"messages": [USER, {"role": "bot", "content": ""}]}, "messages[1].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "tool_call_id": "", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:nonsense"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0].file"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": True}, "max_tokens"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}]},
            "messages[0].tool_calls[0].custom",
        ),
    ],
)
def test_a_wrong_field_is_named_by_its_path(fields, param):
    if fields.get("messages", 1) is None:
        fields = {"messages": [{"role": "user"}]}
    error = refused(**fields)
    assert error.param == param
    assert error.status == 400
    assert param in error.message


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"model":"m","messages":[]} x', b'{"model":"\xff","messages":[]}',
     b'{"model":"m","messages":[],"x":"\xff"}', b'{"model":"m","messages":[],"x":' + b"[" * 100_000,
     b'{"model":"m","messages":[],"metadata":' + b'{"a":' * 100_000, b'{"model":"m","messages":[],"user":"\\ud800"}'],
)  # fmt: skip
def test_bodies_that_are_no_request_are_refused(body):
    with pytest.raises(ClientError):
        CHAT.decode_request(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
words = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "system",
        "function",
        "text",
        "image_url",
        "file",
        "input_audio",
        "refusal",
        "custom",
        "auto",
        "https://x",
        "data:image/png;base64,AA",
    ]
)
keys = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "tool_calls",
        "tool_call_id",
        "function",
        "name",
        "arguments",
        "id",
        "custom",
        "input",
        "file",
        "file_data",
        "reasoning_details",
        "reasoning_content",
        "refusal",
        "audio",
        "extra_content",
        "google",
        "cache_control",
    ]
)
shaped = st.recursive(
    json_values | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
fields = st.sampled_from(
    [
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "stop",
        "response_format",
        "stream_options",
        "metadata",
        "other",
    ]
)


@given(st.dictionaries(fields, shaped, max_size=4), st.lists(shaped, max_size=3))
def test_any_json_is_read_or_refused_by_a_client_error(members, messages):
    body = {"model": "m", "messages": messages, **members}
    try:
        request = CHAT.decode_request(json.dumps(body).encode())
    except ClientError:
        return
    assert request.dialect == "chat"


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_by_a_client_error(body):
    with pytest.raises(ClientError):
        CHAT.decode_request(body)
