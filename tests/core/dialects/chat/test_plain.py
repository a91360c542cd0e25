"""What ``peek`` calls plain needs no patch: where a server spares it, the patch would leave it as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.peek import peek
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.providers.registry import PROVIDERS

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
SERVERS = sorted(PROVIDERS)

texts = st.text(max_size=8)
contents = st.none() | texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2)
functions = st.fixed_dictionaries(
    {"name": texts}, optional={"parameters": st.just({"type": "object"}), "strict": st.booleans()}
)
tools = st.fixed_dictionaries({"type": st.sampled_from(["function", "custom"]), "function": functions})
calls = st.fixed_dictionaries({"id": texts, "type": st.just("function"), "function": st.just({"name": "f"})})
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]), "content": contents},
    optional={
        "tool_calls": st.lists(calls, max_size=2),
        "tool_call_id": texts,
        "reasoning_content": texts,
        "name": texts,
    },
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(turns, max_size=3)},
    optional={
        "stream": st.booleans(),
        "max_tokens": st.integers(),
        "max_completion_tokens": st.integers(),
        "temperature": st.floats(0, 3),
        "top_p": st.floats(0, 1),
        "stop": texts | st.lists(texts, max_size=6),
        "tools": st.lists(tools, max_size=2),
        "store": st.booleans(),
        "seed": st.integers(),
    },
)


@given(body=bodies, server=st.sampled_from(SERVERS))
def test_a_server_that_spares_plain_bodies_would_not_change_them(body: dict[str, Any], server: str) -> None:
    raw = json.dumps(body).encode()
    make = DIALECTS["chat"].patcher
    assert make is not None
    patcher = make(PROVIDERS[server].profile, "m")
    if patcher is not None and patcher.spares_plain and peek("chat", raw).plain:
        patched = patcher.patch(raw)
        assert patched is not None
        assert (patched.body, patched.warnings) == (raw, ())


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_tokens": 9, "temperature": 0.5, "top_p": 1, "stop": ["a"], "stream": True},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {}}]}]},
    ],
)
def test_ordinary_requests_are_plain(more: dict[str, Any]) -> None:
    assert peek("chat", json.dumps(PLAIN | more).encode()).plain


@pytest.mark.parametrize(
    "more",
    [
        {"max_completion_tokens": 9},
        {"metadata": {}},
        {"anything": 1},
        {"stop": ["a"] * 5},
        {"messages": [{"role": "developer", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "Hi", "name": "n"}]},
        {"tools": [{"type": "function", "function": {"name": "f", "strict": False}}]},
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
    ],
)
def test_others_are_looked_at(more: dict[str, Any]) -> None:
    envelope = peek("chat", json.dumps(PLAIN | more).encode())
    assert (envelope.model, envelope.plain) == ("m", False)


def test_the_generic_server_spares_them() -> None:
    make = DIALECTS["chat"].patcher
    assert make is not None
    patcher = make(PROVIDERS["openai_compatible"].profile, "m")
    assert patcher is not None
    assert patcher.spares_plain
