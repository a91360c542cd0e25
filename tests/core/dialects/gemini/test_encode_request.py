"""A neutral request, written for the Gemini API."""

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Encoded, Profile
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import (
    Audio,
    CacheHints,
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
    ReasoningConfig,
    Request,
    Sampling,
    StateRef,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    TypedTool,
    Url,
    Video,
)

ASK = Turn("user", (Text("hi"),))


def encode(model: str = "gemini-3-pro-preview", turns: tuple[Turn, ...] = (ASK,), **fields: Any) -> tuple[Any, Encoded]:
    encoded = GEMINI.encode_request(Request(**{"model": model, "dialect": "chat", "turns": turns, **fields}), Profile())
    return json.loads(encoded.body), encoded


def warned(encoded: Encoded) -> list[str]:
    return [warning.field for warning in encoded.warnings]


def test_the_body_names_neither_model_nor_stream() -> None:
    body, encoded = encode()
    assert body == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert (encoded.headers, encoded.warnings) == ([], ())


def test_every_knob_has_its_place() -> None:
    body, encoded = encode(
        sampling=Sampling(
            0.5, 0.9, 40, seed=7, presence_penalty=0.1, frequency_penalty=0.2, logprobs=True, top_logprobs=3
        ),
        max_output=100,
        stop=("a", "b"),
        n=2,
        modalities=("text", "image"),
        service_tier="default",
        output=OutputFormat("schema", schema=Raw(b'{"type":"object","properties":{"a":{"const":1}}}')),
    )
    assert body["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
        "responseLogprobs": True, "logprobs": 3, "candidateCount": 2, "maxOutputTokens": 100,
        "stopSequences": ["a", "b"], "responseModalities": ["TEXT", "IMAGE"], "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"a": {"enum": [1]}}},
    }  # fmt: skip
    assert body["serviceTier"] == "standard"
    assert encoded.warnings == ()


def test_what_cannot_be_said_is_named() -> None:
    _, encoded = encode(
        sampling=Sampling(min_p=0.1, logit_bias=Raw(b"{}")),
        stop=tuple("abcdef"),
        max_tool_calls=1,
        parallel_tools=False,
        tools=(FunctionTool("f", strict=True), FunctionTool("g")),
        service_tier="scale",
        verbosity="low",
        end_user="u",
        metadata={"a": "b"},
        cache=CacheHints(key="k"),
        ext={"odd": Raw(b"1")},
    )
    assert sorted(warned(encoded)) == sorted(
        ["min_p", "logit_bias", "stop", "max_tool_calls", "parallel_tools", "tools.strict", "service_tier", "odd"]
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"state": StateRef(previous_response_id="r")}, "previous_response_id"),
        ({"state": StateRef(conversation="c")}, "conversation"),
        ({"state": StateRef(background=True)}, "background"),
        ({"turns": (ASK, Turn("assistant", (Text("and"),)))}, "messages"),
        ({"turns": (Turn("user", (Text("a"), Image(FileId("chat", "f")))),)}, "messages"),
        ({"turns": (Turn("user", (Opaque("messages", "x", Raw(b"{}")),)),)}, "messages"),
        ({"tools": (HostedTool("responses", "mcp"),)}, "tools[0]"),
        ({"tools": (TypedTool("messages", "computer_20250124", "computer"),)}, "tools[0]"),
    ],
)
def test_what_would_change_the_meaning_is_refused(fields: Any, param: str) -> None:
    with pytest.raises(TranslationError) as caught:
        encode(**fields)
    assert caught.value.param == param


def file(uri: str, kind: str) -> dict[str, Any]:
    return {"fileData": {"fileUri": uri, "mimeType": kind}}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            Image(Inline("image/png", "a-_b"), "high"),
            {
                "inlineData": {"mimeType": "image/png", "data": "a+/b"},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
            },
        ),
        (Image(Url("https://x.de/a.webp?b")), file("https://x.de/a.webp?b", "image/webp")),
        (Video(Url("https://youtu.be/x", "video/*")), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (
            Document(Inline("application/pdf", "YQ=="), filename="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "YQ==", "displayName": "a.pdf"}},
        ),
        (Document(PlainText("long"), title="T"), {"text": "T\n\nlong"}),
        (Document(FileId("gemini", "gs://b/a.pdf")), file("gs://b/a.pdf", "application/pdf")),
        (
            Audio(Inline("application/octet-stream", "YQ=="), "mp3"),
            {"inlineData": {"mimeType": "audio/mp3", "data": "YQ=="}},
        ),
        (Opaque("gemini", "x", Raw(b'{"x":1}')), {"x": 1}),
    ],
)
def test_each_kind_of_part(part: Part, expected: Any) -> None:
    body, _ = encode(turns=(Turn("user", (part,)),))
    assert body["contents"][0]["parts"] == [expected]


