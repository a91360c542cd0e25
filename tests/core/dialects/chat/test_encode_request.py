"""Writing what upstreams get."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.chat.losses import LOSSES
from asgi_llm.dialects.interface import Profile, ToolShape
from asgi_llm.errors import TranslationError
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
    Opaque,
    OutputFormat,
    PlainText,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    ServerCall,
    ServerResult,
    StateRef,
    StreamOptions,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    TypedTool,
    Url,
    Video,
)

OPENAI = Profile()
GENERIC = Profile(
    provider="vllm",
    origin=False,
    max_tokens_field="max_tokens",
    developer_role=False,
    reasoning_field="reasoning_content",
    reasoning_always=True,
    reasoning_effort=False,
    strict_tools=False,
    custom_tools=False,
    allowed_tools=False,
    parallel_tool_calls=False,
    openai_extras=False,
    engine_sampling=True,
    max_stop=None,
)


def user(*parts) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(*parts) -> Turn:
    return Turn("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def encode(*turns, profile=OPENAI, dialect="messages", **fields):
    return CHAT.encode_request(Request(model="m", dialect=dialect, turns=tuple(turns), **fields), profile)


def body(*turns, **fields):
    return json.loads(encode(*turns, **fields).body)


def messages(*turns, **fields):
    return body(*turns, **fields)["messages"]


def lost(encoded) -> set[str]:
    return {warned.field for warned in encoded.warnings}


CALLS = said("let me", ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "g", ""))


def test_parallel_results_follow_in_call_order_before_the_text_of_their_turn():
    results = user(ToolResult("2", (Text("two"),)), "and now?", ToolResult("1", (Text("one"),)))
    assert messages(user("hi"), CALLS, results) == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "let me",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
        {"role": "user", "content": "and now?"},
    ]


def test_media_of_results_follow_in_user_messages_after_all_tool_messages():
    image = Image(Inline("image/png", "AAAA"))
    results = user(ToolResult("1", (Text("see"), image)), ToolResult("2", (Text("two"),)), "go on")
    written = messages(user("hi"), CALLS, results)[2:]
    assert [message["role"] for message in written] == ["tool", "tool", "user", "user"]
    assert "see" in written[0]["content"]
    assert "1" in written[2]["content"][0]["text"]
    assert written[2]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert written[3]["content"] == "go on"


@pytest.mark.parametrize(
    ("text", "written"), [("boom", "Error: boom"), ("error: boom", "error: boom"), ("", "Error: ")]
)
def test_a_failed_result_says_so_once(text, written):
    result = ToolResult("1", (Text(text),) if text else (), is_error=True)
    assert messages(said(ToolCall("1", "f")), user(result))[1]["content"] == written


def test_late_missing_duplicate_and_orphan_results_are_put_right():
    encoded = encode(
        user("hi"),
        CALLS,
        user("wait"),
        user(ToolResult("2", (Text("old"),)), ToolResult("2", (Text("new"),)), ToolResult("9", (Text("lonely"),))),
    )
    written = json.loads(encoded.body)["messages"]
    assert [message["role"] for message in written] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert "no result" in written[2]["content"]
    assert written[3]["content"] == "new"
    assert written[5]["content"] == "[tool result 9] lonely"
    assert lost(encoded) == {"tool_result.missing", "tool_result.orphan", "tool_result.duplicate"}


def test_calls_of_the_last_turn_may_be_unanswered():
    encoded = encode(user("hi"), CALLS)
    assert json.loads(encoded.body)["messages"][-1]["role"] == "assistant"
    assert not encoded.warnings


def test_an_id_used_again_in_a_later_turn_means_the_later_call():
    turns = [said(ToolCall("x", "f")), user(ToolResult("x", (Text("1"),)))] * 2
    assert [m["content"] for m in messages(*turns) if m["role"] == "tool"] == ["1", "1"]
    twice = messages(
        said(ToolCall("x", "f"), ToolCall("x", "g")), user(ToolResult("x", (Text("1"),)), ToolResult("x", (Text("2"),)))
    )
    ids = [call["id"] for call in twice[0]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [(m["tool_call_id"], m["content"]) for m in twice[1:]] == [(ids[0], "1"), (ids[1], "2")]


@pytest.mark.parametrize(("limit", "length"), [(64, 29), (9, 9)])
def test_long_ids_are_hashed_the_same_for_call_and_result(limit, length):
    turns = (said(ToolCall("toolu_" + "x" * 200, "f")), user(ToolResult("toolu_" + "x" * 200, (Text("r"),))))
    written = messages(*turns, profile=Profile(tool_id_limit=limit))
    assert written[0]["tool_calls"][0]["id"] == written[1]["tool_call_id"]
    assert len(written[1]["tool_call_id"]) == length


def test_long_names_are_shortened_in_tools_choice_and_history_and_restored():
    name = "mcp__" + "x" * 100
    encoded = encode(
        said(ToolCall("1", name)),
        user(ToolResult("1")),
        tools=(FunctionTool(name),),
        tool_choice=ToolChoice("tool", name=name),
    )
    written = json.loads(encoded.body)
    wire = written["tools"][0]["function"]["name"]
    assert len(wire) == 64
    assert wire == written["tool_choice"]["function"]["name"]
    assert wire == written["messages"][0]["tool_calls"][0]["function"]["name"]
    assert encoded.restore.tools == {wire: ToolShape(name)}
    answer = {"choices": [{"message": {"tool_calls": [{"id": "1", "function": {"name": wire, "arguments": "{}"}}]}}]}
    call = CHAT.decode_response(json.dumps(answer).encode(), encoded.restore).candidates[0].parts[0]
    assert isinstance(call, ToolCall)
    assert call.name == name


def test_namespaces_are_flattened_and_told_apart_from_plain_names():
    encoded = encode(
        tools=(FunctionTool("a", namespace="ns"), FunctionTool("b", namespace="ns"), FunctionTool("ns__b")),
    )
    names = [tool["function"]["name"] for tool in json.loads(encoded.body)["tools"]]
    assert names[0] == "ns__a"
    assert names[2] == "ns__b"
    assert len(set(names)) == 3
    assert encoded.restore.tools[names[1]] == ToolShape("b", "json", "ns")


def test_a_custom_tool_is_wrapped_as_a_function_and_its_history_too():
    tool = CustomTool("patch", "Patches.", "lark", "start: x")
    turns = (said(ToolCall("1", "patch", 'a "b"', kind="text")), user(ToolResult("1", kind="text")))
    encoded = encode(*turns, profile=GENERIC, tools=(tool,))
    written = json.loads(encoded.body)
    function = written["tools"][0]["function"]
    assert list(function["parameters"]["properties"]) == ["input"]
    assert "start: x" in function["description"]
    call = written["messages"][0]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"input": 'a "b"'}
    assert encoded.restore.tools == {"patch": ToolShape("patch", "text")}
    native = body(*turns, tools=(tool,))
    assert native["tools"][0]["custom"]["format"]["grammar"] == {"definition": "start: x", "syntax": "lark"}
    assert native["messages"][0]["tool_calls"][0]["custom"] == {"name": "patch", "input": 'a "b"'}


def test_a_typed_tool_becomes_a_function():
    encoded = encode(tools=(TypedTool("messages", "bash_20250124", "bash"),))
    assert json.loads(encoded.body)["tools"][0]["function"]["name"] == "bash"
    assert encoded.restore.tools["bash"].typed == "bash_20250124"


def test_each_instruction_is_a_message_and_attribution_lines_are_left_out():
    instructions = (
        Instruction((Text("x-anthropic-billing-header: cc_version=1"),)),
        Instruction((Text("a"), Text("b"))),
        Instruction((Text("c"),), "developer"),
    )
    assert messages(user("hi"), instructions=instructions)[:2] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "developer", "content": "c"},
    ]
    assert messages(instructions=instructions, profile=GENERIC)[1]["role"] == "system"


def test_system_turns_stay_in_the_middle():
    turns = (user("a"), Turn("system", (Text("b"),)), user("c"))
    assert [message["role"] for message in messages(*turns)] == ["user", "system", "user"]


def test_thoughts_are_dropped_or_written_where_the_upstream_wants_them():
    turns = (
        said(Reasoning("hm", carriers=(Carrier("anthropic.signature", "s"),)), "x"),
        said(ToolCall("1", "f")),
        user(ToolResult("1")),
    )
    assert "reasoning_content" not in messages(*turns)[0]
    replayed = messages(*turns, profile=GENERIC)
    assert replayed[0]["reasoning_content"] == "hm"
    assert replayed[1]["reasoning_content"] == ""


def test_details_of_openrouter_go_back_to_it_only():
    entry = {"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
    turn = said(Reasoning("hm", carriers=(Carrier("openrouter.detail", json.dumps(entry)),)), "x")
    back = messages(turn, profile=Profile(reasoning_details="signed"))[0]["reasoning_details"]
    assert back == [{**entry, "text": "hm"}]
    assert "reasoning_details" not in messages(turn)[0]


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        (ReasoningConfig(effort="low"), "low"),
        (ReasoningConfig(effort="max"), "xhigh"),
        (ReasoningConfig(budget=0), "none"),
        (ReasoningConfig(budget=1024), "low"),
        (ReasoningConfig(budget=2048), "medium"),
        (ReasoningConfig(budget=12000), "high"),
        (ReasoningConfig(budget=28000), "xhigh"),
        (ReasoningConfig(budget=-1), None),
        (ReasoningConfig(adaptive=True), None),
    ],
)
def test_effort(config, effort):
    assert body(reasoning=config).get("reasoning_effort") == effort


def test_knobs_follow_the_profile():
    fields = {
        "max_output": 7,
        "sampling": Sampling(temperature=1, top_k=5),
        "stop": ("a", "b", "c", "d", "e"),
        "metadata": {"k": "v"},
        "end_user": "me@example.org",
        "parallel_tools": False,
        "tools": (FunctionTool("f", strict=True),),
        "stream": StreamOptions(on=True),
    }
    openai = encode(**fields)
    written = json.loads(openai.body)
    assert written["max_completion_tokens"] == 7
    assert written["stop"] == ["a", "b", "c", "d"]
    assert written["parallel_tool_calls"] is False
    assert "@" not in written["safety_identifier"]
    assert written["stream_options"] == {"include_usage": True}
    assert lost(openai) == {"top_k", "stop"}
    generic = encode(**fields, profile=GENERIC)
    written = json.loads(generic.body)
    assert written["max_tokens"] == 7
    assert written["top_k"] == 5
    assert "strict" not in written["tools"][0]["function"]
    assert lost(generic) == {"metadata", "parallel_tool_calls", "strict"}


def test_models_that_reason_get_no_sampling_parameters_unless_told_not_to_reason():
    def encoded(model, **fields):
        sampling = Sampling(temperature=0.5, top_p=1)
        asked = Request(model=model, dialect="messages", sampling=sampling, stop=("x",), **fields)
        return CHAT.encode_request(asked, OPENAI)

    for model in ("gpt-5-mini", "o3", "gpt-5.1", "gpt-6"):
        assert not {"temperature", "top_p", "stop"} & json.loads(encoded(model).body).keys()
        assert lost(encoded(model)) == {"temperature", "stop"}
        assert not lost(encoded(model, reasoning=ReasoningConfig(effort="none")))
    for model in ("gpt-4o", "gpt-5-chat-latest", "m"):
        assert json.loads(encoded(model).body)["temperature"] == 0.5


def test_web_search_goes_to_models_that_search():
    asked = Request(model="gpt-4o-search-preview", dialect="responses", tools=(HostedTool("responses", "web_search"),))
    assert json.loads(CHAT.encode_request(asked, OPENAI).body)["web_search_options"] == {}


@given(
    turns=st.lists(
        st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=8), st.sampled_from([None, "bob"])),
        max_size=5,
    ),
    profile=st.sampled_from([OPENAI, GENERIC]),
)
def test_a_turn_of_one_text_is_written_as_among_other_parts(turns, profile):
    """Cut in two, or marked for a cache that the upstream has no words for, a text reads the same."""
    plain = [Turn(role, (Text(text),), name) for role, text, name in turns]
    marked = [Turn(role, (Text(text, cache=CacheMark()),), name) for role, text, name in turns]
    cut = [
        Turn(role, (Text(""), Text(text)) if role == "assistant" else (Text(text),), name) for role, text, name in turns
    ]
    assert encode(*plain, profile=profile) == encode(*marked, profile=profile) == encode(*cut, profile=profile)


def test_a_block_of_this_dialect_that_nobody_knows_is_written_as_it_came():
    block = Opaque("chat", "video_url", Raw(b'{"type":"video_url"}'))
    assert messages(user(block)) == [{"role": "user", "content": [{"type": "video_url"}]}]


def test_a_user_turn_of_nothing_but_what_another_provider_found_is_left_out():
    found = Turn("user", (ServerResult("responses", "tool_search", raw=Raw(b"{}")),))
    assert messages(user("a"), found, user("b")) == messages(user("a"), user("b"))


def test_an_assistant_turn_of_nothing_but_thoughts_is_left_out():
    assert messages(user("a"), said(Reasoning("hm")), user("b")) == messages(user("a"), user("b"))


def test_empty_things_are_left_out():
    written = body(user("hi"), tool_choice=ToolChoice("auto"), parallel_tools=True, output=OutputFormat("text"))
    assert written == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_structured_output():
    output = OutputFormat("schema", None, None, Raw(b'{"type": "object"}'), True)
    assert body(output=output)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "object"}, "strict": True},
    }


def test_a_list_as_structured_output_is_asked_for_in_words_where_the_origin_takes_objects_only():
    output = OutputFormat("schema", schema=Raw(b'{"type":"array","items":{}}'))
    written = body(output=output)
    assert "response_format" not in written
    assert '{"type":"array","items":{}}' in written["messages"][0]["content"]
    assert "response_format" in body(output=output, profile=Profile(origin=False))


def test_documents_and_audio():
    parts = (
        Document(Inline("application/pdf", "AAAA"), "a.pdf"),
        Document(PlainText("text"), title="T"),
        Audio(Inline("audio/mpeg", "AAAA")),
        Document(FileId("responses", "file-1")),
    )
    assert messages(user(*parts))[0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "text", "text": "T\ntext"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


def test_tools_that_a_search_found_are_named():
    found = Opaque("messages", "tool_reference", Raw(b"{}"), "Tool: f")
    assert messages(said(ToolCall("1", "search")), user(ToolResult("1", (found,))))[1]["content"] == "Tool: f"


def test_what_is_no_text_in_answers_and_instructions_is_left_out_with_a_warning():
    block = Opaque("messages", "tool_addition", Raw(b"{}"))
    encoded = encode(user("a"), said(Image(Inline("image/png", "AA")), block, "b"), Turn("system", (block, Text("c"))))
    assert [m["content"] for m in json.loads(encoded.body)["messages"]] == ["a", "b", "c"]
    assert lost(encoded) == {"assistant_content", "instruction_content"}


@pytest.mark.parametrize(
    "fields",
    [
        {"turns": (user(Video(Url("https://x"))),)},
        {"turns": (user(Document(Url("https://x"))),)},
        {"turns": (user(Image(FileId("messages", "f"))),)},
        {"turns": (user(Document(FileId("messages", "f"))),)},
        {"turns": (user(Opaque("messages", "container_upload", Raw(b"{}"))),)},
        {"tools": (HostedTool("messages", "web_search"),)},
        {"tools": (TypedTool("messages", "computer_toolset_20260801", "computer"),)},
        {"state": StateRef(previous_response_id="resp_1")},
        {"state": StateRef(conversation="conv_1")},
    ],
)
def test_what_cannot_be_said_is_refused_naming_the_field(fields):
    with pytest.raises(TranslationError) as caught:
        CHAT.encode_request(Request(model="m", dialect="messages", **fields), OPENAI)
    assert caught.value.param


def test_server_tool_history_is_left_out_with_a_warning():
    encoded = encode(said(ServerCall("messages", "web_search"), "found"))
    assert json.loads(encoded.body)["messages"] == [{"role": "assistant", "content": "found"}]
    assert lost(encoded) == {"server_tool_history", "prefill"}


def test_a_refusal_is_a_member_for_the_origin_and_text_for_others():
    assert messages(said(Refusal("no")))[0] == {"role": "assistant", "content": None, "refusal": "no"}
    assert messages(said(Refusal("no")), profile=GENERIC)[0] == {"role": "assistant", "content": "no"}


def test_fields_of_the_callers_own_dialect_are_passed_on_and_those_of_others_named():
    ext = {"container": Raw(b'"c"')}
    assert body(dialect="chat", ext=ext)["container"] == "c"
    encoded = encode(ext=ext)
    assert "container" not in json.loads(encoded.body)
    assert lost(encoded) == {"container"}


def test_every_declared_loss_says_something():
    assert all(loss.note.endswith(".") and name == loss.field for name, loss in LOSSES.items())


texts = st.text(max_size=8).map(Text)
names = st.sampled_from(["f", "mcp__" + "y" * 90, "späti"])
rounds = st.lists(
    st.tuples(st.lists(texts, min_size=1, max_size=2), st.lists(names, max_size=3), st.booleans(), st.booleans()),
    max_size=5,
)


def conversation(plan) -> list[Turn]:
    """A well-formed conversation: every call is answered in the next turn."""
    turns: list[Turn] = []
    for number, (parts, called, thinks, failed) in enumerate(plan):
        turns.append(Turn("user", tuple(parts)))
        calls = tuple(ToolCall(f"id{number}.{index}", name, "{}") for index, name in enumerate(called))
        thoughts = (Reasoning("hm"),) if thinks else ()
        turns.append(Turn("assistant", (*thoughts, *parts, *calls)))
        if calls:
            results = [ToolResult(call.id, tuple(parts), is_error=failed) for call in reversed(calls)]
            turns.append(Turn("user", tuple(results)))
    return turns


@given(rounds, st.sampled_from([OPENAI, GENERIC, Profile(tool_id_limit=9)]))
def test_a_conversation_that_goes_on_has_the_same_beginning(plan, profile):
    turns = conversation(plan)
    whole = encode(*turns, profile=profile).body
    assert whole == encode(*turns, profile=profile).body
    for length in range(len(turns)):
        start = encode(*turns[:length], profile=profile).body
        assert whole.startswith(start[: start.rindex(b"]")])


@given(rounds)
def test_a_conversation_read_again_has_the_same_meaning(plan):
    turns = conversation(plan)
    again = CHAT.decode_request(encode(*turns, dialect="chat").body)
    assert CHAT.encode_request(again, OPENAI).body == encode(*turns, dialect="chat").body
