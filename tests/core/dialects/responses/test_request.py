"""Requests are read whole; what is wrong with them is told by the caller's own path."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Carrier,
    Compaction,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    HostedTool,
    Image,
    Inline,
    Instruction,
    Opaque,
    Reasoning,
    Refusal,
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


def decode(items: object = "hi", **fields: object) -> Request:
    return RESPONSES.decode_request(json.dumps({"model": "m", "input": items, **fields}).encode())


def parts_of(*content: dict) -> tuple:
    return decode([{"role": "user", "content": list(content)}]).turns[0].parts


def test_string_input_is_one_user_turn():
    request = decode("hi", instructions="be brief")
    assert request.turns == (Turn("user", (Text("hi"),)),)
    assert request.instructions == (Instruction((Text("be brief"),)),)
    assert request.dialect == "responses"


def test_leading_system_and_developer_items_are_instructions_later_ones_turns():
    request = decode(
        [
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
            {"role": "user", "content": "u"},
            {"role": "developer", "content": "later"},
        ],
        instructions="i",
    )
    assert [(one.level, one.parts[0].text) for one in request.instructions] == [
        ("system", "i"),
        ("developer", "d"),
        ("system", "s"),
    ]
    assert [turn.role for turn in request.turns] == ["user", "developer"]


def test_easy_assistant_messages_need_no_type():
    request = decode([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}])
    assert request.turns[1] == Turn("assistant", (Text("a"),))


def test_what_the_assistant_says_in_a_row_is_one_turn():
    request = decode(
        [
            {"role": "user", "content": "u"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "phase": "commentary",
                "content": [
                    {"type": "output_text", "text": "a", "annotations": []},
                    {"type": "refusal", "refusal": "r"},
                ],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "ns"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "p", "input": "free"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
            {"role": "user", "content": "v"},
        ]
    )
    carrier = Carrier("openai.encrypted", "e", item_id="rs_1")
    assert request.turns == (
        Turn("user", (Text("u"),)),
        Turn(
            "assistant",
            (
                Reasoning(carriers=(carrier,), id="rs_1"),
                Text("a"),
                Refusal("r"),
                ToolCall("c1", "f", "{}", namespace="ns", item_id="fc_1"),
                ToolCall("c2", "p", "free", kind="text"),
            ),
            phase="commentary",
            id="msg_1",
        ),
        Turn("user", (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),), kind="text"))),
        Turn("user", (Text("v"),)),
    )


def test_messages_of_another_phase_are_turns_of_their_own_with_their_thoughts():
    request = decode(
        [
            {"role": "assistant", "content": "a", "phase": "commentary"},
            {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "s"}]},
            {"role": "assistant", "content": "b", "phase": "final_answer"},
        ]
    )
    assert [(turn.phase, len(turn.parts)) for turn in request.turns] == [("commentary", 1), ("final_answer", 2)]
    assert request.turns[1].parts[0].summary == ("s",)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "x"}, Text("x")),
        (
            {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("x", cache=CacheMark("12h")),
        ),
        (
            {"type": "input_image", "image_url": "https://a.test/b.png", "detail": "low"},
            Image(Url("https://a.test/b.png"), "low"),
        ),
        ({"type": "input_image", "image_url": "data:image/PNG;base64,aGk="}, Image(Inline("image/png", "aGk="))),
        (
            {"type": "input_image", "image_url": "data:image/png;charset=x;base64,aGk="},
            Image(Inline("image/png", "aGk=")),
        ),
        ({"type": "input_image", "image_url": {"url": "https://a.test/b"}}, Image(Url("https://a.test/b"))),
        ({"type": "input_image", "file_id": "file_1"}, Image(FileId("responses", "file_1"))),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
            Document(Inline("application/pdf", "aGk="), "a.pdf"),
        ),
        ({"type": "input_file", "file_data": "aGk="}, Document(Inline("application/pdf", "aGk="))),
        ({"type": "input_file", "file_url": "https://a.test/a.pdf"}, Document(Url("https://a.test/a.pdf"))),
        ({"type": "input_file", "file_id": "file_1"}, Document(FileId("responses", "file_1"))),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
            Audio(Inline("audio/mpeg", "aGk="), "mp3"),
        ),
    ],
)
def test_content_parts(content, part):
    assert parts_of(content) == (part,)


def test_unknown_content_and_items_are_kept_for_this_dialect():
    (part,) = parts_of({"type": "input_smell", "smell": 1})
    assert (type(part), part.kind) == (Opaque, "input_smell")
    (part,) = decode([{"type": "acme:thing", "x": [1]}]).turns[0].parts
    assert (type(part), part.kind, bytes(part.raw)) == (Opaque, "acme:thing", b'{"type": "acme:thing", "x": [1]}')


def test_unknown_types_may_use_known_fields_in_their_own_way():
    (part,) = decode([{"type": "acme:thing", "id": 7, "name": {}}]).turns[0].parts
    assert part.kind == "acme:thing"
    (part,) = parts_of({"type": "acme:part", "text": [1]})
    assert part.kind == "acme:part"


def test_hosted_items_are_server_calls_and_results():
    request = decode(
        [
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "mcp_approval_request", "id": "mcpr_1", "name": "n", "arguments": "{}", "server_label": "s"},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        ]
    )
    search, approval = request.turns[0].parts
    assert (type(search), search.kind, search.id) == (ServerCall, "web_search", "ws_1")
    assert (approval.kind, approval.arguments) == ("mcp_approval", "{}")
    assert isinstance(request.turns[1].parts[0], ServerResult)


def test_typed_tools_and_their_calls():
    request = decode(
        [
            {"type": "apply_patch_call", "id": "apc_1", "call_id": "c1", "operation": {"type": "delete_file"}},
            {"type": "apply_patch_call_output", "call_id": "c1", "status": "failed", "output": "no"},
            {"type": "local_shell_call", "id": "lsh_1", "call_id": "c2", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "c2", "output": "files"},
            {"type": "computer_call", "id": "cu_1", "call_id": "c3", "action": {"type": "screenshot"}},
            {
                "type": "computer_call_output",
                "call_id": "c3",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGk="},
            },
        ],
        tools=[{"type": "apply_patch"}, {"type": "local_shell"}, {"type": "computer_use_preview", "display_width": 1}],
    )
    assert [type(tool) for tool in request.tools] == [TypedTool] * 3
    calls = [part for turn in request.turns for part in turn.parts if isinstance(part, ToolCall)]
    assert [(call.typed, call.id) for call in calls] == [
        ("apply_patch", "c1"),
        ("local_shell", "c2"),
        ("computer", "c3"),
    ]
    results = [part for turn in request.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert results[0] == ToolResult("c1", (Text("no"),), name="apply_patch", is_error=True)
    assert isinstance(results[2].parts[0], Image)


def test_compaction_item():
    request = decode(
        [{"type": "compaction", "id": "cmp_1", "encrypted_content": "e"}, {"role": "user", "content": "u"}]
    )
    assert request.turns[0].parts == (Compaction(carrier=Carrier("openai.encrypted", "e", item_id="cmp_1")),)


def test_tools_are_flat_and_strict_has_three_values():
    request = decode(
        tools=[
            {"type": "function", "name": "a", "parameters": {"type": "object"}, "description": "d"},
            {"type": "function", "name": "b", "parameters": None, "strict": False, "defer_loading": True},
            {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "g"}},
            {"type": "custom", "name": "d", "format": {"type": "text"}},
            {"type": "namespace", "name": "ns", "description": "nd", "tools": [{"type": "function", "name": "e"}]},
            {"type": "web_search", "external_web_access": True},
            {"type": "acme:tool"},
        ]
    )
    a, b, c, d, e, search, acme = request.tools
    assert (a.strict, b.strict, b.defer_loading) == (None, False, True)
    assert bytes(a.schema) == b'{"type": "object"}'
    assert b.schema is None
    assert c == CustomTool("c", None, "lark", "g")
    assert d == CustomTool("d")
    assert e == FunctionTool("e", namespace="ns", namespace_description="nd")
    assert (type(search), search.kind, acme.kind) == (HostedTool, "web_search", "acme:tool")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", "f")),
        ({"type": "custom", "name": "f"}, ToolChoice("tool", "f")),
        ({"type": "apply_patch"}, ToolChoice("tool", "apply_patch")),
        ({"type": "web_search_preview"}, ToolChoice("hosted", hosted="web_search")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}],
            },
            ToolChoice("allowed", names=("f", "mcp"), required=True),
        ),
    ],
)
def test_tool_choice(choice, expected):
    assert decode(tool_choice=choice).tool_choice == expected


def test_knobs():
    request = decode(
        max_output_tokens=5,
        temperature=0.5,
        top_p=1,
        parallel_tool_calls=False,
        store=False,
        previous_response_id="resp_1",
        conversation={"id": "conv_1"},
        background=None,
        metadata={"k": "v"},
        user="u",
        prompt_cache_key="key",
        service_tier="flex",
        reasoning={"effort": "high", "summary": "auto", "context": "all_turns"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}, "verbosity": "low"},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        top_logprobs=3,
        stream=True,
        truncation="auto",
        client_metadata={"x": 1},
        prompt=None,
    )
    assert (request.max_output, request.sampling.temperature, request.parallel_tools) == (5, 0.5, False)
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 3)
    assert (request.state.store, request.state.previous_response_id, request.state.conversation) == (
        False,
        "resp_1",
        "conv_1",
    )
    assert (request.end_user, request.metadata, request.cache.key, request.service_tier) == (
        "u",
        {"k": "v"},
        "key",
        "flex",
    )
    assert (request.reasoning.effort, request.reasoning.visible) == ("high", True)
    assert (request.output.kind, request.output.name, request.output.strict, request.verbosity) == (
        "schema",
        "n",
        True,
        "low",
    )
    assert request.stream.on
    assert set(request.ext) == {"truncation", "client_metadata"}


def test_null_is_absent_everywhere():
    names = [
        "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "include",
        "max_output_tokens", "temperature", "top_p", "stream", "store", "background", "previous_response_id",
        "conversation", "metadata", "service_tier", "user", "stream_options", "truncation", "unknown",
    ]  # fmt: skip
    body = {"model": "m", **dict.fromkeys(names)}
    assert RESPONSES.decode_request(json.dumps(body).encode()) == Request(model="m", dialect="responses")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": 7}]}]}, "input[0].content[0].type"),
        ({"input": ["x", {"role": "user"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": 7}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"reasoning": "high"}, "reasoning"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"conversation": 7}, "conversation"),
        ({"include": "x"}, "include"),
        ({"model": None}, "model"),
        ({"model": " "}, "model"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_errors_name_the_field(fields, param):
    with pytest.raises(ClientError) as caught:
        RESPONSES.decode_request(json.dumps({"model": "m", **fields}).encode())
    assert caught.value.param == param
    assert caught.value.status == 400


def test_codes_that_are_part_of_the_contract():
    with pytest.raises(ClientError) as caught:
        decode([{"type": "item_reference", "id": "msg_1"}])
    assert caught.value.code == "item_reference_not_supported"
    with pytest.raises(ClientError) as caught:
        RESPONSES.decode_request(b"{}")
    assert caught.value.code == "model_required"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff",
        b'{"model":"m","input":"\xff"}',
        b'{"model":"m","input":"\\ud800"}',
        b'{"model":"m","input":' + b"[" * 100000 + b"]" * 100000 + b"}",
        b'{"model":"m","x":' + b'{"a":' * 50000 + b"1" + b"}" * 50000 + b"}",
    ],
)
def test_what_is_no_request_is_a_client_error(body):
    with pytest.raises(ClientError):
        RESPONSES.decode_request(body)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "include",
    "store",
    "conversation",
    "metadata",
    "user",
]
ITEM_FIELDS = [
    "id",
    "role",
    "content",
    "call_id",
    "name",
    "arguments",
    "input",
    "output",
    "summary",
    "encrypted_content",
    "action",
    "status",
]
TYPES = [
    "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning",
    "compaction", "web_search_call", "apply_patch_call", "apply_patch_call_output", "shell_call_output",
    "computer_call_output", "local_shell_call", "mcp_approval_response", "acme:x",
]  # fmt: skip
PARTS = ["input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "summary_text", "zzz"]
part_values = st.fixed_dictionaries(
    {"type": st.sampled_from(PARTS)},
    optional={
        name: values | st.text(max_size=5)
        for name in ("text", "refusal", "image_url", "file_data", "input_audio", "annotations")
    },
)
item_values = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={name: values | st.text(max_size=3) | st.lists(part_values, max_size=2) for name in ITEM_FIELDS}
    | {"role": st.sampled_from(["user", "assistant", "system", "developer"])},
)


@given(st.dictionaries(st.sampled_from(FIELDS), values))
def test_any_json_is_a_request_or_a_client_error(body):
    with contextlib.suppress(ClientError):
        RESPONSES.decode_request(json.dumps(body).encode())


@given(st.lists(item_values, max_size=4))
def test_any_items_are_read_and_written_or_refused(items):
    try:
        request = decode(items)
        encoded = RESPONSES.encode_request(request, Profile())
    except ClientError:
        return
    json.loads(encoded.body)
