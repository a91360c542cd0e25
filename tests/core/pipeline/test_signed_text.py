"""Gemini signs the text of an answer. Whatever dialect the caller speaks, the signature comes back with the text in the
next turn; and a conversation that goes on at another provider holds nothing that only this gateway can read."""

import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_text, messages_text, responses_text

SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
ELSEWHERE = {"chat": chat_text, "messages": messages_text, "responses": responses_text}
callers = pytest.mark.parametrize("caller", PATHS)
how = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def piece(*parts: Any, finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "responseId": "r"}


def signed(*, stream: bool) -> Answer:
    """A thought, and text that is signed: in a stream by an empty piece of text at the end."""
    thought = {"text": "Hm.", "thought": True}
    if not stream:
        return Answer.json(piece(thought, {"text": "Forty-two.", "thoughtSignature": SIGNATURE}, finish="STOP"))
    end = {"text": "", "thoughtSignature": SIGNATURE}
    return Answer.sse([piece(thought), piece({"text": "Forty"}), piece({"text": "-two."}), piece(end, finish="STOP")])


async def ask(gate: Gateway, caller: str, model: str, turns: list[Any], *, stream: bool) -> bytes:
    body = {"model": model, "stream": stream, "input" if caller == "responses" else "messages": turns}
    if caller == "messages":
        body["max_tokens"] = 100
    exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[caller], [], json.dumps(body).encode())
    head = await exchange.start()
    data = await exchange.body()
    await exchange.finished()
    assert head.status == 200, data
    return data


def said(caller: str, data: bytes, *, stream: bool) -> list[Any]:
    """The answer as a client puts it together to send it back."""
    if not stream:
        return whole(caller, json.loads(data))
    reader = SSEReader()
    events = [json.loads(frame.data) for frame in [*reader.feed(data), *reader.end()] if frame.data != b"[DONE]"]
    if caller == "responses":
        return whole(caller, events[-1]["response"])
    message: dict[str, Any] = {"role": "assistant"}
    for event in events:
        if caller == "chat":
            for key, value in event["choices"][0]["delta"].items():
                if value is not None:
                    message[key] = value if key == "role" else message.get(key, type(value)()) + value
            continue
        match event:
            case {"type": "content_block_start", "content_block": block}:
                message.setdefault("content", []).append(block)
            case {"type": "content_block_delta", "delta": {"type": kind, **rest}}:
                field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[kind]
                message["content"][-1][field] += rest[field]
    return [message]


def whole(caller: str, answer: Any) -> list[Any]:
    match caller:
        case "chat":
            return [answer["choices"][0]["message"]]
        case "messages":
            return [{"role": "assistant", "content": answer["content"]}]
    return list(answer["output"])


def gateway(google: ScriptedUpstream, other: ScriptedUpstream, dialect: str) -> Gateway:
    provider = "anthropic" if dialect == "messages" else "openai"
    targets = {
        "google": {"provider": "gemini", "base_url": google.url, "api_key": "k"},
        "other": {"provider": provider, "base_url": f"{other.url}/v1", "api_key": "k", "dialects": [dialect]},
    }
    routes = [{"model": "gemini-*", "target": "google"}, {"model": "*", "target": "other"}]
    return Gateway({"targets": targets, "routes": routes, "auth": {"anonymous": True}})


@callers
@how
async def test_the_signature_comes_back_with_its_text(caller: str, stream: bool) -> None:
    answers = [signed(stream=stream), signed(stream=stream), signed(stream=stream)]
    async with ScriptedUpstream(answers) as google, ScriptedUpstream() as other:
        async with (gate := gateway(google, other, "chat")).running():
            turns: list[Any] = [{"role": "user", "content": "?"}]
            for question in ("Sure?", "Really?"):
                data = await ask(gate, caller, "gemini-3-pro", turns, stream=stream)
                turns += [*said(caller, data, stream=stream), {"role": "user", "content": question}]
            await ask(gate, caller, "gemini-3-pro", turns, stream=stream)
        heard = [request.json["contents"] for request in google.requests]
    model = {"role": "model", "parts": [{"text": "Forty-two.", "thoughtSignature": SIGNATURE}]}
    assert heard[1][1] == model
    assert [heard[2][1], heard[2][3]] == [model, model]
    assert heard[2][:3] == heard[1], "what was said before is said in other words"


@callers
@how
@pytest.mark.parametrize("dialect", ELSEWHERE)
async def test_another_provider_is_shown_the_text_alone(caller: str, stream: bool, dialect: str) -> None:
    async with (
        ScriptedUpstream([signed(stream=stream)]) as google,
        ScriptedUpstream([ELSEWHERE[dialect]()]) as other,
        (gate := gateway(google, other, dialect)).running(),
    ):
        turns: list[Any] = [{"role": "user", "content": "?"}]
        data = await ask(gate, caller, "gemini-3-pro", turns, stream=stream)
        turns += [*said(caller, data, stream=stream), {"role": "user", "content": "Sure?"}]
        await ask(gate, caller, "m", turns, stream=False)
        (asked,) = other.requests
    assert b"Forty-two." in asked.body
    assert b"asgi-llm" not in asked.body
    assert SIGNATURE.encode() not in asked.body
