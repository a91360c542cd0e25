"""A neutral request becomes a body that the chosen model takes, and says what was lost."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from msgspec import Raw

from asgi_llm.dialects.interface import Encoded, Profile
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import (
    Audio,
    CacheHints,
    CacheMark,
    Carrier,
    Citation,
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
    Part,
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

NEW, OLD = "claude-opus-4-8", "claude-sonnet-4-5"


def user(*parts: Part | str) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Turn:
    return Turn("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def encode(*turns: Turn, model: str = NEW, provider: str = "anthropic", **fields: Any) -> Encoded:
    fields = {"dialect": "chat", "turns": turns or (user("hi"),), **fields}
    return MESSAGES.encode_request(
        Request(model=model, **fields), Profile(provider=provider, origin=provider == "anthropic")
    )


def body(*turns: Turn, **fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(*turns, **fields).body)
    return decoded


def messages(*turns: Turn, **fields: Any) -> list[tuple[str, list[Any]]]:
    return [(message["role"], message["content"]) for message in body(*turns, **fields)["messages"]]


def warned(*turns: Turn, **fields: Any) -> set[str]:
    return {warning.field for warning in encode(*turns, **fields).warnings}


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


CALL = ToolCall("c1", "f", '{"a": 1}')
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}


class TestConversation:
    def test_neighbours_of_one_role_become_one_message(self) -> None:
        assert messages(user("a"), user("b"), assistant("c"), assistant("d"), user("e")) == [
            ("user", [text("a"), text("b")]),
            ("assistant", [text("c"), text("d")]),
            ("user", [text("e")]),
        ]

    def test_results_come_first_and_in_the_order_of_the_calls(self) -> None:
        other = ToolCall("c2", "g", "")
        got = messages(
            user("go"),
            assistant(CALL, other),
            user("text before", ToolResult("c2", (Text("two"),)), ToolResult("c1", (Text("one"),), is_error=False)),
        )
        assert got[2] == (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one", "is_error": False},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                text("text before"),
            ],
        )
        assert got[1][1][1]["input"] == {}

    def test_results_that_come_late_move_behind_their_call(self) -> None:
        turns = user("go"), assistant(CALL), user("hm"), assistant("ok"), user(ToolResult("c1", (Text("late"),)), "x")
        assert messages(*turns) == [
            ("user", [text("go")]),
            ("assistant", [USE]),
            ("user", [{"type": "tool_result", "tool_use_id": "c1", "content": "late"}, text("hm")]),
            ("assistant", [text("ok")]),
            ("user", [text("x")]),
        ]

    def test_a_call_without_a_result_is_answered_by_an_error(self) -> None:
        turns = user("go"), assistant(CALL), user("never mind")
        result = messages(*turns)[2][1][0]
        assert (result["tool_use_id"], result["is_error"]) == ("c1", True)
        assert result["content"]
        assert warned(*turns) == {"tool_result_missing"}

    def test_a_result_without_a_call_becomes_text(self) -> None:
        turns = (user(ToolResult("c9", (Text("lost"),))),)
        assert messages(*turns) == [("user", [text("[tool result c9]"), text("lost")])]
        assert warned(*turns) == {"tool_result_orphan"}

    def test_of_two_results_the_last_counts(self) -> None:
        turns = user("go"), assistant(CALL), user(ToolResult("c1", (Text("a"),)), ToolResult("c1", (Text("b"),)))
        assert messages(*turns)[2][1] == [{"type": "tool_result", "tool_use_id": "c1", "content": "b"}]
        assert "tool_result_duplicate" in warned(*turns)

    def test_one_id_used_in_every_round_stays_apart(self) -> None:
        turns = []
        for round_ in "ab":
            turns += [assistant(CALL), user(ToolResult("c1", (Text(round_),)))]
        got = messages(user("go"), *turns)
        ids = [got[1][1][0]["id"], got[3][1][0]["id"]]
        assert ids[0] != ids[1]
        assert [(got[i][1][0]["tool_use_id"], got[i][1][0]["content"]) for i in (2, 4)] == [
            (ids[0], "a"),
            (ids[1], "b"),
        ]

    def test_parallel_calls_without_ids_are_answered_in_order(self) -> None:
        nameless = ToolCall("", "f", "{}")
        turns = user("go"), assistant(nameless, nameless), user(*(ToolResult("", (Text(t),)) for t in "ab"))
        got = messages(*turns)
        assert [block["id"] for block in got[1][1]] == [block["tool_use_id"] for block in got[2][1]]
        assert [block["content"] for block in got[2][1]] == ["a", "b"]

    def test_illegal_ids_are_hashed_alike_for_call_and_result(self) -> None:
        odd = "call.1__thought__" + "x" * 500
        got = messages(user("go"), assistant(ToolCall(odd, "f", "{}")), user(ToolResult(odd, (Text("r"),))))
        wire = got[1][1][0]["id"]
        assert wire == got[2][1][0]["tool_use_id"]
        assert wire.replace("_", "").isalnum()
        assert len(wire) < 64

    def test_a_user_begins(self) -> None:
        assert messages(assistant("hello"), user("x"))[0] == ("user", [text("Continue.")])
        assert messages(Turn("user", ())) == [("user", [text("(no content)")])]
        assert body(instructions=(Instruction((Text("s"),)),), turns=())["messages"]

    def test_empty_text_and_empty_messages_vanish(self) -> None:
        assert messages(user("a", ""), assistant(""), user("b")) == [("user", [text("a"), text("b")])]

    def test_text_of_white_space_only_vanishes_too(self) -> None:
        late = Turn("system", (Text("\n"),))
        result = ToolResult("c", (Text(" "), Text("r")))
        called = assistant("\n\n", ToolCall("c", "f", "{}"))
        got = messages(user(" "), called, user(result, "\t"), late, assistant(" x"), user("y"))
        assert got[0] == ("user", [text("(no content)")])
        assert [block["type"] for block in got[1][1]] == ["tool_use"]
        assert got[2] == ("user", [{"type": "tool_result", "tool_use_id": "c", "content": [text("r")]}])
        assert got[3:] == [("assistant", [text(" x")]), ("user", [text("y")])]

    def test_leading_instructions_are_hoisted_block_by_block(self) -> None:
        got = body(instructions=(Instruction((Text("A", cache=CacheMark("1h")),)), Instruction((Text("B"),))))
        assert got["system"] == [{**text("A"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}, text("B")]

    def test_system_in_mid_conversation_keeps_its_role_where_the_model_allows(self) -> None:
        turns = user("a"), Turn("developer", (Text("env"),)), assistant("b"), Turn("system", (Text("late"),))
        assert messages(*turns, user("c"))[1] == ("system", [text("env")])
        wrapped = text("<system-reminder>\nenv\n</system-reminder>")
        assert messages(*turns, user("c"), model=OLD)[0] == ("user", [text("a"), wrapped])
        # After an assistant's message no model takes it.
        assert messages(*turns, user("c"))[3][1][0] == text("<system-reminder>\nlate\n</system-reminder>")

    def test_foreign_thoughts_stay_home(self) -> None:
        signed = Reasoning("t", carriers=(Carrier("anthropic.signature", "sig"),))
        hidden = Reasoning(carriers=(Carrier("anthropic.redacted", "enc"),), redacted=True)
        foreign = Reasoning("x", carriers=(Carrier("openai.encrypted", "e"),))
        assert messages(user("a"), assistant(signed, hidden, foreign, Reasoning("y"), "b"), user("c"))[1][1] == [
            {"type": "thinking", "thinking": "t", "signature": "sig"},
            {"type": "redacted_thinking", "data": "enc"},
            text("b"),
        ]

    def test_what_other_providers_tools_found_survives_as_text(self) -> None:
        call = ServerCall("responses", "web_search", id="w", raw=Raw(b"{}"))
        turns = user("a"), assistant(call, ServerResult("responses", "web_search", text="found"), "b"), user("c")
        assert messages(*turns)[1][1] == [text("found"), text("b")]
        assert warned(*turns) == {"history_content", "server_tool_history"}

    def test_own_server_blocks_and_unknown_blocks_go_back_as_they_were(self) -> None:
        raw = b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"q": 1.0}}'
        streamed = b'{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'
        odd = b'{"type":"hologram", "n": 1.0}'
        turns = (
            user("a"),
            assistant(
                ServerCall("messages", "web_search", arguments='{"q": 1.0}', raw=Raw(raw)),
                ServerCall("messages", "web_search", arguments='{"q": 1.0}', raw=Raw(streamed)),
                Opaque("messages", "hologram", Raw(odd)),
            ),
        )
        got = encode(*turns).body
        assert raw in got
        assert odd in got
        assert got.count(b'"input":{"q": 1.0}') == 2

    def test_citations_of_this_api_go_back(self) -> None:
        own = Citation("messages", raw=Raw(b'{"type":"char_location"}'))
        foreign = Citation("chat", url="https://x")
        got = messages(user("a"), assistant(Text("b", (own, foreign)), Text("c", (foreign,))), user("d"))[1][1]
        assert got == [{**text("b"), "citations": [{"type": "char_location"}]}, text("c")]

    def test_refusals_are_text(self) -> None:
        assert messages(user("a"), assistant(Refusal("no")), user("b"))[1] == ("assistant", [text("no")])

    @pytest.mark.parametrize(
        ("arguments", "written"),
        [
            ("", {}),
            (" \n", {}),
            ('{"a":', {"_raw": '{"a":'}),
            ("[1]", {"_raw": "[1]"}),
            ("null", {"_raw": "null"}),
            ("[" * 9999, {"_raw": "[" * 9999}),
        ],
    )
    def test_arguments_that_are_no_object(self, arguments: str, written: Any) -> None:
        got = messages(user("a"), assistant(ToolCall("1", "f", arguments)), user(ToolResult("1")))
        assert got[1][1][0]["input"] == written

    def test_arguments_are_spliced_in_exactly(self) -> None:
        arguments = '{"z": 12345678901234567890123, "a": 1.0}'
        got = encode(user("a"), assistant(ToolCall("1", "f", arguments)), user(ToolResult("1")))
        assert b'"input":' + arguments.encode() in got.body

    def test_free_text_calls_are_wrapped(self) -> None:
        got = messages(user("a"), assistant(ToolCall("1", "p", 'say "x"', kind="text")), user(ToolResult("1")))
        assert got[1][1][0]["input"] == {"input": 'say "x"'}

    def test_prefill(self) -> None:
        with pytest.raises(TranslationError) as caught:
            encode(user("a"), assistant("b"))
        assert caught.value.param == "messages"
        assert messages(user("a"), assistant("b \n"), model=OLD)[1] == ("assistant", [text("b")])

    def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter(self) -> None:
        turns = [
            user("a"),
            assistant(Reasoning("t", carriers=(Carrier("anthropic.signature", "s"),)), CALL),
            user(ToolResult("c1", (Text("r"),)), "more"),
            assistant("x", ToolCall("c.2", "g", "bad")),
            user(ToolResult("c.2", (Text("r"),))),
            Turn("system", (Text("s"),)),
            assistant("y"),
            user("end"),
        ]
        for model in (NEW, OLD):
            blocks = []
            for count in (1, 3, 5, 8):
                got = messages(*turns[:count], model=model)
                blocks.append([(role, json.dumps(block)) for role, content in got for block in content])
            for shorter, longer in pairwise(blocks):
                assert longer[: len(shorter)] == shorter


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 20).decode()


class TestMedia:
    def test_a_wrong_label_is_corrected_by_the_bytes(self) -> None:
        got = messages(user(Image(Inline("image/jpeg", PNG)), Image(Inline("image/jpg", "AAAA"))))[0][1]
        assert [block["source"]["media_type"] for block in got] == ["image/png", "image/jpeg"]
        assert got[0]["source"]["data"] == PNG

    def test_addresses_and_documents(self) -> None:
        pdf = base64.b64encode(b"%PDF-1.7 ....").decode()
        got = messages(
            user(
                Image(Url("https://x/y.png"), detail="low"),
                Document(Inline("application/pdf", pdf), filename="a.pdf"),
                Document(PlainText("words"), title="T", context="C", cite=True),
                Document(Inline("text/markdown", base64.b64encode("# é".encode()).decode())),
                Document(Url("https://x/y.pdf")),
                Image(FileId("messages", "file_1")),
            )
        )[0][1]
        assert got == [
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": pdf},
                "title": "a.pdf",
            },
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                "title": "T",
                "context": "C",
                "citations": {"enabled": True},
            },
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "# é"}},
            {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ]

    @pytest.mark.parametrize(
        "part",
        [
            Audio(Inline("audio/wav", "AAAA")),
            Video(Url("https://x/v")),
            Image(Inline("image/tiff", "AAAA")),
            Image(Url("file:///etc/passwd")),
            Image(FileId("responses", "file_1")),
            Document(Inline("application/msword", "AAAA")),
            Document(Inline("text/plain", "////")),
            Opaque("chat", "odd", Raw(b"{}")),
            ToolResult("c1", (Audio(Inline("audio/wav", "AAAA")),)),
        ],
    )
    def test_what_cannot_be_sent_is_refused_by_place(self, part: Part) -> None:
        with pytest.raises(TranslationError) as caught:
            encode(user("go"), assistant(CALL), user(ToolResult("c1"), part))
        assert caught.value.param == "messages", "a caller of Chat Completions has no such numbers"
        with pytest.raises(TranslationError) as caught:
            encode(user("go"), assistant(CALL), user(ToolResult("c1"), part), dialect="gemini")
        assert caught.value.param == "contents[2].parts[1]"

    def test_results_keep_their_images(self) -> None:
        turns = user("go"), assistant(CALL), user(ToolResult("c1", (Text("see"), Image(Inline("image/png", PNG)))))
        content = messages(*turns)[2][1][0]["content"]
        assert [block["type"] for block in content] == ["text", "image"]

    def test_an_empty_error_says_so(self) -> None:
        turns = user("go"), assistant(CALL), user(ToolResult("c1", (), is_error=True))
        assert messages(*turns)[2][1][0]["content"] == "Error"


OBJECT = Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"x-order": 1.0}')


class TestTools:
    def test_a_plain_schema_goes_out_byte_for_byte(self) -> None:
        assert bytes(OBJECT) in encode(tools=(FunctionTool("f", schema=OBJECT),)).body
        assert body(tools=(FunctionTool("f"),))["tools"] == [
            {"name": "f", "input_schema": {"type": "object", "properties": {}}}
        ]

    def test_roots_that_are_no_plain_object_are_rewritten(self) -> None:
        union = Raw(b'{"anyOf":[{"type":"object","properties":{"a":{}}},{"properties":{"b":{}}}]}')
        encoded = encode(tools=(FunctionTool("f", schema=union), FunctionTool("g", schema=Raw(b'{"type":"string"}'))))
        first, second = json.loads(encoded.body)["tools"]
        assert first["input_schema"] == {"type": "object", "properties": {"a": {}, "b": {}}}
        assert second["input_schema"] == {"type": "object", "properties": {}}
        assert {warning.field for warning in encoded.warnings} == {"tool_schema"}

    def test_schemas_of_absurd_depth_do_no_harm(self) -> None:
        for depth in (500, 5000):
            deep = b'{"anyOf":[' * depth + b"{}" + b"]}" * depth
            encode(tools=(FunctionTool("f", schema=Raw(deep)),))
            closed = b'{"type":"object","anyOf":[' * depth + b"{}" + b"]}" * depth
            encode(output=OutputFormat("schema", schema=Raw(closed)))

    def test_names_are_made_legal_in_tools_choice_and_history(self) -> None:
        odd = "mcp.server/" + "n" * 140
        encoded = encode(
            user("go"),
            assistant(ToolCall("1", odd, "{}")),
            user(ToolResult("1")),
            tools=(FunctionTool(odd), FunctionTool("f", namespace="ns")),
            tool_choice=ToolChoice("tool", name=odd),
        )
        got = json.loads(encoded.body)
        wire = got["tools"][0]["name"]
        assert len(wire) == 128
        assert got["tool_choice"]["name"] == got["messages"][1]["content"][0]["name"] == wire
        assert got["tools"][1]["name"] == "ns__f"
        assert encoded.restore.tools[wire].name == odd
        assert (encoded.restore.tools["ns__f"].name, encoded.restore.tools["ns__f"].namespace) == ("f", "ns")

    def test_free_text_and_typed_tools_become_functions(self) -> None:
        encoded = encode(
            tools=(
                CustomTool("patch", "Edits.", syntax="lark", grammar="start: x"),
                TypedTool("responses", "shell", "shell"),
                TypedTool("responses", "local_shell", "local_shell"),
                TypedTool("responses", "apply_patch", "apply_patch"),
                TypedTool("messages", "bash_20250124", "bash", Raw(b'{"type":"bash_20250124","name":"bash"}')),
            )
        )
        custom, shell, local, patch, bash = json.loads(encoded.body)["tools"]
        assert custom["input_schema"]["required"] == ["input"]
        assert "start: x" in custom["description"]
        # What the items of their calls hold, and no other names for it.
        assert shell["input_schema"]["required"] == ["commands"]
        assert list(local["input_schema"]["properties"]) == ["command", "working_directory", "timeout_ms", "env"]
        assert list(patch["input_schema"]["properties"]) == ["type", "path", "diff"]
        assert bash == {"type": "bash_20250124", "name": "bash"}
        assert encoded.restore.tools["patch"].kind == "text"
        assert encoded.restore.tools["shell"].typed == "shell"

    def test_tools_of_the_history_are_declared(self) -> None:
        got = body(user("go"), assistant(CALL), user(ToolResult("c1")))
        assert got["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
        assert got["tool_choice"] == {"type": "none"}

    def test_web_search_crosses_over(self) -> None:
        place = b'"user_location":{"type":"approximate","city":"Bonn"}'
        raw = b'{"type":"web_search","filters":{"allowed_domains":["a.b"]},' + place + b"}"
        tool = HostedTool("responses", "web_search", raw=Raw(raw))
        assert body(tools=(tool,))["tools"] == [
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "allowed_domains": ["a.b"],
                "user_location": {"type": "approximate", "city": "Bonn"},
            }
        ]

    def test_provider_run_tools_are_refused_where_nobody_runs_them(self) -> None:
        for model, provider, tool in (
            ("qwen", "vllm", HostedTool("messages", "web_search", raw=Raw(b"{}"))),
            (NEW, "anthropic", HostedTool("responses", "file_search")),
        ):
            with pytest.raises(TranslationError) as caught:
                encode(model=model, provider=provider, tools=(tool,))
            assert caught.value.param == "tools.0"

    @pytest.mark.parametrize(
        ("choice", "parallel", "written"),
        [
            (None, None, None),
            (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
            (ToolChoice("auto"), None, {"type": "auto"}),
            (ToolChoice("none"), False, {"type": "none"}),
            (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
            (ToolChoice("tool", name="f"), True, {"type": "tool", "name": "f"}),
            (ToolChoice("allowed", names=("f", "g"), required=True), None, {"type": "any"}),
            (ToolChoice("allowed", names=("f",), required=True), None, {"type": "tool", "name": "f"}),
        ],
    )
    def test_choice(self, choice: ToolChoice | None, parallel: bool | None, written: Any) -> None:
        tools = FunctionTool("f"), FunctionTool("g")
        got = body(tools=tools, tool_choice=choice, parallel_tools=parallel)
        assert got.get("tool_choice") == written
        assert "tool_choice" not in body(tool_choice=choice, parallel_tools=parallel)

    def test_a_forced_choice_the_model_refuses_is_asked_for_in_words(self) -> None:
        fields: dict[str, Any] = {"tools": (FunctionTool("f"),), "tool_choice": ToolChoice("tool", name="f")}
        got = body(model="claude-opus-5-5", **fields)
        assert got["tool_choice"] == {"type": "auto"}
        assert "the tool f" in got["system"][-1]["text"]
        assert warned(model="claude-opus-5-5", **fields) == {"tool_choice.forced"}

    def test_a_forced_choice_ends_thinking_by_budget_only(self) -> None:
        fields: dict[str, Any] = {
            "tools": (FunctionTool("f"),),
            "tool_choice": ToolChoice("required"),
            "reasoning": ReasoningConfig(budget=2000),
        }
        assert "thinking" not in body(model=OLD, **fields)
        assert body(model=NEW, **fields)["thinking"] == {"type": "adaptive"}

    def test_deferred_tools_need_a_search_tool(self) -> None:
        tool = FunctionTool("f", defer_loading=True)
        search = HostedTool("messages", "tool_search", raw=Raw(b'{"type":"tool_search_tool_bm25_20251119"}'))
        assert "defer_loading" not in body(tools=(tool,))["tools"][0]
        assert body(tools=(tool, search))["tools"][0]["defer_loading"] is True


class TestOutput:
    SCHEMA = Raw(b'{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}')

    def test_a_schema_is_closed_and_its_limits_are_told_in_words(self) -> None:
        got = body(output=OutputFormat("schema", name="x", schema=self.SCHEMA, strict=False))
        form = got["output_config"]["format"]
        assert form["schema"]["additionalProperties"] is False
        assert form["schema"]["properties"]["n"] == {"type": "integer", "description": "minimum: 1"}

    def test_a_fitting_schema_goes_out_byte_for_byte(self) -> None:
        schema = Raw(b'{"type":"object","properties":{},"additionalProperties":false,"x": 1.0}')
        encoded = encode(output=OutputFormat("schema", schema=schema, strict=True))
        assert bytes(schema) in encoded.body
        assert encoded.warnings == ()

    def test_older_models_answer_through_a_tool(self) -> None:
        encoded = encode(model="claude-sonnet-4-0", output=OutputFormat("schema", schema=self.SCHEMA))
        got = json.loads(encoded.body)
        assert encoded.restore.unwrap_output == got["tools"][0]["name"] == got["tool_choice"]["name"]
        assert got["tools"][0]["input_schema"] == json.loads(bytes(self.SCHEMA))

    def test_a_list_for_an_older_model_is_asked_for_in_words(self) -> None:
        encoded = encode(model="qwen", output=OutputFormat("schema", schema=Raw(b'{"type":"array"}')))
        assert encoded.restore.unwrap_output is None
        assert '{"type":"array"}' in json.loads(encoded.body)["system"][-1]["text"]

    def test_json_is_asked_for_in_words(self) -> None:
        assert "JSON" in body(output=OutputFormat("json"))["system"][-1]["text"]
        assert warned(output=OutputFormat("json")) == {"output.json"}


class TestThinking:
    @pytest.mark.parametrize(
        ("model", "asked", "thinking", "effort"),
        [
            (NEW, ReasoningConfig(effort="minimal"), {"type": "adaptive"}, "low"),
            (
                NEW,
                ReasoningConfig(effort="xhigh", visible=True),
                {"type": "adaptive", "display": "summarized"},
                "xhigh",
            ),
            ("claude-opus-4-6", ReasoningConfig(effort="xhigh"), {"type": "adaptive"}, "high"),
            (NEW, ReasoningConfig(effort="none"), {"type": "disabled"}, None),
            ("claude-opus-5-5", ReasoningConfig(effort="none"), None, "low"),
            ("claude-opus-5-5", ReasoningConfig(budget=20_000), {"type": "adaptive"}, "high"),
            (NEW, ReasoningConfig(budget=5000), {"type": "enabled", "budget_tokens": 5000}, None),
            (NEW, ReasoningConfig(budget=-1, adaptive=True), {"type": "adaptive"}, None),
            (OLD, ReasoningConfig(effort="medium"), {"type": "enabled", "budget_tokens": 8192}, None),
            (OLD, ReasoningConfig(effort="low", budget=3000), {"type": "enabled", "budget_tokens": 3000}, None),
            (OLD, ReasoningConfig(adaptive=True), {"type": "enabled", "budget_tokens": 8192}, None),
            ("deepseek", ReasoningConfig(effort="high"), {"type": "enabled", "budget_tokens": 16384}, None),
            ("claude-3-5-haiku", ReasoningConfig(effort="high"), None, None),
            (NEW, ReasoningConfig(summary="auto"), None, None),
        ],
    )
    def test_by_model(self, model: str, asked: ReasoningConfig, thinking: Any, effort: str | None) -> None:
        got = body(model=model, reasoning=asked)
        assert got.get("thinking") == thinking
        assert got.get("output_config", {}).get("effort") == effort
        if thinking and thinking["type"] == "enabled":
            assert got["max_tokens"] > thinking["budget_tokens"]

    def test_the_callers_limit_stands_above_the_budget(self) -> None:
        got = body(model=OLD, reasoning=ReasoningConfig(effort="high"), max_output=3000)
        assert (got["max_tokens"], got["thinking"]["budget_tokens"]) == (3000, 2250)
        named = body(model=OLD, reasoning=ReasoningConfig(budget=9000), max_output=3000)
        assert (named["max_tokens"], named["thinking"]["budget_tokens"]) == (3000, 2999)
        tiny = encode(model=OLD, reasoning=ReasoningConfig(effort="high"), max_output=500)
        assert "thinking" not in json.loads(tiny.body)
        assert {warning.field for warning in tiny.warnings} == {"reasoning"}

    def test_the_limit_is_raised_for_all_the_thinking_there_is(self) -> None:
        got = body(model=OLD, reasoning=ReasoningConfig(effort="max"))
        assert got["max_tokens"] - 1 == got["thinking"]["budget_tokens"] > 32_000

    def test_an_older_model_does_not_think_in_a_loop_begun_without(self) -> None:
        turns = user("go"), assistant(CALL), user(ToolResult("c1"))
        fields: dict[str, Any] = {"tools": (FunctionTool("f"),), "reasoning": ReasoningConfig(effort="low")}
        assert "thinking" not in body(*turns, model=OLD, **fields)
        assert "thinking" in body(*turns, model=NEW, **fields)

    def test_effort_alone_from_this_api_stays_alone(self) -> None:
        got = body(dialect="messages", reasoning=ReasoningConfig(effort="high"))
        assert "thinking" not in got
        assert got["output_config"] == {"effort": "high"}

    def test_between_tools(self) -> None:
        asked = ReasoningConfig(adaptive=True, raw=Raw(b'{"type":"between_tools"}'))
        got = body(dialect="messages", model="claude-sonnet-5-5", reasoning=asked)
        assert got["thinking"] == {"type": "between_tools"}
        assert body(dialect="messages", model=NEW, reasoning=asked)["thinking"] == {"type": "adaptive"}


class TestKnobs:
    def test_sampling_where_the_model_takes_it(self) -> None:
        sampling = Sampling(temperature=1.5, top_p=0.5, top_k=3, seed=1)
        got = encode(model=OLD, sampling=sampling)
        decoded = json.loads(got.body)
        assert (decoded["temperature"], decoded["top_k"]) == (1.0, 3)
        assert "top_p" not in decoded
        assert {warning.field for warning in got.warnings} == {"temperature", "top_p", "seed"}
        assert (b"anthropic-version", b"2023-06-01") in got.headers

    def test_sampling_where_it_is_not_taken(self) -> None:
        sampling = Sampling(temperature=0.5, top_p=0.5)
        assert not {"temperature", "top_p"} & body(sampling=sampling).keys()
        assert warned(sampling=sampling) == {"temperature", "top_p"}
        thinking = ReasoningConfig(effort="low")
        assert "temperature" not in body(model=OLD, sampling=sampling, reasoning=thinking)
        both = body(model="qwen", sampling=sampling)
        assert (both["temperature"], both["top_p"]) == (0.5, 0.5)

    def test_limits(self) -> None:
        assert body()["max_tokens"] == 4096
        assert body(model="claude-3-haiku-20240307", max_output=9999)["max_tokens"] == 4096
        assert body(model="qwen", max_output=999_999)["max_tokens"] == 999_999

    def test_stop_user_tier_stream(self) -> None:
        got = body(stop=("a", " \n"), end_user="u1", service_tier="default", stream=StreamOptions(on=True))
        assert got["stop_sequences"] == ["a"]
        assert got["metadata"] == {"user_id": "u1"}
        assert (got["service_tier"], got["stream"]) == ("standard_only", True)
        assert warned(stop=(" ",), service_tier="flex") == {"stop", "service_tier"}

    @pytest.mark.parametrize("who", ["a@b.c", "x" * 129])
    def test_addresses_and_long_ids_are_hashed(self, who: str) -> None:
        sent = body(end_user=who)["metadata"]["user_id"]
        assert len(sent) == 64
        assert "@" not in sent

    def test_a_mark_of_an_hour_never_comes_behind_one_of_five_minutes(self) -> None:
        hour, short = CacheMark("1h"), CacheMark()
        said = Turn("user", (Text("a", cache=hour), Text("b", cache=short), Text("c", cache=hour)))
        ttls = [block["cache_control"].get("ttl") for block in body(said)["messages"][0]["content"]]
        assert ttls == ["1h", None, None]

    def test_four_cache_marks_at_most(self) -> None:
        mark = CacheMark()
        turns = [user(Text(str(i), cache=mark)) for i in range(4)]
        encoded = encode(
            *turns,
            instructions=(Instruction((Text("s", cache=mark),)),),
            tools=(FunctionTool("f", cache=mark),),
            cache=CacheHints(key="k"),
        )
        got = json.loads(encoded.body)
        assert encoded.body.count(b"cache_control") == 4
        assert "cache_control" in got
        assert ["cache_control" in block for block in got["messages"][0]["content"]] == [False, False, False, True]
        assert "cache" in {warning.field for warning in encoded.warnings}

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"n": 2}, "n"),
            ({"state": StateRef(previous_response_id="r")}, "previous_response_id"),
            ({"state": StateRef(conversation="c")}, "conversation"),
            ({"state": StateRef(background=True)}, "background"),
            ({"modalities": ("text", "audio")}, "modalities"),
        ],
    )
    def test_refused(self, fields: dict[str, Any], param: str) -> None:
        with pytest.raises(TranslationError) as caught:
            encode(**fields)
        assert caught.value.param == param

    def test_own_extra_fields_pass_and_foreign_ones_are_named(self) -> None:
        ext = {"context_management": Raw(b'{"edits": []}')}
        assert body(dialect="messages", ext=ext)["context_management"] == {"edits": []}
        assert "context_management" not in body(ext=ext)
        assert warned(ext=ext) == {"context_management"}

    def test_foreign_fields_that_nobody_can_miss_are_not_named(self) -> None:
        assert warned(ext={"client_metadata": Raw(b'{"session":"s"}')}) == set()

    def test_the_same_request_gives_the_same_bytes(self) -> None:
        fields: dict[str, Any] = {"tools": (FunctionTool("a.b", schema=OBJECT), CustomTool("c")), "end_user": "e@f"}
        assert encode(user("x"), **fields) == encode(user("x"), **fields)
