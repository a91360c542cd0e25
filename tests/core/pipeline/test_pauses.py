"""Answers that their provider pauses in the middle of its own tools' work. Callers whose dialect knows no pause get one
answer, for which the gateway asks the provider to go on; callers of the Messages API go on themselves."""

import json
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, messages_error

QUESTION = {"role": "user", "content": "What is new?"}
CALLERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        "/v1/chat/completions",
        {"model": "claude-sonnet-4-5", "messages": [QUESTION], "web_search_options": {}},
    ),
    "responses": (
        "/v1/responses",
        "/v1/responses",
        {"model": "claude-sonnet-4-5", "input": "What is new?", "tools": [{"type": "web_search"}]},
    ),
    "gemini": (
        "/v1beta/models/claude-sonnet-4-5:generateContent",
        "/v1beta/models/claude-sonnet-4-5:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "What is new?"}]}], "tools": [{"googleSearch": {}}]},
    ),
}
SEARCHES = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [QUESTION],
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
}
callers = pytest.mark.parametrize("caller", CALLERS)
how = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

THOUGHT = {"type": "thinking", "thinking": "I must look.", "signature": "c2ln"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "news"}}
HIT = {"type": "web_search_result", "url": "https://e.org", "title": "E", "encrypted_content": "x", "page_age": None}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [HIT]}
CITED = {
    "type": "web_search_result_location",
    "url": "https://e.org",
    "title": "E",
    "cited_text": "s",
    "encrypted_index": "y",
}
FIRST = [THOUGHT, {"type": "text", "text": "Looking. "}, SEARCH, FOUND]
SECOND = [{"type": "text", "text": "It says: ", "citations": [CITED]}, {**SEARCH, "id": "srvtoolu_2"}]
LAST = [{"type": "text", "text": "snow."}]


def message(content: list[Any], stop: str, *, stream: bool, **more: Any) -> Answer:
    usage = {"input_tokens": 10, "output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    if not stream:
        return Answer.json({**head, "content": content, "stop_reason": stop, "usage": usage, **more})
    start = {**head, "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
    events: list[Any] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(content):
        empty, deltas = pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None, **more}, "usage": usage}
    return Answer.sse([*events, end, {"type": "message_stop"}])


def pieces(block: Any) -> tuple[Any, list[Any]]:
    match block:
        case {"type": "text", "text": text}:
            cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations", ())]
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text}, *cited]
        case {"type": "thinking", "thinking": text, "signature": signature}:
            deltas = [{"type": "thinking_delta", "thinking": text}, {"type": "signature_delta", "signature": signature}]
            return {**block, "thinking": "", "signature": ""}, deltas
        case {"type": "server_tool_use", "input": given}:
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(given)}]
    return block, []


async def ask(upstream: ScriptedUpstream, path: str, body: Any, **limits: Any) -> tuple[int, bytes, Exchange]:
    settled: list[Exchange] = []
    target = {"provider": "anthropic", "base_url": f"{upstream.url}/v1", "api_key": "k"}
    settings = {"targets": {"up": target}, "auth": {"anonymous": True}, "limits": limits}
    gate = Gateway(settings, on_settled=settled.append)
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", path, [], json.dumps(body).encode())
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    (done,) = settled
    return head.status, data, done


async def asked(upstream: ScriptedUpstream, caller: str, *, stream: bool, **limits: Any) -> tuple[int, bytes, Exchange]:
    whole, streaming, body = CALLERS[caller]
    if stream and caller != "gemini":
        body = {**body, "stream": True} | ({"stream_options": {"include_usage": True}} if caller == "chat" else {})
    return await ask(upstream, streaming if stream else whole, body, **limits)


