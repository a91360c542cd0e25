"""Web search that the gateway does, for models that only know functions."""

import asyncio
import sys
from types import ModuleType
from typing import Any

import anthropic
import pytest

from asgi_llm import Gateway
from asgi_llm.errors import ConfigError
from asgi_llm.hosted.search import SearchQuery
from asgi_llm.testing import Answer, Call, Recorded, ScriptedUpstream, Tokens

ASK = Call("web_search", '{"query": "capital of France"}', "call_1")
PAGES = [
    {"url": "https://a.example/paris", "title": "Paris", "text": "Paris is the capital of France."},
    {"url": "https://b.example/lyon", "title": "Lyon", "text": "Lyon is not."},
]


def other(dialect: str, upstream: ScriptedUpstream) -> dict[str, Any]:
    """Settings of a target that speaks the dialect and has no search of its own."""
    provider = {"chat": "openai", "messages": "vllm", "responses": "openai_compatible"}.get(dialect, "openai")
    target = {"provider": provider, "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": [dialect]}
    return {"targets": {"up": target}}


class Searched:
    """A search that remembers what it was asked."""

    def __init__(self, *pages: Any) -> None:
        self.pages = pages or PAGES
        self.asked: list[SearchQuery] = []

    async def __call__(self, query: SearchQuery) -> Any:
        self.asked.append(query)
        return self.pages


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_for_callers_of_responses(open_sdk: Any, speaks: Any, dialect: str, stream: bool) -> None:
    find = Searched()
    model = speaks(dialect, {"calls": [ASK], "tokens": Tokens(input=1, output=2)}, {"text": "Paris."})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, dialect, web_search=find, more=other(dialect, upstream))
        wish = {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}
        request = {"model": "m", "input": "Capital?", "tools": [wish]}
        if stream:
            async with client.responses.stream(**request) as events:
                kinds = [event.type async for event in events]
                response = await events.get_final_response()
            assert [kind for kind in kinds if "web_search" in kind] == [
                "response.web_search_call.in_progress",
                "response.web_search_call.searching",
                "response.web_search_call.completed",
            ]
        else:
            response = await client.responses.create(**request, tool_choice={"type": "web_search"})
        call, message = response.output
        assert (call.type, call.status, call.action.query) == ("web_search_call", "completed", "capital of France")
        assert [source.url for source in call.action.sources] == [page["url"] for page in PAGES]
        assert message.content[0].text == "Paris."
        assert response.tools[0].type == "web_search"
        (asked,) = find.asked
        assert (asked.query, asked.allowed_domains, asked.identity.subject) == (
            "capital of France", ("a.example",), "ann"
        )  # fmt: skip
        assert "Paris is the capital of France." in upstream.requests[1].body.decode()
        model.rounds = [{"text": "Sure."}]
        await client.responses.create(model="m", input="Sure?", previous_response_id=response.id, tools=[wish])
        key = "input" if dialect == "responses" else "messages"
        assert plain(upstream.requests[2].json[key])[: len(upstream.requests[1].json[key])] == plain(
            upstream.requests[1].json[key]
        )


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "cache_control"}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_for_callers_of_messages(open_sdk: Any, speaks: Any, dialect: str, stream: bool) -> None:
    model = speaks(dialect, {"text": "Let me see.", "calls": [ASK]}, {"text": "Paris."})
    async with ScriptedUpstream(model) as upstream:
        settings = other(dialect, upstream)
        client = await open_sdk(
            upstream, dialect, web_search=Searched(), more=settings, library=anthropic.AsyncAnthropic
        )
        tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
        turns: list[Any] = [{"role": "user", "content": "Capital?"}]
        request = {"model": "m", "max_tokens": 100, "messages": turns, "tools": tools}
        if stream:
            async with client.messages.stream(**request) as events:
                message = await events.get_final_message()
        else:
            message = await client.messages.create(**request)
        said, use, found, end = message.content
        assert (said.text, use.type, use.input) == ("Let me see.", "server_tool_use", {"query": "capital of France"})
        assert (found.type, found.tool_use_id) == ("web_search_tool_result", use.id)
        assert [hit.url for hit in found.content] == [page["url"] for page in PAGES]
        assert (end.text, message.stop_reason) == ("Paris.", "end_turn")
        turns += [
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
            {"role": "user", "content": "Sure?"},
        ]
        model.rounds = [{"text": "Sure."}]
        await client.messages.create(**request)
        key = "input" if dialect == "responses" else "messages"
        earlier, later = (plain(one.json[key]) for one in upstream.requests[1:])
        assert later[: len(earlier)] == earlier


