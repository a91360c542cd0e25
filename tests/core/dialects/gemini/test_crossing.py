"""What happens to Google's signatures, and to others', when caller and upstream speak different dialects."""

import json
from typing import Any

import msgspec
import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.gemini.signatures import Held, envelope, seal
from asgi_llm.dialects.interface import Answer, Dialect, Profile, Restore
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.neutral.fold import unfold
from asgi_llm.neutral.request import Carrier, Reasoning, Request
from asgi_llm.neutral.response import Response

ANSWER = Answer(model="m", now=lambda: 0.0)

STEP = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "I must look.", "thought": True},
                    {"functionCall": {"name": "look", "args": {"at": "x"}}, "thoughtSignature": "c2lnbmVk"},
                    {"functionCall": {"name": "look", "args": {"at": "y"}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "modelVersion": "gemini-3-pro-preview",
    "responseId": "r",
}


def as_history(dialect: Dialect, answer: Any) -> Any:
    """The caller's next body: the answer as it was given, and the results of its calls."""
    match dialect.name:
        case "chat":
            message = answer["choices"][0]["message"]
            results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message["tool_calls"]]
            return {"model": "m", "messages": [{"role": "user", "content": "q"}, message, *results]}
        case "messages":
            calls = [block for block in answer["content"] if block["type"] == "tool_use"]
            results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "ok"} for call in calls]
            said = {"role": "assistant", "content": answer["content"]}
            messages = [{"role": "user", "content": "q"}, said, {"role": "user", "content": results}]
            return {"model": "m", "max_tokens": 9, "messages": messages}
        case "responses":
            calls = [item for item in answer["output"] if item["type"] == "function_call"]
            results = [{"type": "function_call_output", "call_id": c["call_id"], "output": "ok"} for c in calls]
            return {
                "model": "m",
                "store": False,
                "input": [{"role": "user", "content": "q"}, *answer["output"], *results],
            }
        case "gemini":
            content = answer["candidates"][0]["content"]
            names = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
            results = [{"functionResponse": {"name": name, "response": {"output": "ok"}}} for name in names]
            asked = {"role": "user", "parts": [{"text": "q"}]}
            return {"contents": [asked, content, {"role": "user", "parts": results}]}


def next_request(dialect: Dialect, answer: bytes) -> Request:
    body = as_history(dialect, json.loads(answer))
    return msgspec.structs.replace(dialect.decode_request(json.dumps(body).encode()), model="gemini-3-pro-preview")


