"""Neutral requests are written as the Responses API takes them: legal, complete, and the same every time."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from asgi_llm.dialects import responses
from asgi_llm.dialects.foreign import foreign_fields
from asgi_llm.dialects.interface import Encoded, Profile
from asgi_llm.dialects.responses import LOSSES, RESPONSES
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import (
    Blocks,
    CacheHints,
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
    OutputFormat,
    PlainText,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    ServerCall,
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

HI = Turn("user", (Text("hi"),))
ORIGIN = Profile()
ENGINE = Profile(
    provider="vllm",
    origin=False,
    custom_tools=False,
    openai_extras=False,
    engine_sampling=True,
    allowed_tools=False,
)


def request(*turns: Turn, dialect: str = "chat", **fields: object) -> Request:
    return Request(model="gpt-4.1", dialect=dialect, turns=turns or (HI,), **fields)


def encode(what: Request, profile: Profile = ORIGIN) -> tuple[dict, Encoded]:
    encoded = RESPONSES.encode_request(what, profile)
    return json.loads(encoded.body), encoded


def items(*turns: Turn, profile: Profile = ORIGIN, **fields: object) -> list[dict]:
    return encode(request(*turns, **fields), profile)[0]["input"]


def warned(encoded: Encoded) -> set[str]:
    return {warning.field for warning in encoded.warnings}


def test_a_chat_request_is_stateless_and_asks_for_encrypted_thoughts():
    body, encoded = encode(request(stream=StreamOptions(on=True)))
    assert body == {
        "model": "gpt-4.1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert encoded.warnings == ()


def test_system_instructions_are_joined_and_developer_ones_keep_their_place():
    instructions = (
        Instruction((Text("x-anthropic-billing-header: a=1"),)),
        Instruction((Text("one"), Text("two"))),
        Instruction((Text("three", cache=CacheMark()),)),
        Instruction((Text("dev"),), "developer"),
        Instruction((Text("after"),)),
    )
    body, _ = encode(request(instructions=instructions, dialect="messages"))
    assert body["instructions"] == "one\n\ntwo\n\nthree"
    assert [item["role"] for item in body["input"]] == ["developer", "system", "user"]


def test_instructions_alone_become_input():
    only = Request(model="m", dialect="chat", instructions=(Instruction((Text("do"),)),))
    body, _ = encode(only)
    assert "instructions" not in body
    assert body["input"][0]["role"] == "system"


def test_a_conversation_of_empty_text_is_still_one():
    empty = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": ""}]}]
    assert items(Turn("user", (Text(""),)), dialect="gemini") == empty
    assert items(Turn("user", (Text(""),)), dialect="responses", state=StateRef(previous_response_id="resp_1")) == []


def test_content_of_another_api_is_said_in_words_or_refused():
    called = Turn("assistant", (ToolCall("c", "search"),))
    found = Opaque("messages", "tool_reference", Raw(b"{}"), "Tool: f")
    sent = items(Turn("user", (Text("q"),)), called, Turn("user", (ToolResult("c", (found,)),)), dialect="messages")
    assert sent[-1]["output"] == [{"type": "input_text", "text": "Tool: f"}]
    odd = Opaque("messages", "container_upload", Raw(b"{}"))
    with pytest.raises(TranslationError) as caught:
        items(Turn("user", (odd,)), dialect="messages")
    assert caught.value.param == "messages"
    _, encoded = encode(request(Turn("user", (Text("q"),)), Turn("system", (odd,)), dialect="messages"))
    assert "opaque" in warned(encoded)


def test_a_document_without_a_name_gets_one_that_fits():
    document = Document(Inline("text/csv", "YSxi"))
    assert items(Turn("user", (document,)))[0]["content"][0]["filename"] == "document.csv"


@pytest.mark.parametrize("schema", [b'{"type":"array","items":{}}', b'{"anyOf":[{"type":"object"}]}'])
def test_a_schema_of_no_object_is_said_in_words(schema):
    body, encoded = encode(request(Turn("user", (Text("q"),)), output=OutputFormat("schema", schema=Raw(schema))))
    assert "text" not in body
    assert schema.decode() in body["instructions"]
    assert "output_schema" in warned(encoded)


def test_a_stored_prompt_of_elsewhere_is_refused():
    asked = request(Turn("user", (Text("q"),)), dialect="responses", ext={"prompt": Raw(b'{"id":"p"}')})
    with pytest.raises(TranslationError) as caught:
        foreign_fields(asked, "chat")
    assert caught.value.param == "prompt"


def test_assistant_turn_keeps_order_and_phase():
    turn = Turn(
        "assistant",
        (Text("a"), Refusal("r"), ToolCall("c1", "f", "{}", item_id="fc_1"), Text("b")),
        phase="commentary",
        id="msg_1",
    )
    result = Turn("user", (ToolResult("c1", (Text("ok"),)),))
    first, call, second, output = items(turn, result, dialect="responses")
    assert (first["id"], first["phase"], len(first["content"])) == ("msg_1", "commentary", 2)
    assert first["content"][1] == {"type": "refusal", "refusal": "r"}
    assert call == {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    assert "id" not in second
    assert output == {"type": "function_call_output", "call_id": "c1", "output": "ok"}


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Image(Inline("image/png", "aGk="), "low"), {"image_url": "data:image/png;base64,aGk=", "detail": "low"}),
        (Image(Url("https://a.test/b")), {"image_url": "https://a.test/b"}),
        (
            Document(Inline("application/pdf", "aGk="), title="t"),
            {"filename": "t", "file_data": "data:application/pdf;base64,aGk="},
        ),
        (Document(Url("https://a.test/b")), {"file_url": "https://a.test/b"}),
        (Document(PlainText("words"), title="t"), {"text": "t\n\nwords"}),
        (Document(Blocks((Text("words"),))), {"text": "words"}),
    ],
)
def test_media(part, written):
    (item,) = items(Turn("user", (part,)))
    (content,) = item["content"]
    del content["type"]
    assert content == written


@pytest.mark.parametrize(
    "part", [Image(FileId("messages", "file_1")), Video(Url("https://a.test/v")), Document(FileId("gemini", "x"))]
)
def test_unreadable_media_is_refused_by_the_callers_field(part):
    with pytest.raises(TranslationError) as caught:
        encode(request(Turn("user", (part,)), dialect="messages"))
    assert caught.value.param == "messages"


def test_results_with_media_stay_lists_and_errors_are_marked():
    calls = Turn("assistant", tuple(ToolCall(f"c{n}", "f") for n in range(4)))
    results = Turn(
        "user",
        (
            ToolResult("c0", (Text("a"), Image(Inline("image/png", "aGk=")))),
            ToolResult("c1", (Text("boom"),), is_error=True),
            ToolResult("c2", (Text("Error: boom"),), is_error=True),
            ToolResult("c3"),
            Text("and now?"),
        ),
    )
    *_, a, b, c, d, text = items(calls, results)
    assert [part["type"] for part in a["output"]] == ["input_text", "input_image"]
    assert (b["output"], c["output"], d["output"]) == ("Error: boom", "Error: boom", "")
    assert text["role"] == "user"


def test_pairing_is_repaired():
    turns = (
        Turn("assistant", (ToolCall("a", "f"), ToolCall("b", "f"), ToolCall("b", "g"))),
        Turn("user", (ToolResult("a", (Text("old"),)), ToolResult("zz", (Text("lost"),)))),
        Turn("user", (ToolResult("a", (Text("new"),)),)),
    )
    body, encoded = encode(request(*turns))
    kinds = [(item["type"], item.get("call_id"), item.get("output")) for item in body["input"]]
    assert kinds == [
        ("function_call", "a", None),
        ("function_call", "b", None),
        ("function_call_output", "b", "Error: No result is available for this call."),
        ("function_call_output", "a", "new"),
        ("message", None, None),
    ]
    assert body["input"][-1]["content"][0]["text"] == "[tool result zz]"
    assert warned(encoded) == {"orphan_call", "orphan_result", "duplicate_result", "duplicate_call"}


def test_results_of_stored_calls_are_no_orphans():
    body, encoded = encode(
        request(
            Turn("user", (ToolResult("c1", (Text("ok"),)),)),
            dialect="responses",
            state=StateRef(previous_response_id="resp_1", store=True),
        )
    )
    assert body["input"] == [{"type": "function_call_output", "call_id": "c1", "output": "ok"}]
    assert (body["previous_response_id"], body["store"]) == ("resp_1", True)
    assert encoded.warnings == ()


def test_call_ids_are_made_legal_alike_for_call_and_result():
    name = "functions.bash:0" + "x" * 200
    call, output = items(Turn("assistant", (ToolCall(name, "f"),)), Turn("user", (ToolResult(name, (Text("ok"),)),)))
    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 64
    assert call["call_id"].startswith("call_")


def test_long_names_are_shortened_everywhere_and_restored():
    name = "mcp__" + "x" * 100
    tool = FunctionTool(name)
    body, encoded = encode(
        request(
            Turn("assistant", (ToolCall("c", name),)),
            Turn("user", (ToolResult("c"),)),
            tools=(tool,),
            tool_choice=ToolChoice("tool", name),
        )
    )
    short = body["tools"][0]["name"]
    assert len(short) == 64
    assert body["tool_choice"] == {"type": "function", "name": short}
    assert body["input"][0]["name"] == short
    assert encoded.restore.tools[short].name == name


def test_strict_is_explicit_unless_the_caller_speaks_this_dialect():
    tools = (FunctionTool("a", schema=Raw(b"{}")), FunctionTool("b", strict=True))
    chat, _ = encode(request(tools=tools))
    assert [tool["strict"] for tool in chat["tools"]] == [False, True]
    assert chat["tools"][1]["parameters"] == {"type": "object", "properties": {}}
    own, _ = encode(request(tools=tools, dialect="responses"))
    assert "strict" not in own["tools"][0]
    assert own["tools"][1]["parameters"] is None


def test_namespaces_and_custom_tools_at_the_origin():
    tools = (
        FunctionTool("g", namespace="ns", namespace_description="about"),
        CustomTool("p", "d", "lark", "start: x"),
        FunctionTool("h", namespace="ns"),
    )
    body, encoded = encode(request(tools=tools, dialect="responses", tool_choice=ToolChoice("tool", "p")))
    space, custom = body["tools"]
    assert (space["type"], space["description"], [tool["name"] for tool in space["tools"]]) == (
        "namespace",
        "about",
        ["g", "h"],
    )
    assert custom["format"] == {"type": "grammar", "definition": "start: x", "syntax": "lark"}
    assert body["tool_choice"] == {"type": "custom", "name": "p"}
    assert encoded.restore.tools == {}


def test_namespaces_and_custom_tools_elsewhere_are_flattened_wrapped_and_restored():
    tools = (FunctionTool("g", namespace="ns"), CustomTool("p", "d", "lark", "start: x"))
    turns = (
        Turn("assistant", (ToolCall("c1", "g", "", namespace="ns"), ToolCall("c2", "p", 'a"b', kind="text"))),
        Turn("user", (ToolResult("c1", (Text("1"),)), ToolResult("c2", (Text("2"),), kind="text"))),
    )
    body, encoded = encode(request(*turns, tools=tools, dialect="responses"), ENGINE)
    assert [tool["name"] for tool in body["tools"]] == ["ns__g", "p"]
    assert "start: x" in body["tools"][1]["description"]
    first, second, *outputs = body["input"]
    assert (first["name"], first["arguments"]) == ("ns__g", "{}")
    assert json.loads(second["arguments"]) == {"input": 'a"b'}
    assert {output["type"] for output in outputs} == {"function_call_output"}
    shapes = encoded.restore.tools
    assert (shapes["ns__g"].name, shapes["ns__g"].namespace) == ("g", "ns")
    assert (shapes["p"].name, shapes["p"].kind) == ("p", "text")


def test_hosted_and_typed_tools_of_others():
    tools = (
        HostedTool(
            "messages",
            "web_search",
            "web_search",
            Raw(b'{"allowed_domains":["a.test"],"user_location":{"type":"approximate","city":"Bern"}}'),
        ),
        HostedTool("messages", "code", "code_execution"),
        HostedTool("messages", "tool_search"),
        TypedTool("messages", "bash_20250124", "bash"),
        HostedTool("responses", "mcp", raw=Raw(b'{"type":"mcp","server_label":"x"}')),
    )
    body, encoded = encode(request(tools=tools, dialect="messages"))
    search, code, bash, mcp = body["tools"]
    assert search == {
        "type": "web_search",
        "filters": {"allowed_domains": ["a.test"]},
        "user_location": {"type": "approximate", "city": "Bern"},
    }
    assert code["type"] == "code_interpreter"
    assert (bash["type"], bash["name"], encoded.restore.tools["bash"].typed) == ("function", "bash", "bash_20250124")
    assert mcp == {"type": "mcp", "server_label": "x"}
    for tool in (HostedTool("messages", "web_fetch"), TypedTool("messages", "computer_20250124", "computer")):
        with pytest.raises(TranslationError):
            encode(request(tools=(tool,)))


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("required"), "required"),
        (ToolChoice("tool", "f"), {"type": "function", "name": "f"}),
        (
            ToolChoice("allowed", names=("f",), required=True),
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
        (ToolChoice("hosted", hosted="code"), {"type": "code_interpreter"}),
    ],
)
def test_tool_choice(choice, written):
    assert encode(request(tools=(FunctionTool("f"),), tool_choice=choice))[0]["tool_choice"] == written
    assert "tool_choice" not in encode(request(tool_choice=choice))[0]


def test_allowed_tools_fall_back():
    body, encoded = encode(
        request(tools=(FunctionTool("f"),), tool_choice=ToolChoice("allowed", names=("f",), required=True)), ENGINE
    )
    assert body["tool_choice"] == "required"
    assert "allowed_tools" in warned(encoded)


def test_only_own_thoughts_go_back_and_only_before_what_they_led_to():
    own = Reasoning(summary=("s",), carriers=(Carrier("openai.encrypted", "e", item_id="rs_1"),), id="rs_1")
    foreign = Reasoning(text="t", carriers=(Carrier("anthropic.signature", "x"),))
    other = Reasoning(carriers=(Carrier("openai.encrypted", "e2", provider="azure"),))
    turns = (HI, Turn("assistant", (own, foreign, other, Text("a"), own)), HI)
    thought, message = items(*turns)[1:3]
    assert thought == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "s"}],
        "encrypted_content": "e",
    }
    assert message["type"] == "message"
    assert [item["type"] for item in items(*turns)].count("reasoning") == 1


def test_stored_thoughts_go_back_by_their_id():
    turn = Turn("assistant", (Reasoning(summary=("s",), id="rs_1"), Text("a")))
    assert items(turn, dialect="responses")[0]["id"] == "rs_1"
    assert items(turn, dialect="responses", state=StateRef(store=False))[0]["type"] == "message"


def test_every_loss_is_declared():
    """A loss that is reported without being declared would fail only when it happens."""
    folder = Path(responses.__file__).parent
    named = {name for file in folder.glob("*.py") for name in re.findall(r'lose\("(\w+)"', file.read_text())}
    assert named
    assert named <= set(LOSSES)
    computed = {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
    }
    assert set(LOSSES) == named | computed


def test_open_engines_get_their_plain_thoughts_back():
    thought, _ = items(Turn("assistant", (Reasoning(text="t"), Text("a"))), profile=ENGINE)
    assert thought["content"] == [{"type": "reasoning_text", "text": "t"}]
    assert thought["id"].startswith("rs_")


def test_thoughts_without_an_id_get_one_that_stays():
    turn = Turn("assistant", (Reasoning(carriers=(Carrier("openai.encrypted", "e"),)), Text("a")))
    assert items(turn)[0]["id"] == items(turn)[0]["id"]


def test_raw_items_return_to_their_dialect_only():
    search = ServerCall("responses", "web_search", raw=Raw(b'{"type":"web_search_call","id":"ws_1"}'))
    unknown = Opaque("responses", "acme:x", Raw(b'{"type":"acme:x"}'))
    foreign = Opaque("messages", "x", Raw(b'{"type":"x"}'))
    body, encoded = encode(request(Turn("assistant", (search, unknown, foreign, Text("a"))), HI))
    assert [item["type"] for item in body["input"]] == ["web_search_call", "acme:x", "message", "message"]
    assert warned(encoded) == {"opaque"}


def test_compaction_text_is_sent_as_text_and_foreign_ones_are_refused():
    (item, _) = items(Turn("assistant", (Compaction(text="so far"),)), HI)
    assert item["content"][0]["text"] == "so far"
    (item, _) = items(Turn("assistant", (Compaction(carrier=Carrier("openai.encrypted", "e", item_id="cmp_1")),)), HI)
    assert item == {"type": "compaction", "encrypted_content": "e", "id": "cmp_1"}
    with pytest.raises(TranslationError):
        encode(request(Turn("assistant", (Compaction(carrier=Carrier("anthropic.redacted", "e")),)), HI))


def test_typed_items_round_trip():
    body = {
        "model": "m",
        "input": [
            {
                "type": "apply_patch_call",
                "id": "apc_1",
                "call_id": "c1",
                "status": "completed",
                "operation": {"type": "delete_file", "path": "a"},
            },
            {"type": "apply_patch_call_output", "call_id": "c1", "status": "failed", "output": "no"},
            {
                "type": "shell_call",
                "id": "sh_1",
                "call_id": "c2",
                "status": "completed",
                "action": {"commands": ["ls"]},
            },
            {
                "type": "shell_call_output",
                "call_id": "c2",
                "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
            },
        ],
        "tools": [{"type": "apply_patch"}, {"type": "shell"}],
    }
    decoded = RESPONSES.decode_request(json.dumps(body).encode())
    written, _ = encode(decoded)
    assert written["input"] == body["input"]
    assert written["tools"] == body["tools"]


def test_limits_and_sampling():
    sampling = Sampling(
        temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, seed=1, presence_penalty=1, frequency_penalty=1,
        logit_bias=Raw(b"{}"), logprobs=True, top_logprobs=2,
    )  # fmt: skip
    body, encoded = encode(request(max_output=5, sampling=sampling, stop=("x",)))
    assert (body["max_output_tokens"], body["temperature"], body["top_logprobs"]) == (16, 0.5, 2)
    assert body["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]
    assert warned(encoded) == {
        "max_output", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "stop",
    }  # fmt: skip
    body, _ = encode(request(max_output=5, sampling=Sampling(top_k=5)), ENGINE)
    assert (body["max_output_tokens"], body["top_k"]) == (5, 5)


@pytest.mark.parametrize(
    ("model", "effort", "kept"),
    [
        ("gpt-4.1", None, True),
        ("gpt-5", None, False),
        ("gpt-5-mini", None, False),
        ("gpt-5-chat-latest", None, True),
        ("gpt-5.1", None, True),
        ("gpt-5.1", "low", False),
        ("gpt-5.1", "none", True),
        ("o3", None, False),
        ("openai/o4-mini", None, False),
    ],
)
def test_sampling_is_dropped_where_the_model_reasons(model, effort, kept):
    what = structs.replace(
        request(sampling=Sampling(temperature=0.5)),
        model=model,
        reasoning=ReasoningConfig(effort=effort) if effort else None,
    )
    body, encoded = encode(what)
    assert ("temperature" in body) is kept
    assert ("temperature" in warned(encoded)) is not kept
    assert "temperature" in encode(structs.replace(what, dialect="responses"))[0]


@pytest.mark.parametrize(
    ("config", "written"),
    [
        (ReasoningConfig(effort="high"), {"effort": "high"}),
        (ReasoningConfig(budget=0), {"effort": "none"}),
        (ReasoningConfig(budget=1024, visible=True), {"effort": "low", "summary": "auto"}),
        (ReasoningConfig(budget=8192), {"effort": "medium"}),
        (ReasoningConfig(budget=16384), {"effort": "high"}),
        (ReasoningConfig(budget=32000), {"effort": "xhigh"}),
        (ReasoningConfig(budget=-1), None),
        (ReasoningConfig(adaptive=True, visible=True), {"summary": "auto"}),
    ],
)
def test_reasoning(config, written):
    assert encode(request(reasoning=config))[0].get("reasoning") == written


def test_output_format_and_verbosity_are_flat():
    output = OutputFormat("schema", None, None, Raw(b'{"type":"object"}'), False)
    body, _ = encode(request(output=output, verbosity="low"))
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}, "strict": False},
        "verbosity": "low",
    }
    assert encode(request(output=OutputFormat("json")))[0]["text"] == {"format": {"type": "json_object"}}


def test_extras_only_where_they_are_taken():
    what = request(metadata={"k": "v"}, end_user="u" * 200, service_tier="flex", cache=CacheHints(key="k"))
    body, _ = encode(what)
    assert (body["metadata"], body["service_tier"], body["prompt_cache_key"]) == ({"k": "v"}, "flex", "k")
    assert len(body["safety_identifier"]) <= 64
    body, encoded = encode(what, ENGINE)
    assert set(body) == {"model", "input"}
    assert {"metadata", "service_tier"} == set(warned(encoded))


@pytest.mark.parametrize(
    "fields",
    [{"n": 2}, {"modalities": ("text", "audio")}, {"state": StateRef(previous_response_id="x")}],
)
def test_what_would_change_the_answer_is_refused(fields):
    with pytest.raises(TranslationError):
        encode(request(**fields))


def test_own_extension_fields_go_back_and_foreign_ones_are_named():
    ext = {"truncation": Raw(b'"auto"'), "include": Raw(b'["file_search_call.results"]')}
    body, encoded = encode(request(dialect="responses", ext=ext))
    assert (body["truncation"], body["include"]) == ("auto", ["file_search_call.results"])
    body, encoded = encode(request(ext={"prediction": Raw(b"{}")}))
    assert "prediction" not in body
    assert warned(encoded) == {"prediction"}


def test_an_agents_request_round_trips():
    """What a coding agent sends comes out as it went in, where this API is on both sides."""
    body = {
        "model": "gpt-5.1-codex",
        "instructions": "You are a coding agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}], "id": "msg_1"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "blob"},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "exec_command",
                "arguments": '{"cmd": "ls"}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "apply_patch", "input": "***"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"},
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "definition": "g", "syntax": "lark"},
            },
            {
                "type": "namespace",
                "name": "multi_agent_v1",
                "description": "d",
                "tools": [{"type": "function", "name": "spawn", "parameters": {}, "strict": False}],
            },
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "client_metadata": {"x": "y"},
    }
    decoded = RESPONSES.decode_request(json.dumps(body).encode())
    assert encode(decoded)[0] == body


texts = st.text(max_size=4)
assistant_parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Reasoning, summary=st.just(("s",)), carriers=st.just((Carrier("openai.encrypted", "e"),))),
    st.builds(ToolCall, st.sampled_from(["a", "b", "c"]), st.just("f"), texts),
)
user_parts = st.one_of(
    st.builds(Text, texts),
    st.builds(ToolResult, st.sampled_from(["a", "b", "c"]), st.builds(Text, texts).map(lambda part: (part,))),
)
rounds = st.lists(
    st.tuples(
        st.lists(assistant_parts, min_size=1, max_size=3).map(lambda parts: Turn("assistant", tuple(parts))),
        st.lists(user_parts, min_size=1, max_size=3).map(lambda parts: Turn("user", tuple(parts))),
    ),
    max_size=3,
)


@given(rounds)
def test_any_history_is_paired_and_the_same_every_time(history):
    turns = (HI, *(turn for pair in history for turn in pair))
    written = items(*turns)
    assert written == items(*turns)
    calls = [item["call_id"] for item in written if item["type"] == "function_call"]
    outputs = [item["call_id"] for item in written if item["type"] == "function_call_output"]
    assert sorted(calls) == sorted(outputs)
    assert len(set(calls)) == len(calls)


@given(st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=settings().max_examples // 4)
def test_added_turns_leave_the_earlier_items_alone(length, width):
    def tour(number: int) -> list[Turn]:
        calls = tuple(ToolCall(f"c{number}_{n}", "f", "{}") for n in range(width))
        thought = Reasoning(carriers=(Carrier("openai.encrypted", f"e{number}"),))
        # One call is never answered, one is answered twice in the same turn.
        results = tuple(ToolResult(call.id, (Text("r"),)) for call in calls[1:])
        return [Turn("assistant", (thought, Text("t"), *calls)), Turn("user", (*results, Text("next")))]

    turns = [HI, *(turn for number in range(length) for turn in tour(number))]
    earlier = RESPONSES.encode_request(request(*turns), ORIGIN).body
    later = RESPONSES.encode_request(request(*turns, *tour(99)), ORIGIN).body
    start = earlier.index(b'"input":[')
    end = earlier.index(b'],"store"')
    assert later[start:end] == earlier[start:end]
