"""Whole answers both ways, and their usage."""

import contextlib
import json
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.interface import Answer, Restore, ToolShape
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.neutral.request import Carrier, Citation, Part, Reasoning, Refusal, ServerCall, Text, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, FinishReason, Response
from asgi_llm.neutral.usage import Usage

ANSWER = Answer(model="caller-model", mint=lambda prefix: prefix + "minted")


def decode(content: Any = (), restore: Restore | None = None, **fields: Any) -> Response:
    wire = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content), **fields}
    return MESSAGES.decode_response(json.dumps(wire).encode(), restore or Restore())


def encode(*parts: Part, reason: FinishReason = "end", **fields: Any) -> dict[str, Any]:
    response = Response(id="x", model="m", candidates=(Candidate(parts, Finish(reason)),), **fields)
    decoded: dict[str, Any] = json.loads(MESSAGES.encode_response(response, ANSWER))
    return decoded


def read_by_sdk(body: bytes) -> Message:
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, content=body, headers={"content-type": "application/json"})
    )
    sdk = anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport))
    return sdk.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])


class TestDecode:
    def test_parts_finish_and_usage(self) -> None:
        response = decode(
            [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "a", "citations": [{"type": "web_search_result_location", "url": "u"}]},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
                {"type": "server_tool_use", "id": "2", "name": "code_execution", "input": {}},
            ],
            stop_reason="end_turn",
            usage={"input_tokens": 1, "output_tokens": 9, "cache_read_input_tokens": 2,
                   "output_tokens_details": {"thinking_tokens": 4}, "server_tool_use": {"web_search_requests": 3},
                   "service_tier": "priority"},
        )  # fmt: skip
        thought, text, call, server = response.candidates[0].parts
        assert thought == Reasoning("t", carriers=(Carrier("anthropic.signature", "s", provider="anthropic"),))
        assert isinstance(text, Text)
        assert text.citations[0].url == "u"
        assert call == ToolCall("1", "f", '{"x": 1}')
        assert isinstance(server, ServerCall)
        assert server.kind == "code"
        assert response.candidates[0].finish == Finish("tool_calls")
        usage = response.usage
        assert usage is not None
        assert (usage.fresh, usage.cache_read, usage.visible, usage.reasoning) == (1, 2, 5, 4)
        assert usage.server_tools == {"web_search_requests": 3}
        assert response.service_tier == "priority"

    @pytest.mark.parametrize(
        ("word", "calls", "reason"),
        [
            ("end_turn", False, "end"),
            ("end_turn", True, "tool_calls"),
            ("tool_use", False, "end"),
            ("tool_use", True, "tool_calls"),
            ("max_tokens", True, "max_tokens"),
            ("stop_sequence", False, "stop_sequence"),
            ("pause_turn", False, "pause"),
            ("refusal", False, "refusal"),
            ("model_context_window_exceeded", False, "context_full"),
            ("compaction", False, "other"),
            (None, False, "end"),
            (None, True, "tool_calls"),
            (7, False, "end"),
        ],
    )
    def test_the_end_is_derived(self, word: Any, calls: bool, reason: str) -> None:
        content = [{"type": "tool_use", "id": "1", "name": "f", "input": {}}] if calls else []
        assert decode(content, stop_reason=word).candidates[0].finish.reason == reason

    def test_refusals_are_explained(self) -> None:
        details = {"type": "refusal", "category": "cyber", "explanation": "no"}
        assert decode(stop_reason="refusal", stop_details=details).candidates[0].finish == Finish(
            "refusal", category="cyber", detail="no"
        )

    def test_tools_are_turned_back(self) -> None:
        restore = Restore({"w": ToolShape("real.name", "text", "ns", None)}, "json_output")
        content = [
            {"type": "tool_use", "id": "1", "name": "w", "input": {"input": "free"}},
            {"type": "tool_use", "id": "2", "name": "json_output", "input": {"a": 1}},
        ]
        assert decode(content, restore).candidates[0].parts == (
            ToolCall("1", "real.name", "free", kind="text", namespace="ns"),
            Text('{"a": 1}'),
        )

    def test_an_error_inside_a_good_status(self) -> None:
        body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
        with pytest.raises(UpstreamError) as caught:
            MESSAGES.decode_response(body, Restore())
        assert (caught.value.cause, caught.value.kind, caught.value.message) == (
            Cause.IN_BAND,
            Kind.RATE_LIMIT,
            "slow down",
        )

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b"null", b"[]", b"{}", b'{"content":[{"type":"text"}]}', b"[" * 99999, b'"\xff"']
    )
    def test_what_is_no_message(self, body: bytes) -> None:
        with pytest.raises(UpstreamError) as caught:
            MESSAGES.decode_response(body, Restore())
        assert caught.value.cause is Cause.CONTENT

    @given(st.binary(max_size=30) | st.text().map(lambda text: json.dumps({"usage": text, "content": text}).encode()))
    def test_nothing_else_is_ever_raised(self, body: bytes) -> None:
        MESSAGES.usage(msgspec.Raw(body))
        with contextlib.suppress(UpstreamError):
            MESSAGES.decode_response(body, Restore())


