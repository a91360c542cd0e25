"""The odd things that servers of this dialect do, each as its server does it, read as what they mean."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Restore
from asgi_llm.errors import Kind, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    Event,
    Failure,
    Finished,
    ReasoningDelta,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import Reasoning, Text, ToolCall
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.usage import Usage

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


LAST = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}


def call(index: int | None, call_id: Any, name: str | None, arguments: Any, **more: Any) -> dict[str, Any]:
    piece = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}
    return {"tool_calls": [piece if index is None else {"index": index, **piece}]}


def stream(*chunks: Any, done: bool = True) -> bytes:
    frames = [piece if isinstance(piece, bytes) else b"data: %b\n\n" % json.dumps(piece).encode() for piece in chunks]
    return b"".join(frames) + (b"data: [DONE]\n\n" if done else b"")


def read(data: bytes, size: int) -> list[Event]:
    decoder = CHAT.stream_decoder(Restore())
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return events + decoder.end()


def told(events: list[Event]) -> dict[str, Any]:
    """What the events say, in short."""
    found: dict[str, Any] = {"thought": "", "text": "", "calls": [], "finish": None, "usage": None}
    for event in events:
        match event:
            case ReasoningDelta():
                found["thought"] += event.text
            case TextDelta():
                found["text"] += event.text
            case BlockStart(part=ToolCall() as part):
                found["calls"].append([part.name, ""])
            case ArgumentsDelta():
                found["calls"][-1][1] += event.text
            case UsageUpdate():
                found["usage"] = event.usage
            case Finished():
                found["finish"] = event.finish.reason
            case Failure():
                found["finish"] = event.error.message
    return {name: value for name, value in found.items() if value}


STREAMS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "vllm: thoughts under reasoning, continuous usage": (
        stream(
            chunk({"role": "assistant", "content": ""}, usage={**USAGE, "completion_tokens": 0, "total_tokens": 9}),
            chunk({"reasoning": "Hm"}, usage={**USAGE, "completion_tokens": 1, "total_tokens": 10}),
            chunk({"content": "Hi"}, "stop", stop_reason=None, usage=USAGE),
            LAST,
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "sglang: nulls everywhere, empty deltas without finish": (
        stream(
            chunk({"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}),
            chunk({"content": None, "reasoning_content": "Hm", "tool_calls": None}),
            chunk({"content": None, **call(0, "call_1", "f", "")}),
            chunk({"content": None, **call(0, None, None, "{}")}),
            chunk({"content": None, "reasoning_content": None, "tool_calls": None}),
            chunk({"content": None}, "tool_calls", matched_stop=None),
            {**LAST, "usage": {**USAGE, "reasoning_tokens": 1, "prompt_tokens_details": None}},
        ),
        {"thought": "Hm", "calls": [["f", "{}"]], "finish": "tool_calls", "usage": (9, 2)},
    ),
    "ollama: a role in every chunk, calls whole": (
        stream(
            chunk({"role": "assistant", "content": "", "reasoning": "Hm"}),
            chunk({"role": "assistant", "content": "", **call(0, "call_1", "f", '{"a":1}')}),
            chunk({"role": "assistant", "content": ""}, "tool_calls"),
            LAST,
        ),
        {"thought": "Hm", "calls": [["f", '{"a":1}']], "finish": "tool_calls", "usage": (9, 2)},
    ),
    "llama.cpp: null content first, timings": (
        stream(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "Hm"}),
            chunk({"content": "Hi"}),
            chunk({}, "stop"),
            {**LAST, "timings": {"prompt_n": 9, "predicted_per_second": 12.5}},
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "openrouter: comments, details beside the thought, a delta after the end, a price": (
        stream(
            b": OPENROUTER PROCESSING\n\n",
            chunk(
                {
                    "role": "assistant",
                    "content": "",
                    "reasoning": "Hm",
                    "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "format": "unknown", "index": 0}],
                }
            ),
            chunk({"content": "Hi"}, "stop", native_finish_reason="STOP"),
            chunk({"role": "assistant", "content": ""}, usage={**USAGE, "cost": 0.001}),
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "openrouter: an error in mid-stream": (
        stream(
            chunk({"role": "assistant", "content": "Hi"}),
            chunk({"content": ""}, "error", error={"code": 502, "message": "Provider disconnected"}),
        ),
        {"text": "Hi", "finish": "Provider disconnected"},
    ),
    "deepseek: blank keep-alives, cached tokens by other names": (
        stream(
            b": keep-alive\n\n\n\n",
            chunk({"role": "assistant", "content": None, "reasoning_content": "Hm"}),
            chunk({"content": "Hi", "reasoning_content": None}),
            chunk({"content": ""}, "stop", usage=USAGE | {"prompt_cache_hit_tokens": 4}),
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (5, 2)},
    ),
    "deepseek: out of resources": (
        stream(chunk({"content": "Hi"}), chunk({"content": ""}, "insufficient_system_resource")),
        {"text": "Hi", "finish": "The upstream broke off: insufficient_system_resource."},
    ),
    "kimi: usage in the choice": (
        stream(
            chunk({"role": "assistant", "content": "", "reasoning_content": "Hm"}),
            {
                "id": "1",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": "Hi"},
                        "finish_reason": "stop",
                        "usage": {**USAGE, "cached_tokens": 4},
                    }
                ],
            },
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (5, 2)},
    ),
    "minimax: details only, null choices with the usage": (
        stream(
            chunk(
                {
                    "role": "assistant",
                    "content": "",
                    "name": "MiniMax AI",
                    "reasoning_details": [
                        {
                            "type": "reasoning.text",
                            "id": "reasoning-text-1",
                            "format": "MiniMax-response-v1",
                            "index": 0,
                            "text": "H",
                        }
                    ],
                }
            ),
            chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "m"}]}),
            chunk({"content": "Hi"}, "stop", base_resp={"status_code": 0, "status_msg": ""}),
            {"id": "1", "choices": None, "usage": USAGE},
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "minimax: an error in mid-stream": (
        stream(
            chunk({"content": "Hi"}),
            {"id": "1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        ),
        {"text": "Hi", "finish": "insufficient balance"},
    ),
    "glm: filtered": (
        stream(chunk({"role": "assistant", "content": "Hi"}), chunk({"content": ""}, "sensitive", usage=USAGE)),
        {"text": "Hi", "finish": "filtered", "usage": (9, 2)},
    ),
    "glm: the network failed": (
        stream(chunk({"role": "assistant", "content": "Hi"}), chunk({"content": ""}, "network_error")),
        {"text": "Hi", "finish": "The upstream broke off: network_error."},
    ),
    "qwen: empty ids and null names go on with a call": (
        stream(
            chunk({"role": "assistant", "content": None, **call(0, "call_1", "f", "")}),
            chunk(call(0, "", None, '{"a"')),
            chunk(call(0, "", "", ":1}")),
            chunk(call(1, "call_2", "g", "{}")),
            chunk({"content": ""}, "tool_calls"),
            LAST,
        ),
        {"calls": [["f", '{"a":1}'], ["g", "{}"]], "finish": "tool_calls", "usage": (9, 2)},
    ),
    "mistral: a list of parts, then text; calls whole": (
        stream(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
            chunk({"content": [{"type": "text", "text": "H"}]}),
            chunk({"content": "i"}),
            chunk({"content": "", **call(0, "D681PevKs", "f", "{}")}, "tool_calls", usage=USAGE),
        ),
        {"thought": "Hm", "text": "Hi", "calls": [["f", "{}"]], "finish": "tool_calls", "usage": (9, 2)},
    ),
    "mistral: the context is full": (
        stream(chunk({"content": "Hi"}), chunk({"content": ""}, "model_length", usage=USAGE)),
        {"text": "Hi", "finish": "context_full", "usage": (9, 2)},
    ),
    "groq: usage under x_groq": (
        stream(
            chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1"}),
            chunk({"reasoning": "Hm", "channel": "analysis"}),
            chunk({"content": "Hi"}),
            chunk({}, "stop", x_groq={"id": "req_1", "usage": {**USAGE, "queue_time": 0.1}}),
        ),
        {"thought": "Hm", "text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "azure: the filter's results first, without choices": (
        stream(
            {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]},
            chunk({"role": "assistant", "content": "Hi", "refusal": None}, content_filter_results={}),
            chunk({}, "stop"),
            LAST,
        ),
        {"text": "Hi", "finish": "end", "usage": (9, 2)},
    ),
    "gemini: no index or all the same, no ids, stop after calls": (
        stream(
            chunk(call(None, "", "f", "{}", extra_content={"google": {"thought_signature": "c2ln"}})),
            chunk(call(0, "", "g", "{}"), "stop", usage=USAGE),
        ),
        {"calls": [["f", "{}"], ["g", "{}"]], "finish": "tool_calls", "usage": (9, 2)},
    ),
    "others: numbers for ids, arguments as an object, function_call as the end, no [DONE]": (
        stream(
            {
                "id": 7,
                "created": "now",
                "model": None,
                "choices": [{"delta": call(None, 12, "f", {"a": 1}), "finish_reason": "function_call"}],
            },
            done=False,
        ),
        {"calls": [["f", '{"a":1}']], "finish": "tool_calls"},
    ),
    "others: a word of their own for the end": (
        stream(chunk({"content": "Hi"}), chunk(None, "COMPLETE")),
        {"text": "Hi", "finish": "end"},
    ),
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("data", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_means_what_its_server_means(data: bytes, expected: dict[str, Any], size: int) -> None:
    found = told(read(data, size))
    usage = found.get("usage")
    if usage is not None:
        found["usage"] = (usage.fresh, usage.output)
    assert found == expected


def test_calls_without_ids_get_their_own() -> None:
    starts = [
        event.part
        for event in read(STREAMS[next(n for n in STREAMS if n.startswith("gemini"))][0], 999)
        if isinstance(event, BlockStart)
    ]
    calls = [part for part in starts if isinstance(part, ToolCall)]
    assert len({part.id for part in calls} - {""}) == 2
    assert [carrier.data for part in calls for carrier in part.carriers] == ["c2ln"]


def answer(message: dict[str, Any], finish: str = "stop", usage: Any = USAGE) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return CHAT.decode_response(json.dumps(body).encode(), Restore())


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Hi", "reasoning_content": "Hm"},
        {"content": "Hi", "reasoning": "Hm", "reasoning_content": None},
        {"content": "Hi", "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "index": 0}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                {"type": "text", "text": "Hi"},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
                {"type": "text", "text": "Hi"},
            ]
        },
    ],
    ids=["deepseek", "vllm", "minimax", "mistral", "databricks"],
)
def test_thoughts_are_found_wherever_they_live(message: dict[str, Any]) -> None:
    thought, text = answer(message).candidates[0].parts
    assert isinstance(thought, Reasoning)
    assert isinstance(text, Text)
    assert (thought.text, text.text) == ("Hm", "Hi")


def test_reasoning_beside_the_completion_is_counted_once() -> None:
    """xAI's total is larger than prompt and completion by the tokens of reasoning; elsewhere they are inside."""
    details = {"completion_tokens_details": {"reasoning_tokens": 5}}
    beside = answer({"content": "Hi"}, usage={**USAGE, "total_tokens": 16, **details}).usage
    inside = answer({"content": "Hi"}, usage={**USAGE, "completion_tokens": 7, "total_tokens": 16, **details}).usage
    assert isinstance(beside, Usage)
    assert isinstance(inside, Usage)
    assert (
        (beside.visible, beside.reasoning, beside.output)
        == (2, 5, 7)
        == (inside.visible, inside.reasoning, inside.output)
    )


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            Kind.BILLING,
            "insufficient balance",
        ),
        ({"choices": [], "base_resp": {"status_code": 1002, "status_msg": "slow down"}}, Kind.RATE_LIMIT, "slow down"),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, Kind.BAD_REQUEST, "invalid params"),
        ({"base_resp": {"status_code": 9999, "status_msg": "odd"}}, Kind.BAD_GATEWAY, "odd"),
        ({"error": {"code": 429, "message": "Provider returned error"}}, Kind.RATE_LIMIT, "Provider returned error"),
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], Kind.BAD_REQUEST, "bad"),
    ],
    ids=["minimax-balance", "minimax-rate", "minimax-params", "minimax-unknown", "openrouter", "gemini"],
)
def test_an_error_inside_a_200_is_one(body: Any, kind: Kind, message: str) -> None:
    with pytest.raises(UpstreamError) as failed:
        CHAT.decode_response(json.dumps(body).encode(), Restore())
    assert (failed.value.kind, failed.value.message) == (kind, message)


