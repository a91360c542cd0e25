"""What is found in an answer is what the next request names."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.affinity import read_keys
from asgi_llm.routing.balance.produced import Produced

SCOPE = "t\nme"


def found(data: bytes, cuts: list[int]) -> list[str]:
    produced = Produced()
    before = 0
    for cut in sorted({cut % (len(data) + 1) for cut in cuts}):
        produced.feed(data[before:cut])
        before = cut
    produced.feed(data[before:])
    return produced.origins(SCOPE)


def sse(*events: Any) -> bytes:
    return b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)


CASES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a stored response": (
        json.dumps({"id": "resp_abc", "object": "response", "output": []}).encode(),
        {"previous_response_id": "resp_abc", "input": "and now?"},
    ),
    "a stored response, streamed": (
        sse({"type": "response.created", "response": {"id": "resp_abc"}}, {"type": "response.completed"}),
        {"previous_response_id": "resp_abc", "input": "and now?"},
    ),
    "encrypted reasoning": (
        sse({"item": {"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAA=="}}),
        {"input": [{"type": "reasoning", "encrypted_content": "gAAA=="}]},
    ),
    "a signature": (
        sse({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "EqQB/+=="}}),
        {"messages": [{"role": "assistant", "content": [{"type": "thinking", "signature": "EqQB/+=="}]}]},
    ),
    "redacted thinking": (
        json.dumps({"content": [{"type": "redacted_thinking", "data": "Emx"}]}).encode(),
        {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "Emx"}]}]},
    ),
    "a thought signature": (
        b'[{"candidates": [{"content": {"parts": [{"thoughtSignature": "a\\/b"}]}}]}]',
        {"contents": [{"role": "model", "parts": [{"thoughtSignature": "a/b"}]}]},
    ),
}


@pytest.mark.parametrize("case", CASES)
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_the_next_request_names_what_was_found_however_it_was_cut(case: str, cuts: list[int]) -> None:
    answer, request = CASES[case]
    keys = read_keys(SCOPE, [], json.dumps(request).encode())
    assert keys.origins
    assert set(keys.origins) <= set(found(answer, cuts))
    # Another caller's request does not lead there.
    others = read_keys("t\nyou", [], json.dumps(request).encode())
    assert not set(others.origins) & set(found(answer, cuts))


def test_what_is_no_origin_is_not_taken_for_one() -> None:
    assert found(sse({"id": "chatcmpl-1", "choices": [{"delta": {"content": '"signature": "x"'}}]}), []) == []
    assert found(json.dumps({"type": "image", "data": "aGk="}).encode(), []) == []


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at(data: bytes) -> None:
    found(data, [])


def test_a_long_answer_is_not_kept() -> None:
    produced = Produced()
    for _ in range(1000):
        produced.feed(b"x" * 65536)
        assert len(produced._rest) <= 4 * 1024 * 1024
    for number in range(1000):
        produced.feed(b'{"signature": "s%d"}\n' % number)
    assert len(produced.origins(SCOPE)) == 16