@pytest.mark.parametrize("hook", ["function", "thread", "imported", "endpoint"])
async def test_what_may_search(open_sdk: Any, speaks: Any, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def function(query: SearchQuery) -> Any:
        return PAGES[:1] if query.query else []

    def endpoint(request: Recorded) -> Answer:
        assert request.json["query"] == "capital of France"
        assert request.header("x-key") == "k3y"
        return Answer.json({"results": PAGES[:1]})

    module = ModuleType("searching")
    module.function = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "searching", module)
    async with ScriptedUpstream(speaks("chat", {"calls": [ASK]})) as upstream, ScriptedUpstream(endpoint) as there:
        hooks = {
            "function": function,
            "thread": lambda query: PAGES[:1],
            "imported": "searching:function",
            "endpoint": f"{there.url}/find",
        }
        client = await open_sdk(upstream, web_search=hooks[hook], web_search_headers={"x-key": "k3y"})
        response = await client.responses.create(model="m", input="x", tools=[{"type": "web_search"}])
        assert [source.url for source in response.output[0].action.sources] == ["https://a.example/paris"]


async def slow(_query: SearchQuery) -> Any:
    await asyncio.Event().wait()


async def broken(_query: SearchQuery) -> Any:
    raise RuntimeError("secret inside")


async def strange(_query: SearchQuery) -> Any:
    return ["no page"]


@pytest.mark.parametrize("hook", [slow, broken, strange, "http://127.0.0.1:9/find"])
async def test_a_search_that_fails_is_no_end(open_sdk: Any, speaks: Any, hook: Any) -> None:
    async with ScriptedUpstream(speaks("chat", {"calls": [ASK]}, {"text": "I do not know."})) as upstream:
        client = await open_sdk(upstream, web_search=hook, search_timeout=0.2)
        response = await client.responses.create(model="m", input="x", tools=[{"type": "web_search"}])
        assert response.output[0].status == "failed"
        assert response.output_text == "I do not know."
        assert "secret" not in response.model_dump_json() + upstream.requests[1].body.decode()


async def test_whoever_leaves_is_not_searched_for(open_sdk: Any, speaks: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def search(_query: SearchQuery) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with ScriptedUpstream(speaks("chat", {"calls": [ASK]})) as upstream:
        client = await open_sdk(upstream, web_search=search)
        asking = asyncio.create_task(client.responses.create(model="m", input="x", tools=[{"type": "web_search"}]))
        await begun.wait()
        asking.cancel()
        async with asyncio.timeout(60):
            await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_the_origin_searches_itself(open_sdk: Any, speaks: Any) -> None:
    find = Searched()
    async with ScriptedUpstream(speaks("messages")) as upstream:
        client = await open_sdk(upstream, "messages", web_search=find, library=anthropic.AsyncAnthropic)
        tools = [{"type": "web_search_20250305", "name": "web_search"}]
        turns = [{"role": "user", "content": "x"}]
        await client.messages.create(model="claude-x", max_tokens=9, messages=turns, tools=tools)
        assert upstream.requests[0].json["tools"] == tools


@pytest.mark.parametrize("value", ["nothing", "a b:c", "ftp://x/y"])
def test_what_is_no_search_is_told_at_load(value: str) -> None:
    with pytest.raises(ConfigError, match=r"tools\.web_search"):
        Gateway({"targets": {"echo": {"provider": "echo"}}, "tools": {"web_search": value}})