def test_results_stand_apart_in_the_order_of_the_calls() -> None:
    body, encoded = encode(
        turns=(
            Turn("assistant", (Text("Hello."),)),
            ASK,
            Turn("assistant", (ToolCall("a", "f", '{"x":1.0}'), ToolCall("b", "g", "broken"), ToolCall("c", "h", ""))),
            Turn(
                "user",
                (ToolResult("b", (Text("no"),), is_error=True), Text("well?"), ToolResult("a", (Text('{"y":2}'),))),
            ),
            Turn("system", (Text("Be quick."),)),
        )
    )
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Continue."}]},
        {"role": "model", "parts": [{"text": "Hello."}]},
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "a", "name": "f", "args": {"x": 1.0}},
                    "thoughtSignature": "skip_thought_signature_validator",
                },
                {"functionCall": {"id": "b", "name": "g", "args": {"_raw": "broken"}}},
                {"functionCall": {"id": "c", "name": "h", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"error": "no"}}},
                {
                    "functionResponse": {
                        "id": "c",
                        "name": "h",
                        "response": {"error": "No result was recorded for this call."},
                    }
                },
            ],
        },
        {
            "role": "user",
            "parts": [{"text": "well?"}, {"text": "<system-reminder>\nBe quick.\n</system-reminder>"}],
        },
    ]
    assert warned(encoded) == ["tool_arguments", "tool_result_missing", "system_turn"]


@pytest.mark.parametrize(("model", "inside"), [("gemini-3-flash", True), ("gemini-2.5-flash", False)])
def test_media_of_a_result(model: str, inside: bool) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "YQ=="}}
    result = ToolResult("a", (Text("see"), Image(Inline("image/png", "YQ=="))))
    body, encoded = encode(model, (ASK, Turn("assistant", (ToolCall("a", "f"),)), Turn("user", (result,))))
    answer = body["contents"][2]["parts"][0]["functionResponse"]
    assert answer.get("parts") == ([picture] if inside else None)
    assert len(body["contents"]) == (3 if inside else 4)
    if not inside:
        assert body["contents"][3]["parts"][1] == picture
        assert warned(encoded) == ["tool_result_media"]