@pytest.mark.parametrize("caller", [CHAT, MESSAGES, RESPONSES, GEMINI], ids=lambda dialect: dialect.name)
def test_googles_signature_comes_back_on_the_call_it_was_on(caller: Dialect) -> None:
    response = GEMINI.decode_response(json.dumps(STEP).encode(), Restore())
    request = next_request(caller, caller.encode_response(response, ANSWER))
    contents = json.loads(GEMINI.encode_request(request, Profile()).body)["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    calls = [part for part in contents[1]["parts"] if "functionCall" in part]
    assert [(call["functionCall"]["args"], call.get("thoughtSignature")) for call in calls] == [
        ({"at": "x"}, "c2lnbmVk"),
        ({"at": "y"}, None),
    ]
    answers = [part["functionResponse"] for part in contents[2]["parts"]]
    assert [answer["response"] for answer in answers] == [{"output": "ok"}] * 2
    assert [answer["id"] for answer in answers] == [call["functionCall"]["id"] for call in calls]
    assert len({answer["id"] for answer in answers}) == 2


THINKING = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "I must look.", "signature": "made-by-anthropic"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "x"}},
        {"type": "text", "text": "And more."},
        {"type": "thinking", "thinking": "Again.", "signature": "made-by-anthropic-2"},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {"at": "y"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


def streamed_and_joined(response: Response) -> Any:
    """The answer as a client keeps it that drops thoughts and joins texts, signatures on them included."""
    parts: list[Any] = []
    for line in GEMINI.stream_encoder(ANSWER).feed(unfold(response)).split(b"\n"):
        for part in json.loads(line[6:])["candidates"][0]["content"]["parts"] if line else ():
            if part.get("thought"):
                continue
            if "text" in part and parts and "text" in parts[-1]:
                parts[-1] = {"text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
    return {"candidates": [{"content": {"role": "model", "parts": parts}}]}


@pytest.mark.parametrize("thoughts", ["kept", "dropped", "streamed"])
def test_anthropics_thoughts_survive_a_gemini_client(thoughts: str) -> None:
    response = MESSAGES.decode_response(json.dumps(THINKING).encode(), Restore())
    written = json.loads(GEMINI.encode_response(response, ANSWER))
    parts = written["candidates"][0]["content"]["parts"]
    if thoughts == "dropped":
        written["candidates"][0]["content"]["parts"] = [part for part in parts if not part.get("thought")]
    if thoughts == "streamed":
        written = streamed_and_joined(response)
    request = next_request(GEMINI, json.dumps(written).encode())
    request = msgspec.structs.replace(request, model="claude-opus-5")
    messages = json.loads(MESSAGES.encode_request(request, Profile(provider="anthropic")).body)["messages"]
    assert messages[1]["content"] == THINKING["content"]
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["toolu_1", "toolu_2"]


def test_what_anthropic_made_is_never_sent_to_google() -> None:
    response = MESSAGES.decode_response(json.dumps(THINKING).encode(), Restore())
    for caller in (CHAT, MESSAGES, RESPONSES, GEMINI):
        request = next_request(caller, caller.encode_response(response, ANSWER))
        encoded = GEMINI.encode_request(request, Profile())
        assert b"made-by-anthropic" not in encoded.body
        model = json.loads(encoded.body)["contents"][1]["parts"]
        signatures = [part.get("thoughtSignature") for part in model if "functionCall" in part]
        assert signatures == ["skip_thought_signature_validator", None]
        assert not any(part.get("thought") for part in model)


@pytest.mark.parametrize("stand_in", ["skip_thought_signature_validator", "skip/thought/signature/validator"])
def test_a_stand_in_is_no_signature_to_anybody(stand_in: str) -> None:
    step = json.loads(json.dumps(STEP).replace("c2lnbmVk", stand_in))
    request = next_request(GEMINI, json.dumps(step).encode())
    assert b"skip" not in msgspec.json.encode(request)
    assert b'"skip_thought_signature_validator"' in GEMINI.encode_request(request, Profile()).body


def test_models_that_need_no_signature_get_no_stand_in() -> None:
    response = MESSAGES.decode_response(json.dumps(THINKING).encode(), Restore())
    request = next_request(CHAT, CHAT.encode_response(response, ANSWER))
    encoded = GEMINI.encode_request(msgspec.structs.replace(request, model="gemini-2.5-pro"), Profile())
    assert b"thoughtSignature" not in encoded.body


RICH = {
    "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
        {"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"name": "look", "args": {"n": 1.0}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"error": "dark"}}}]},
        {"role": "user", "parts": [{"text": "again"}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "look", "parameters": {"type": "OBJECT", "properties": {}}}]}],
    "generationConfig": {"maxOutputTokens": 100, "temperature": 0.5, "thinkingConfig": {"thinkingBudget": 2048}},
}


@pytest.mark.parametrize("upstream", [CHAT, MESSAGES, RESPONSES], ids=lambda dialect: dialect.name)
def test_a_gemini_callers_request_in_every_other_dialect(upstream: Dialect) -> None:
    request = msgspec.structs.replace(GEMINI.decode_request(json.dumps(RICH).encode()), model="some-model")
    encoded = upstream.encode_request(request, Profile(provider="openai_compatible"))
    again = upstream.decode_request(encoded.body)
    texts = [part.text for said in again.instructions for part in said.parts]
    assert "".join(texts).replace("\n", "") == "Be brief.Be kind."
    kinds = [type(part).__name__ for turn in again.turns for part in turn.parts]
    assert kinds == ["Text", "Image", "Text", "ToolCall", "ToolResult", "Text"]
    assert again.max_output == 100
    assert [tool.name for tool in again.tools] == ["look"]


def test_an_envelope_survives_a_client_that_spells_base64_for_addresses() -> None:
    """Google's Python client decodes signatures and writes them anew, URL-safe and with or without padding."""
    held = Held(Reasoning("Hm ☃? ~~~ ÿÿÿ", carriers=(Carrier("anthropic.signature", "c2ln"),)))
    sealed = seal([held])
    spelled = sealed.replace("+", "-").replace("/", "_").rstrip("=")
    assert spelled != sealed
    assert envelope(spelled).thoughts == (held,)
