"""A caller's generateContent body, read."""

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.errors import ClientError, TranslationError
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Document,
    FileId,
    FunctionTool,
    HostedTool,
    Image,
    Inline,
    Opaque,
    OutputFormat,
    Part,
    ReasoningConfig,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Url,
    Video,
)

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def decode(body: Any) -> Request:
    return GEMINI.decode_request(json.dumps(body).encode())


def part(wire: Any) -> Part:
    (turn,) = decode({"contents": [{"role": "user", "parts": [wire]}]}).turns
    (found,) = turn.parts
    return found


def test_model_and_stream_are_left_to_the_path() -> None:
    request = decode({"contents": HI, "model": "models/other"})
    assert (request.model, request.stream.on, request.dialect) == ("", False, "gemini")
    assert request.turns == (Turn("user", (Text("hi"),)),)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"text": "x", "partMetadata": {"k": 1}}, Text("x")),
        ({"inlineData": {"mimeType": "image/png", "data": "a-_b"}}, Image(Inline("image/png", "a+/b"))),
        ({"inline_data": {"mime_type": "IMAGE/PNG", "data": "YQ"}}, Image(Inline("image/png", "YQ=="))),
        (
            {
                "inlineData": {"mimeType": "image/png", "data": "YQ=="},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
            Image(Inline("image/png", "YQ=="), "low"),
        ),
        ({"inlineData": {"mimeType": "audio/x-wav", "data": "YQ=="}}, Audio(Inline("audio/x-wav", "YQ=="), "wav")),
        ({"inlineData": {"mimeType": "video/mp4", "data": "YQ=="}}, Video(Inline("video/mp4", "YQ=="))),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "YQ==", "displayName": "a.pdf"}},
            Document(Inline("application/pdf", "YQ=="), filename="a.pdf"),
        ),
        ({"fileData": {"fileUri": "https://x.de/a.jpg"}}, Image(Url("https://x.de/a.jpg", "image/jpeg"))),
        ({"file_data": {"file_uri": "https://youtu.be/x"}}, Video(Url("https://youtu.be/x", "video/*"))),
        (
            {"fileData": {"fileUri": "gs://b/a", "mimeType": "application/pdf"}},
            Document(FileId("gemini", "gs://b/a")),
        ),
        (
            {
                "fileData": {
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a",
                    "mimeType": "image/png",
                }
            },
            Image(FileId("gemini", "https://generativelanguage.googleapis.com/v1beta/files/a")),
        ),
        (
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            ServerCall(
                "gemini",
                "code",
                name="code_execution",
                arguments='{"language":"PYTHON","code":"1"}',
                raw=Raw(b'{"executableCode": {"language": "PYTHON", "code": "1"}}'),
            ),
        ),
        (
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
            ServerResult(
                "gemini",
                "code",
                text="2",
                raw=Raw(b'{"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}'),
            ),
        ),
        ({"hologram": {"a": 1}}, Opaque("gemini", "hologram", Raw(b'{"hologram": {"a": 1}}'))),
    ],
)
def test_each_kind_of_part(wire: Any, expected: Part) -> None:
    assert part(wire) == expected


def test_a_video_that_is_cut_stays_as_it_is() -> None:
    found = part({"fileData": {"fileUri": "gs://b/v"}, "videoMetadata": {"fps": 1}})
    assert isinstance(found, Opaque)


def test_results_find_their_calls_by_id_then_by_name_and_order() -> None:
    def call(name: str, number: int, call_id: str | None = None) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {"n": number}} | ({"id": call_id} if call_id else {})}

    def result(name: str, text: str, call_id: str | None = None) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"output": text}} | ({"id": call_id} if call_id else {})}

    request = decode(
        {
            "contents": [
                *HI,
                {"role": "model", "parts": [call("f", 1), call("g", 2), call("f", 3), call("f", 4, "own")]},
                {
                    "role": "function",
                    "parts": [result("f", "4", "own"), result("g", "2"), result("f", "1"), result("f", "3")],
                },
                {"role": "model", "parts": [call("f", 5)]},
                {"role": "user", "parts": [result("f", "5"), result("h", "none")]},
            ]
        }
    )
    calls = {p.id: p.arguments for turn in request.turns for p in turn.parts if isinstance(p, ToolCall)}
    assert len(calls) == 5
    results = [p for turn in request.turns for p in turn.parts if isinstance(p, ToolResult)]
    for found in results[:-1]:
        assert found.parts == (Text(json.loads(calls[found.call_id])["n"].__str__()),)
    assert results[-1].call_id not in calls


def test_ids_that_were_not_given_are_the_same_when_the_conversation_comes_back_longer() -> None:
    step = [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]
    step.append({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]})
    shorter, longer = decode({"contents": [*HI, *step]}), decode({"contents": [*HI, *step, *step]})
    assert longer.turns[: len(shorter.turns)] == shorter.turns
    assert longer.turns[1].parts != longer.turns[3].parts


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "x"}, "x", None),
        ({"result": {"a": [1.50]}}, '{"a":[1.5]}', None),
        ({"error": "no"}, "no", True),
        ({"output": 5}, "5", None),
        ({"return_value": "x"}, '{"return_value":"x"}', None),
        ({"output": "x", "more": 1}, '{"output":"x","more":1}', None),
        ({}, "{}", None),
    ],
)
def test_a_result_is_unwrapped(response: Any, text: str, is_error: bool | None) -> None:
    found = part({"functionResponse": {"name": "f", "id": "1", "response": response}})
    assert found == ToolResult("1", (Text(text),), name="f", is_error=is_error)