def test_tools_of_every_kind() -> None:
    tools: tuple[Tool, ...] = (
        FunctionTool("f", "does", Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"$schema":"x"}')),
        FunctionTool("empty", schema=Raw(b'{"type":"object","properties":{}}')),
        FunctionTool("in", namespace="ns"),
        FunctionTool("9 illegal"),
        CustomTool("patch", "p", "lark", "start: x"),
        TypedTool("messages", "bash_20250124", "bash"),
        HostedTool("responses", "web_search"),
        HostedTool("gemini", "maps", raw=Raw(b'{"googleMaps":{}}')),
    )
    body, encoded = encode(tools=tools, tool_choice=ToolChoice("tool", name="in"))
    declared = body["tools"][0]["functionDeclarations"]
    assert declared[0]["parametersJsonSchema"] == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert declared[1] == {"name": "empty"}
    names = [tool["name"] for tool in declared]
    assert names[:3] == ["f", "empty", "ns__in"]
    assert names[3].startswith("_9_illegal_")
    assert "start: x" in declared[4]["description"]
    assert body["tools"][1:] == [{"googleSearch": {}}, {"googleMaps": {}}]
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["ns__in"]},
        "includeServerSideToolInvocations": True,
    }
    assert warned(encoded) == ["custom_tool"]
    answer = {"candidates": [{"content": {"parts": [
        {"functionCall": {"name": "ns__in", "args": {}}},
        {"functionCall": {"name": names[3], "args": {}}},
        {"functionCall": {"name": "patch", "args": {"input": "a\n"}}},
        {"functionCall": {"name": "bash", "args": {"command": "ls"}}},
    ]}, "finishReason": "STOP"}]}  # fmt: skip
    (candidate,) = GEMINI.decode_response(json.dumps(answer).encode(), encoded.restore).candidates
    assert candidate.parts == (
        ToolCall("", "in", "{}", namespace="ns"),
        ToolCall("", "9 illegal", "{}"),
        ToolCall("", "patch", "a\n", "text"),
        ToolCall("", "bash", '{"command":"ls"}', typed="bash_20250124"),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("allowed", names=("f",), required=True), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("allowed", names=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: ToolChoice, expected: Any) -> None:
    body, _ = encode(tools=(FunctionTool("f"),), tool_choice=choice)
    assert body["toolConfig"]["functionCallingConfig"] == expected


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("gemini-2.5-flash", ReasoningConfig("none"), {"thinkingBudget": 0}),
        ("gemini-2.5-pro", ReasoningConfig("none"), {"thinkingBudget": 128}),
        ("gemini-2.5-flash", ReasoningConfig("low"), {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", ReasoningConfig("max"), {"thinkingBudget": 32768}),
        (
            "gemini-2.5-flash",
            ReasoningConfig(budget=99999, visible=True),
            {"thinkingBudget": 24576, "includeThoughts": True},
        ),
        ("gemini-2.5-flash", ReasoningConfig(budget=-1), {"thinkingBudget": -1}),
        ("gemini-3-flash-preview", ReasoningConfig("none"), {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        ("gemini-3-pro-preview", ReasoningConfig("minimal"), {"thinkingLevel": "LOW"}),
        ("gemini-3-pro-preview", ReasoningConfig("medium"), {"thinkingLevel": "HIGH"}),
        ("gemini-3.1-pro", ReasoningConfig("medium"), {"thinkingLevel": "MEDIUM"}),
        ("gemini-3.1-pro", ReasoningConfig("max"), {"thinkingLevel": "HIGH"}),
        (
            "gemini-3-flash",
            ReasoningConfig(budget=9000, summary="auto"),
            {"thinkingLevel": "MEDIUM", "includeThoughts": True},
        ),
        ("gemini-4-flash", ReasoningConfig("xhigh"), {"thinkingLevel": "XHIGH"}),
        ("gemini-2.0-flash", ReasoningConfig("high"), None),
        ("gemma-3-27b-it", ReasoningConfig("high"), None),
        ("gemini-flash-latest", ReasoningConfig("high"), {"thinkingLevel": "HIGH"}),
    ],
)
def test_reasoning_by_model(model: str, asked: ReasoningConfig, expected: Any) -> None:
    body, _ = encode(model, reasoning=asked)
    assert body.get("generationConfig", {}).get("thinkingConfig") == expected


def test_what_came_from_this_api_goes_back_unchanged() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "q"}, {"inlineData": {"mimeType": "image/png", "data": "YQ=="}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "a", "thoughtSignature": "YWJj"},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                    {"functionCall": {"id": "1", "name": "f", "args": {"a": 1.0}}, "thoughtSignature": "YWJk"},
                    {"functionCall": {"id": "2", "name": "f", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}}},
                    {"functionResponse": {"id": "2", "name": "f", "response": {"error": "y"}}},
                ],
            },
        ],
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [
            {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"properties": {"a": {}}}}]},
            {"codeExecution": {}},
        ],
        "toolConfig": {
            "retrievalConfig": {"languageCode": "de"},
            "functionCallingConfig": {"mode": "AUTO"},
            "includeServerSideToolInvocations": True,
        },
        "generationConfig": {"temperature": 1.0, "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
                             "speechConfig": {"x": 1}},
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "serviceTier": "flex",
        "labels": {"a": "b"},
        "store": False,
    }  # fmt: skip
    request = GEMINI.decode_request(json.dumps(body).encode())
    again, encoded = encode(
        **{field: getattr(request, field) for field in request.__struct_fields__ if field != "model"}
    )
    assert again == body
    assert encoded.warnings == ()


def test_instructions_stay_apart() -> None:
    body, _ = encode(instructions=(Instruction((Text("a"),)), Instruction((Text(""), Text("b")), "developer")))
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
