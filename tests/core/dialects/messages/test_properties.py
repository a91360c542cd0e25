"""What holds for every conversation: the API's demands on ``messages``, and meaning kept there and back."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.messages.body import Body, read, read_by_field
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Carrier,
    FunctionTool,
    Instruction,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Role,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

IDS = st.sampled_from(["a", "b", "c.d", "", "x" * 300])
TEXT = st.builds(Text, st.sampled_from(["", " ", "hi", "é\u2028"]))
SAID: st.SearchStrategy[Part] = st.one_of(
    TEXT,
    st.builds(Reasoning, st.just("t")),
    st.just(Reasoning("t", carriers=(Carrier("anthropic.signature", "s"),))),
    st.builds(ToolCall, IDS, st.sampled_from(["f", "g.h"]), st.sampled_from(["", "{}", '{"a":1}', "bad"])),
)
HEARD: st.SearchStrategy[Part] = st.one_of(
    TEXT, st.builds(ToolResult, IDS, st.lists(TEXT, max_size=2).map(tuple), is_error=st.sampled_from([None, True]))
)


def turn(role: Role) -> st.SearchStrategy[Turn]:
    parts = SAID if role == "assistant" else HEARD if role == "user" else TEXT
    return st.lists(parts, max_size=3).map(lambda found: Turn(role, tuple(found)))


TURNS = st.lists(st.one_of(turn("user"), turn("assistant"), turn("system")), max_size=7)
MODELS = st.sampled_from(["claude-opus-4-8", "claude-sonnet-4-5", "claude-opus-5-5", "qwen"])


def messages_of(turns: list[Turn], model: str) -> list[dict[str, Any]]:
    # The user has the last word, because some models refuse to continue an assistant's.
    request = Request(model=model, dialect="chat", turns=(*turns, Turn("user", (Text("end"),))))
    found: list[dict[str, Any]] = json.loads(MESSAGES.encode_request(request, Profile()).body)["messages"]
    return found


@given(TURNS, MODELS)
def test_the_demands_of_the_api_hold(turns: list[Turn], model: str) -> None:
    messages = messages_of(turns, model)
    assert messages[0]["role"] == "user"
    seen: set[str] = set()
    for before, message in zip([None, *messages], messages, strict=False):
        role, content = message["role"], message["content"]
        assert content
        assert before is None or role == "system" or before["role"] != role
        assert role != "system" or before is None or before["role"] in ("user", "system")
        assert all(block["text"] for block in content if block["type"] == "text")
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        assert not seen & set(calls)
        assert len(set(calls)) == len(calls)
        seen |= set(calls)
        results = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        asked = [block["id"] for block in before["content"] if block["type"] == "tool_use"] if before else []
        assert results == asked
        assert [block["type"] for block in content[: len(results)]] == ["tool_result"] * len(results)


@given(TURNS, TURNS, MODELS)
def test_more_turns_only_append(turns: list[Turn], more: list[Turn], model: str) -> None:
    """As long as what comes later does not answer earlier calls, what was written stays as it was."""
    later = [Turn(t.role, tuple(part for part in t.parts if not isinstance(part, ToolResult))) for t in more]

    def blocks(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(message["role"], json.dumps(block)) for message in found for block in message["content"]]

    shorter = blocks(messages_of(turns, model))
    longer = blocks(messages_of([*turns, Turn("user", (Text("end"),)), *later], model))
    assert longer[: len(shorter)] == shorter


WIRE_BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.sampled_from(["a", "b"])),
    st.just({"type": "thinking", "thinking": "t", "signature": "s"}),
    st.just({"type": "redacted_thinking", "data": "d"}),
    st.just({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}),
    st.just({"type": "hologram", "x": 1}),
)


@given(st.lists(WIRE_BLOCKS, min_size=1, max_size=4), st.booleans())
def test_what_comes_from_this_api_goes_back_unchanged(blocks: list[Any], call: bool) -> None:
    said, heard = list(blocks), [{"type": "text", "text": "go on"}]
    if call:
        said.append({"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1.0]}})
        heard.insert(0, {"type": "tool_result", "tool_use_id": "t1", "content": "r", "is_error": False})  # type: ignore[dict-item]  # JSON of several shapes
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 99,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": said},
            {"role": "user", "content": heard},
        ],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": []},
        "stream": True,
    }
    encoded = MESSAGES.encode_request(MESSAGES.decode_request(json.dumps(body).encode()), Profile())
    assert json.loads(encoded.body) == body
    assert encoded.warnings == ()


@given(
    MODELS,
    st.sampled_from([None, "auto", "none", "required"]),
    st.sampled_from([None, "none", "minimal", "high", "max", "odd"]),
    st.sampled_from([None, -1, 0, 1, 5000, 10**9]),
    st.sampled_from([None, 1, 1024, 1025, 5000, 10**9]),
)
def test_thinking_always_fits_its_limits(model: str, mode: Any, effort: Any, budget: Any, limit: Any) -> None:
    request = Request(
        model=model,
        dialect="responses",
        instructions=(Instruction((Text("s"),)),),
        turns=(Turn("user", (Text("x"),)),),
        tools=(FunctionTool("f", schema=Raw(b"{}")),),
        tool_choice=ToolChoice(mode) if mode else None,
        reasoning=ReasoningConfig(effort=effort, budget=budget),
        max_output=limit,
    )
    body = json.loads(MESSAGES.encode_request(request, Profile()).body)
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        assert body.get("tool_choice", {}).get("type") != "any" or model == "qwen"
    assert body["max_tokens"] <= (limit or body["max_tokens"])
    assert body.get("output_config", {}).get("effort") in (None, "low", "medium", "high", "xhigh", "max")


SOMETIMES_WRONG = st.sampled_from([None, 1, 0.5, -1, True, "", "x", [], ["s"], {}, {"type": "ephemeral"}])
TOP_LEVEL: dict[str, list[Any]] = {
    "model": ["m"],
    "max_tokens": [5],
    "messages": [
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": []}],
        [{"role": "assistant", "content": [{"type": "hologram"}]}],
        [{"role": "nobody", "content": "hi"}],
    ],
    "system": ["s", [{"type": "text", "text": "s"}]],
    "tools": [[{"name": "f", "input_schema": {}}], [{"type": "bash_20250124"}, {"name": "g"}], [{}]],
    "tool_choice": [{"type": "any"}, {"type": "tool", "name": "f"}, {"type": "odd"}],
    "temperature": [1, 0.5],
    "top_p": [0.5],
    "top_k": [5],
    "stop_sequences": [["s"]],
    "stream": [True],
    "thinking": [{"type": "adaptive"}, {"type": "odd"}],
    "output_config": [{"effort": "high"}, {"format": {"type": "json_schema", "schema": {}}}],
    "output_format": [{"type": "json_schema", "schema": {"type": "object"}}],
    "cache_control": [{"type": "ephemeral", "ttl": "1h"}],
    "metadata": [{"user_id": "u"}],
    "service_tier": ["auto", "standard_only"],
    "thread": [{"type": "new"}, {"type": "continue"}],
    "context_management": [{"edits": []}],
    "container": ["c"],
}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies in any order of fields, most of them right."""
    names = draw(st.permutations(["model", "max_tokens", "messages", *draw(st.sets(st.sampled_from([*TOP_LEVEL])))]))
    values = {name: draw(st.sampled_from(TOP_LEVEL[name])) for name in names}
    if draw(st.integers(0, 3)) == 0:
        values[draw(st.sampled_from(names))] = draw(SOMETIMES_WRONG)
    return json.dumps(values).encode()


@given(bodies())
def test_a_body_reads_the_same_at_once_and_by_field(body: bytes) -> None:
    def outcome(way: Callable[[bytes], tuple[Body, dict[str, Raw]]]) -> Any:
        try:
            wire, rest = way(body)
        except ClientError as error:
            return (error.code, error.param, str(error))
        return {**structs.asdict(wire), "context_management": None}, list(rest.items())

    assert outcome(read) == outcome(read_by_field)