def told(caller: str, data: bytes, *, stream: bool) -> tuple[str, str, int]:
    """All text of an answer, the word for its end, and what it says of the input it used."""
    if not stream:
        return told_whole(caller, json.loads(data))
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    events = [json.loads(line) for line in lines]
    if caller == "responses":
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert sum(event["type"] == "response.created" for event in events) == 1
        return told_whole(caller, events[-1]["response"])
    if caller == "chat":
        choices = [choice for event in events for choice in event["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        ends = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
        assert len({event["id"] for event in events}) == 1
        assert len(ends) == 1
        return text, ends[0], events[-1]["usage"]["prompt_tokens"]
    parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
    text = "".join(part["text"] for part in parts if not part.get("thought"))
    return text, events[-1]["candidates"][0]["finishReason"], events[-1]["usageMetadata"]["promptTokenCount"]


def told_whole(caller: str, answer: Any) -> tuple[str, str, int]:
    match caller:
        case "chat":
            choice = answer["choices"][0]
            return choice["message"]["content"], choice["finish_reason"], answer["usage"]["prompt_tokens"]
        case "responses":
            texts = [part["text"] for item in answer["output"] for part in item.get("content", ())]
            return "".join(texts), answer["status"], answer["usage"]["input_tokens"]
    candidate = answer["candidates"][0]
    text = "".join(part["text"] for part in candidate["content"]["parts"] if not part.get("thought"))
    return text, candidate["finishReason"], answer["usageMetadata"]["promptTokenCount"]


ENDS = {"chat": "stop", "responses": "completed", "gemini": "STOP"}


@callers
@how
async def test_the_gateway_goes_on_and_tells_one_answer(caller: str, stream: bool) -> None:
    script = [
        message(FIRST, "pause_turn", stream=stream),
        message(SECOND, "pause_turn", stream=stream),
        message(LAST, "end_turn", stream=stream),
    ]
    async with ScriptedUpstream(script) as upstream:
        status, data, done = await asked(upstream, caller, stream=stream)
        bodies = [request.json for request in upstream.requests]
    assert status == 200
    assert told(caller, data, stream=stream) == ("Looking. It says: snow.", ENDS[caller], 30)
    assert [body["messages"][1:] for body in bodies] == [
        [],
        [{"role": "assistant", "content": FIRST}],
        [{"role": "assistant", "content": FIRST}, {"role": "assistant", "content": SECOND}],
    ]
    assert all({**body, "messages": 0} == {**bodies[0], "messages": 0} for body in bodies)
    assert done.usage is not None
    assert (done.usage.input, done.usage.output) == (30, 15)
    assert done.usage.server_tools == {"web_search_requests": 3}
    assert ([attempt.result for attempt in done.attempts], done.outcome) == (["ok"] * 3, "ok")


@callers
@how
async def test_it_goes_on_as_often_as_the_settings_say(caller: str, stream: bool) -> None:
    async with ScriptedUpstream([message(FIRST, "pause_turn", stream=stream) for _ in range(3)]) as upstream:
        status, data, done = await asked(upstream, caller, stream=stream, continuations=2)
        assert len(upstream.requests) == 3
    text, end, used = told(caller, data, stream=stream)
    assert (status, text, used, done.outcome) == (200, "Looking. " * 3, 30, "ok")
    assert end == ("OTHER" if caller == "gemini" else ENDS[caller])


async def test_it_need_not_go_on_at_all() -> None:
    async with ScriptedUpstream([message(FIRST, "pause_turn", stream=True)]) as upstream:
        _, data, _ = await asked(upstream, "chat", stream=True, continuations=0)
        assert len(upstream.requests) == 1
    assert told("chat", data, stream=True) == ("Looking. ", "stop", 10)


@how
async def test_the_container_of_the_tools_goes_with_it(stream: bool) -> None:
    container = {"id": "container_1", "expires_at": "2027-01-01T00:00:00Z"}
    script = [
        message(FIRST, "pause_turn", stream=stream, container=container),
        message(LAST, "end_turn", stream=stream, container=container),
    ]
    async with ScriptedUpstream(script) as upstream:
        await asked(upstream, "responses", stream=stream)
        assert upstream.requests[1].json["container"] == "container_1"


@callers
async def test_a_round_that_fails_breaks_the_stream_off(caller: str) -> None:
    script = [message(FIRST, "pause_turn", stream=True), messages_error(529, "Overloaded", kind="overloaded_error")]
    async with ScriptedUpstream(script) as upstream:
        status, data, done = await asked(upstream, caller, stream=True)
    assert (status, done.outcome) == (200, "interrupted")
    assert b'"error"' in data
    assert b"Looking. " in data


@callers
async def test_a_round_that_fails_fails_a_whole_answer(caller: str) -> None:
    script = [message(FIRST, "pause_turn", stream=False), messages_error(529, "Overloaded", kind="overloaded_error")]
    async with ScriptedUpstream(script) as upstream:
        status, data, _ = await asked(upstream, caller, stream=False)
    assert status == 503
    assert b'"error"' in data


@how
async def test_what_the_caller_must_do_comes_first(stream: bool) -> None:
    """An answer that also calls the caller's tools is the caller's to go on with."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "own", "input": {}}
    async with ScriptedUpstream([message([*FIRST, call], "pause_turn", stream=stream)]) as upstream:
        _, data, _ = await asked(upstream, "chat", stream=stream)
        assert len(upstream.requests) == 1
    assert told("chat", data, stream=stream)[1] == "tool_calls"


@how
async def test_callers_of_the_messages_api_are_shown_the_pause(stream: bool) -> None:
    async with ScriptedUpstream([message(FIRST, "pause_turn", stream=stream)]) as upstream:
        _, data, _ = await ask(upstream, "/v1/messages", {**SEARCHES, "stream": stream})
        assert len(upstream.requests) == 1
    assert b'"pause_turn"' in data.replace(b" ", b"")


@how
@pytest.mark.parametrize("caller", ["chat", "messages"])
async def test_gemini_goes_on_by_a_token(caller: str, stream: bool) -> None:
    def piece(text: str, finish: str, **more: Any) -> Answer:
        candidate = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": finish,
            "index": 0,
            **more,
        }
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        answer = {"candidates": [candidate], "usageMetadata": usage, "responseId": "r"}
        return Answer.sse([answer]) if stream else Answer.json(answer)

    script = [piece("It says: ", "CONTINUATION", continuationToken="t1"), piece("snow.", "STOP")]
    settled: list[Exchange] = []
    body = {"model": "gemini-3-pro", "max_tokens": 100, "messages": [QUESTION], "stream": stream}
    async with ScriptedUpstream(script) as upstream:
        target = {"provider": "gemini", "base_url": upstream.url, "api_key": "k"}
        gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
        async with gate.running():
            path = "/v1/messages" if caller == "messages" else CALLERS[caller][0]
            exchange = await ASGIDriver(gate.asgi).request("POST", path, [], json.dumps(body).encode())
            await exchange.start()
            data = await exchange.body()
            await exchange.finished()
        first, second = (request.json for request in upstream.requests)
    assert second == {**first, "continuationToken": "t1"}
    assert b"It says: " in data
    assert b"snow." in data
    assert data.count(b"event: message_stop") == (1 if caller == "messages" and stream else 0)
    assert settled[0].usage is not None
    assert (settled[0].usage.input, settled[0].usage.output, settled[0].outcome) == (20, 10, "ok")