_EXTRA = [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        (
            422,
            {"object": "error", "message": {"detail": _EXTRA}, "code": None},
            Kind.UNPROCESSABLE,
            None,
            "body.store: Extra inputs are not permitted",
        ),
        (422, {"detail": _EXTRA}, Kind.UNPROCESSABLE, None, "body.store: Extra inputs are not permitted"),
        (
            400,
            {"object": "error", "message": "Unexpected role", "code": "3230"},
            Kind.BAD_REQUEST,
            None,
            "Unexpected role",
        ),
        (
            400,
            {"error": {"message": "Failed to call.", "code": "tool_use_failed", "failed_generation": "x"}},
            Kind.BAD_REQUEST,
            "tool_use_failed",
            "Failed to call.",
        ),
        (
            400,
            {"code": "Client specified an invalid argument", "error": "Not supported: stop"},
            Kind.BAD_REQUEST,
            None,
            "Not supported: stop",
        ),
        (
            400,
            {"error": {"message": "Filtered.", "code": "content_filter", "innererror": {"code": "X"}}},
            Kind.BAD_REQUEST,
            "content_filter",
            "Filtered.",
        ),
        (429, {"error": {"code": "1302", "message": "Too many"}}, Kind.RATE_LIMIT, "rate_limit_exceeded", "Too many"),
        (
            402,
            {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}},
            Kind.BILLING,
            "insufficient_quota",
            "Insufficient Balance",
        ),
        (
            400,
            {"object": "error", "message": "maximum context length is 10", "code": 400},
            Kind.CONTEXT_LENGTH,
            "context_length_exceeded",
            "maximum context length is 10",
        ),
    ],
    ids=["mistral-old", "mistral", "mistral-order", "groq", "xai", "azure", "glm", "deepseek", "vllm-old"],
)
def test_an_error_is_read_in_its_servers_shape(
    status: int, body: Any, kind: Kind, code: str | None, message: str
) -> None:
    error = CHAT.decode_error(status, [], json.dumps(body).encode())
    assert (error.kind, error.message, error.code) == (kind, message, code or "upstream_error")
