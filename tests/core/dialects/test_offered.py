"""Tools of another provider that are merely offered: left out and named, unless the request is about them."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Encoded, Profile
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import (
    CustomTool,
    FunctionTool,
    HostedTool,
    Part,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolChoice,
    Turn,
)

DIALECTS = {"chat": CHAT, "gemini": GEMINI, "messages": MESSAGES, "responses": RESPONSES}
OWN = FunctionTool("own")
OFFERED = {
    "chat": ("tools.offered", HostedTool("responses", "web_search")),
    "gemini": ("tools.offered", HostedTool("responses", "file_search")),
    "messages": ("tools.offered", HostedTool("responses", "web_search")),
    "responses": ("offered_tool", HostedTool("messages", "web_fetch", "web_fetch")),
}
"""By the upstream's dialect: what the loss is called there, and a tool that the upstream has not."""


@pytest.fixture(params=list(OFFERED))
def upstream(request: pytest.FixtureRequest) -> Any:
    return request.param


def encode(upstream: Any, *tools: Any, parts: tuple[Part, ...] = (), keep: bool = False, **more: Any) -> Encoded:
    turns = Turn("user", (Text("go"),)), Turn("assistant", (Text("yes"), *parts)), Turn("user", (Text("on"),))
    profile = Profile(provider="vllm", origin=False, hosted_tools="refuse" if keep else "drop")
    dialect = OFFERED[upstream][1].dialect
    return DIALECTS[upstream].encode_request(
        Request(model="m", dialect=dialect, turns=turns, tools=tools, **more), profile
    )


def names(encoded: Encoded) -> list[str]:
    tools = json.loads(encoded.body)["tools"]
    tools = tools[0].get("functionDeclarations", tools)
    return [tool.get(tool["type"], tool)["name"] if "type" in tool else tool["name"] for tool in tools]


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("required"), ToolChoice("tool", name="own")])
def test_a_tool_beside_the_callers_own_is_left_out_and_named(upstream: Any, choice: ToolChoice | None) -> None:
    loss, tool = OFFERED[upstream]
    encoded = encode(upstream, tool, OWN, tool_choice=choice)
    assert names(encoded) == ["own"]
    assert (loss, "warn") in [(warned.field, warned.action) for warned in encoded.warnings]


def test_free_text_tools_are_the_callers_own_too(upstream: Any) -> None:
    assert names(encode(upstream, CustomTool("patch"), OFFERED[upstream][1])) == ["patch"]


def test_the_only_tool_is_what_the_request_is_about(upstream: Any) -> None:
    tool = OFFERED[upstream][1]
    for tools in ((tool,), (tool, tool)):
        with pytest.raises(TranslationError):
            encode(upstream, *tools)


def test_a_chosen_tool_is_not_left_out(upstream: Any) -> None:
    tool = OFFERED[upstream][1]
    for choice in (
        ToolChoice("hosted", hosted=tool.kind),
        ToolChoice("tool", name=tool.kind),
        ToolChoice("allowed", names=("own", tool.kind)),
    ):
        with pytest.raises(TranslationError):
            encode(upstream, OWN, tool, tool_choice=choice)


def test_a_tool_that_was_used_is_not_left_out(upstream: Any) -> None:
    tool = OFFERED[upstream][1]
    for used in (ServerCall(tool.dialect, tool.kind), ServerResult(tool.dialect, tool.kind, text="found")):
        with pytest.raises(TranslationError):
            encode(upstream, OWN, tool, parts=(used,))
    # What another tool found is no reason.
    assert names(encode(upstream, OWN, tool, parts=(ServerCall(tool.dialect, "code"),))) == ["own"]


def test_a_target_may_refuse_them_all(upstream: Any) -> None:
    with pytest.raises(TranslationError) as caught:
        encode(upstream, OWN, OFFERED[upstream][1], keep=True)
    assert caught.value.param is not None
    assert "tools" in caught.value.param


def test_without_the_search_for_tools_none_is_deferred() -> None:
    tools = FunctionTool("own", defer_loading=True), HostedTool("responses", "tool_search")
    (written,) = json.loads(encode("messages", *tools).body)["tools"]
    assert "defer_loading" not in written
