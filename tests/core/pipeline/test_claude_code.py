"""What Claude Code does besides plain requests, and what it must find."""

import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_text, gemini_text, messages_text

TARGETS: dict[str, tuple[dict[str, Any], Answer]] = {
    "chat": ({"provider": "openai_compatible"}, chat_text("All is well.")),
    "gemini": ({"provider": "gemini"}, gemini_text("All is well.")),
    "messages": ({"provider": "anthropic"}, messages_text("All is well.")),
}
HEADERS = [
    ("content-type", "application/json"),
    ("x-api-key", "sk-caller"),
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14"),
    ("anthropic-beta", "message-threads-2026-08-12"),
    ("x-claude-code-session-id", "5f0c"),
    ("x-app", "cli"),
]
TOOL = {"name": "WebSearch", "description": "Searches.", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
foreign = pytest.mark.parametrize("dialect", ["chat", "gemini"])


class Seat:
    """A gateway in front of an upstream, as Claude Code talks to it."""

    def __init__(self, upstream: ScriptedUpstream, dialect: str) -> None:
        target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-up", **TARGETS[dialect][0]}
        self.gateway = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}})

    async def ask(self, messages: Any, **more: Any) -> tuple[int, Any, dict[str, str]]:
        body = json.dumps({"model": "m", "max_tokens": 99, "messages": messages, **more}).encode()
        return await self.send("POST", "/v1/messages?beta=true", body)

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any, dict[str, str]]:
        async with self.gateway.running():
            exchange = await ASGIDriver(self.gateway.asgi).request(method, path, HEADERS, body)
            head = await exchange.start()
            data = await exchange.body()
            await exchange.finished()
        found = {name.decode(): value.decode() for name, value in head.headers}
        return head.status, json.loads(data) if data else None, found


async def test_its_web_search_is_refused_once_and_the_agent_goes_on() -> None:
    """The search is a request of its own, whose only tool the provider runs. Were the tool left out in silence, a model
    would answer without having searched, and the agent would search again and again. The refusal is one it does not
    repeat; the agent shows it to the model as the failure of that tool, and the conversation goes on."""
    async with ScriptedUpstream([TARGETS["chat"][1]]) as upstream:
        seat = Seat(upstream, "chat")
        question = [{"role": "user", "content": "Perform a web search for the query: asgi"}]
        for choice in ({}, {"tool_choice": {"type": "tool", "name": "web_search"}}):
            status, refusal, headers = await seat.ask(question, tools=[SEARCH], **choice)
            assert (status, refusal["type"], refusal["error"]["type"]) == (400, "error", "invalid_request_error")
            assert refusal["error"]["message"].startswith("tools[0].type: ")
            assert headers.get("x-should-retry") != "true"
            assert "retry-after" not in headers
        assert not upstream.requests, "the model was asked without the search"

        call = {"type": "tool_use", "id": "toolu_1", "name": "WebSearch", "input": {"query": "asgi"}}
        failed = {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True}
        failed["content"] = f"API Error: 400 {json.dumps(refusal)}"
        history = [*question, {"role": "assistant", "content": [call]}, {"role": "user", "content": [failed]}]
        status, answer, _ = await seat.ask(history, tools=[TOOL])
        assert (status, answer["content"][0]["text"]) == (200, "All is well.")
        told = upstream.requests[0].json["messages"][-1]
        assert told["role"] == "tool"
        assert refusal["error"]["message"] in told["content"], "the model must read why it failed"


@pytest.mark.parametrize("dialect", ["messages", "gemini"])
async def test_its_web_search_reaches_an_upstream_that_has_one(dialect: str) -> None:
    async with ScriptedUpstream([TARGETS[dialect][1]]) as upstream:
        status, _, _ = await Seat(upstream, dialect).ask([{"role": "user", "content": "asgi"}], tools=[SEARCH])
        assert status == 200
        assert upstream.requests[0].json["tools"] == ([SEARCH] if dialect == "messages" else [{"googleSearch": {}}])


@foreign
async def test_a_thread_that_goes_on_must_be_sent_whole(dialect: str) -> None:
    """Taken for the whole conversation, its last messages would be answered without all that came before."""
    async with ScriptedUpstream([TARGETS[dialect][1]] * 2) as upstream:
        seat = Seat(upstream, dialect)
        messages = [{"role": "user", "content": "Hello"}]
        status, answer, _ = await seat.ask(messages, thread={"type": "create"})
        assert (status, answer["content"][0]["text"]) == (200, "All is well.")
        assert b"thread" not in upstream.requests[0].body

        more = {"type": "continue", "previous_message_id": answer["id"]}
        status, refusal, headers = await seat.ask([{"role": "user", "content": "And now?"}], thread=more)
        assert (status, refusal["error"]["type"]) == (404, "not_found_error")
        assert (refusal["error"].get("details") or {}).get("error_code") == "thread_not_found"
        assert headers["x-llm-error-code"] == "thread_not_found"
        assert len(upstream.requests) == 1

        status, _, _ = await seat.ask([*messages, {"role": "user", "content": "And now?"}], thread={"type": "create"})
        assert (status, len(upstream.requests)) == (200, 2)


async def test_threads_betas_and_session_headers_pass_to_an_upstream_of_messages() -> None:
    async with ScriptedUpstream([TARGETS["messages"][1]]) as upstream:
        thread = {"type": "continue", "previous_message_id": "msg_1"}
        await Seat(upstream, "messages").ask([{"role": "user", "content": "And now?"}], thread=thread)
        (request,) = upstream.requests
    assert request.json["thread"] == thread
    assert request.header("anthropic-version") == "2023-06-01"
    assert request.header("anthropic-beta") == ", ".join(value for name, value in HEADERS if name == "anthropic-beta")
    assert (request.header("x-claude-code-session-id"), request.header("x-app")) == ("5f0c", "cli")
    assert request.header("x-api-key") == "sk-up"


@foreign
async def test_its_headers_stay_here_where_the_upstream_speaks_something_else(dialect: str) -> None:
    async with ScriptedUpstream([TARGETS[dialect][1]]) as upstream:
        await Seat(upstream, dialect).ask([{"role": "user", "content": "Hello"}])
        (request,) = upstream.requests
    names = {name for name, _ in request.headers}
    assert not [name for name in names if name.startswith((b"anthropic-", b"x-claude-code-"))]
    assert "beta" not in request.query


async def test_it_may_look_whether_anything_is_here() -> None:
    async with ScriptedUpstream() as upstream:
        status, body, _ = await Seat(upstream, "chat").send("HEAD", "/")
    assert (status, body) == (200, None)