class TestEncode:
    def test_every_key_is_there(self) -> None:
        got = encode()
        assert got == {
            "id": "msg_minted",
            "type": "message",
            "role": "assistant",
            "model": "caller-model",
            "content": [],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 0,
            },
        }

    def test_blocks_and_numbers_reach_the_sdk(self) -> None:
        response = Response(
            id="msg_up",
            model="m",
            candidates=(
                Candidate(
                    (
                        Reasoning(summary=("a", "b")),
                        Text("t", (Citation("chat", url="https://x"),)),
                        Refusal("no"),
                        ToolCall("t.1", "f", '{"n": 1.0}'),
                        ToolCall("", "p", "free", kind="text"),
                        ToolCall("t3", "g", "broken"),
                    ),
                    Finish("end"),
                ),
            ),
            usage=Usage(fresh=1, cache_write=2, tool_prompt=3, visible=4, reasoning=5),
        )
        body = MESSAGES.encode_response(response, ANSWER)
        assert b'"input":{"n": 1.0}' in body
        message = read_by_sdk(body)
        thought, text, refusal, first, second, third = message.content
        assert thought.type == "thinking"
        assert thought.thinking == "a\n\nb"
        assert thought.signature
        assert text.type == refusal.type == "text"
        assert (text.text, refusal.text) == ("t", "no")
        assert first.type == second.type == third.type == "tool_use"
        assert first.id.replace("_", "").isalnum()
        assert (second.id, second.input) == ("toolu_minted", {"input": "free"})
        assert third.input == {"_raw": "broken"}
        assert (message.id, message.stop_reason) == ("msg_up", "tool_use")
        usage = message.usage
        assert (usage.input_tokens, usage.cache_creation_input_tokens, usage.output_tokens) == (4, 2, 9)

    def test_carriers_of_other_providers_are_sealed_in(self) -> None:
        carrier = Carrier("openai.encrypted", "blob", item_id="rs_1")
        content = encode(Reasoning("t", carriers=(carrier,)), Reasoning(carriers=(carrier,), redacted=True))["content"]
        assert [block["type"] for block in content] == ["thinking", "redacted_thinking"]
        body = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]}
        assert MESSAGES.decode_request(json.dumps(body).encode()).turns[0].parts == (
            Reasoning("t", carriers=(carrier,)),
            Reasoning(carriers=(carrier,), redacted=True),
        )

    def test_raw_blocks_keep_their_bytes(self) -> None:
        raw = b'{"type":"server_tool_use","id":"s","name":"x","input":{"n": 1.0}}'
        response = Response(
            id="x",
            model="m",
            candidates=(Candidate((ServerCall("messages", "x", raw=Raw(raw)),), Finish("pause")),),
            ext={"container": Raw(b'{"id":"c"}')},
        )
        body = MESSAGES.encode_response(response, ANSWER)
        assert raw in body
        assert b'"container":{"id":"c"}' in body
        assert b'"stop_reason":"pause_turn"' in body

    def test_refusals_have_details(self) -> None:
        assert encode(reason="filtered")["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


def test_usage_of_an_answer_that_passes_through() -> None:
    usage = MESSAGES.usage(msgspec.Raw(b'{"input_tokens":3,"cache_creation_input_tokens":2}'))
    assert usage is not None
    assert (usage.fresh, usage.cache_write, usage.visible) == (3, 2, None)
    for body in (b"", b"[]", b"null", b"3", b'{"input_tokens":"x"}', b"\xff"):
        assert MESSAGES.usage(msgspec.Raw(body)) is None