def test_media_of_a_result_are_parts_of_it() -> None:
    media = [{"inline_data": {"mime_type": "image/png", "data": "YQ"}}]
    found = part({"function_response": {"name": "f", "response": {"output": "x"}, "parts": media}})
    assert isinstance(found, ToolResult)
    assert found.parts == (Text("x"), Image(Inline("image/png", "YQ==")))


def test_both_spellings_at_every_level_and_the_callers_own_keys() -> None:
    request = decode(
        {
            "contents": [
                *HI,
                {
                    "role": "model",
                    "parts": [
                        {
                            "function_call": {"name": "f", "args": {"snake_key": {"in_ner": 1}}},
                            "thought_signature": "YQ",
                        }
                    ],
                },
                {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"a_b": 1}}}]},
            ],
            "system_instruction": {"parts": [{"text": "s"}]},
            "tools": [
                {
                    "function_declarations": [
                        {
                            "name": "f",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"a_b": {"type": "STRING", "max_length": "9"}},
                            },
                        }
                    ]
                }
            ],
            "tool_config": {"function_calling_config": {"mode": "any"}},
            "generation_config": {
                "topK": 40.0,
                "top_p": "0.5",
                "max_output_tokens": "100",
                "thinkingConfig": {"thinking_budget": 0},
                "response_json_schema": {"properties": {"x_y": {}}},
            },
        }
    )
    call, result = request.turns[1].parts[0], request.turns[2].parts[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"snake_key":{"in_ner":1}}'
    assert call.carriers == (Carrier("google.thought_signature", "YQ==", provider="google"),)
    assert isinstance(result, ToolResult)
    assert result.parts == (Text('{"a_b":1}'),)
    assert request.tools == (
        FunctionTool("f", schema=Raw(b'{"type":"object","properties":{"a_b":{"type":"string","maxLength":9}}}')),
    )
    assert request.tool_choice == ToolChoice("required")
    assert (request.sampling.top_k, request.sampling.top_p, request.max_output) == (40, 0.5, 100)
    assert request.reasoning == ReasoningConfig(effort="none", budget=0)
    assert request.output == OutputFormat("schema", schema=Raw(b'{"properties": {"x_y": {}}}'))
    assert request.instructions[0].parts == (Text("s"),)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("tool", name="f")),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("allowed", names=("f", "g"), required=True)),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("allowed", names=("f",))),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({}, ToolChoice("auto")),
    ],
)
def test_modes_of_calling(config: Any, expected: ToolChoice) -> None:
    assert decode({"contents": HI, "toolConfig": {"functionCallingConfig": config}}).tool_choice == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": -1}, ReasoningConfig(budget=-1, adaptive=True)),
        ({"thinkingBudget": 2048, "includeThoughts": True}, ReasoningConfig(budget=2048, visible=True)),
        ({"thinkingLevel": "XHIGH"}, ReasoningConfig(effort="xhigh")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_wishes_for_thinking(config: Any, expected: ReasoningConfig | None) -> None:
    assert decode({"contents": HI, "generationConfig": {"thinkingConfig": config}}).reasoning == expected


def test_tools_of_the_provider_become_tools_of_their_own() -> None:
    tools = [
        {"googleSearch": {}, "urlContext": {}},
        {"codeExecution": {}},
        {"fileSearch": {"topK": 1}},
        {"newTool": {}},
    ]
    found = decode({"contents": HI, "tools": tools}).tools
    assert [(tool.kind, bytes(tool.raw or b"")) for tool in found if isinstance(tool, HostedTool)] == [
        ("web_search", b'{"googleSearch":{}}'),
        ("web_fetch", b'{"urlContext":{}}'),
        ("code", b'{"codeExecution":{}}'),
        ("file_search", b'{"fileSearch":{"topK": 1}}'),
        ("newTool", b'{"newTool":{}}'),
    ]


def test_what_has_no_neutral_meaning_is_kept() -> None:
    request = decode(
        {
            "contents": HI,
            "safetySettings": [],
            "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
            "generationConfig": {
                "speechConfig": {},
                "responseMimeType": "text/x.enum",
                "responseModalities": ["AUDIO"],
            },
            "labels": {"a": "b"},
            "serviceTier": "STANDARD",
            "store": False,
        }
    )
    assert request.ext == {
        "safetySettings": Raw(b"[]"),
        "toolConfig": Raw(b'{"retrievalConfig":{"languageCode": "de"}}'),
        "generationConfig": Raw(b'{"speechConfig":{},"responseMimeType":"text/x.enum"}'),
    }
    assert (request.modalities, request.metadata, request.service_tier) == (("audio",), {"a": "b"}, "default")
    assert request.state.store is False


@pytest.mark.parametrize("field", ["cachedContent", "cached_content", "continuationToken"])
def test_what_google_alone_has_stored_is_refused(field: str) -> None:
    with pytest.raises(TranslationError) as caught:
        decode({"contents": HI, field: "x"})
    assert caught.value.param in ("cachedContent", "continuationToken")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [*HI, {"parts": [{"text": "x"}, {"text": 5}]}]}, "contents[1].parts[1].text"),
        ({"contents": [{"parts": [{"functionCall": []}]}]}, "contents[0].parts[0].functionCall"),
        ({"contents": HI, "generationConfig": {"topK": "x"}}, "generationConfig.topK"),
        ({"contents": HI, "generationConfig": []}, "generationConfig"),
        ({"contents": HI, "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {"contents": HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": 5}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        (
            {"contents": HI, "toolConfig": {"functionCallingConfig": {"mode": "ODD"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            {"contents": HI, "systemInstruction": {"parts": [{"inlineData": {"data": ""}}]}},
            "systemInstruction.parts[0]",
        ),
    ],
)
def test_a_mistake_is_named_by_its_field(body: Any, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        decode(body)
    assert caught.value.param == param
