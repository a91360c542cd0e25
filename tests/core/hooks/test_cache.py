"""The cache of answers, over every dialect, streamed or not, before and after."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway, Identity
from asgi_llm.stores import opening
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import Answer, ASGIDriver, Call, chat_error, chat_events

ALL = ("chat", "messages", "responses", "gemini")
every = pytest.mark.parametrize("caller", ALL)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CACHE = {"sampling": "unset"}
LEDGER: dict[str, Any] = {"enabled": True}


async def ask(up: Any, caller: str = "chat", prompt: str = "hi", **more: Any) -> Any:
    got = await up.ask(caller, prompt, **more)
    for task in list(up.gateway.runtime()._tasks):
        if "keeping" in task.get_name():
            await task
    return got


@every
@streamed
@pytest.mark.parametrize("again", [False, True], ids=["then whole", "then stream"])
@pytest.mark.parametrize("spoken", ["chat", "messages"])
async def test_the_second_time_it_is_answered_here(
    world: Any, caller: str, stream: bool, again: bool, spoken: str
) -> None:
    up = await world(spoken, cache=CACHE)
    up.says("Hel", "lo", stream=stream)
    first = await ask(up, caller, stream=stream)
    second = await ask(up, caller, stream=again)
    assert (first.headers["x-llm-cache"], second.headers["x-llm-cache"]) == ("miss", "hit")
    assert (first.text, second.text, second.finish) == ("Hello", "Hello", "end")
    assert second.status == 200
    assert len(up.upstream.requests) == 1
    assert [exchange.outcome for exchange in up.settled] == ["ok", "ok"]
    assert (up.settled[1].usage, up.settled[1].attempts, up.settled[1].finish) == (None, (), "end")


async def test_callers_of_different_dialects_may_ask_the_same(world: Any) -> None:
    up = await world("chat", cache=CACHE)
    up.says("Hello")
    await ask(up, "messages", max_tokens=5, system="s")
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    got = await ask(up, "chat", max_tokens=5, messages=said, stream=True)
    assert (got.headers["x-llm-cache"], got.text) == ("hit", "Hello")
    system = {"parts": [{"text": "s"}]}
    got = await ask(up, "gemini", generationConfig={"maxOutputTokens": 5}, systemInstruction=system)
    assert got.text == "Hello"
    assert (await ask(up, "responses", max_output_tokens=5, instructions="s")).text == "Hello"


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "hi "},
        {"model": "n"},
        {"temperature": 0},
        {"max_tokens": 5},
        {"unknown": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "odd": 1}]}]},
        {"headers": {"openai-beta": "x"}},
        {"identity": Identity(subject="ann", tenant="other")},
    ],
)
async def test_what_is_not_the_same_is_asked_anew(world: Any, other: Any) -> None:
    """Also what only the upstream understands."""
    up = await world("chat", cache=CACHE)
    ann = {"identity": Identity(subject="ann", tenant="acme")}
    up.says("one")
    up.says("two")
    assert (await ask(up, **ann)).text == "one"
    assert (await ask(up, **{**ann, **other})).text == "two"


@pytest.mark.parametrize(("scope", "text"), [("tenant", "one"), ("subject", "two")])
async def test_who_gets_it_again(world: Any, scope: str, text: str) -> None:
    up = await world("chat", cache={**CACHE, "scope": scope})
    up.says("one")
    if text == "two":
        up.says("two")
    await ask(up, identity=Identity(subject="ann", tenant="acme"))
    assert (await ask(up, identity=Identity(subject="bob", tenant="acme"))).text == text


TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}


@pytest.mark.parametrize(
    ("settings", "more", "cached"),
    [
        ({}, {}, False),
        ({}, {"temperature": 0}, True),
        ({}, {"temperature": 0.5}, False),
        ({"sampling": "unset"}, {"temperature": 0.5}, False),
        ({"sampling": "any"}, {"temperature": 0.5}, True),
        ({"sampling": "any"}, TOOLS, False),
        ({"sampling": "any", "tools": True}, TOOLS, True),
        ({"sampling": "any", "models": ["big-*"]}, {}, False),
        ({"sampling": "any", "enabled": False}, {}, False),
        ({"sampling": "any"}, {"headers": {"cache-control": "no-store"}}, False),
        ({"sampling": "any", "max_entry": 256}, {}, False),
    ],
)
async def test_what_is_kept(world: Any, settings: Any, more: Any, cached: bool) -> None:
    up = await world("chat", cache=settings)
    for _ in range(1 if cached else 2):
        up.says("Hello " * 20)
    for _ in range(2):
        assert (await ask(up, **more)).status == 200
    assert len(up.upstream.requests) == (1 if cached else 2)


async def test_a_caller_may_want_it_fresh(world: Any) -> None:
    up = await world("chat", cache=CACHE)
    up.says("one")
    up.says("two")
    await ask(up)
    fresh = await ask(up, headers={"cache-control": "no-cache"})
    assert (fresh.text, fresh.headers["x-llm-cache"]) == ("two", "miss")
    assert (await ask(up)).text == "two"
    up.says("three")
    assert (await ask(up, headers={"cache-control": "max-age=0"})).text == "three"


@pytest.mark.parametrize(
    "answer",
    [
        chat_error(400),
        Answer.sse(chat_events(("Hel", "lo"))[:3]),
        Answer.sse(chat_events(("Hel", "lo"), finish="length")),
        Answer.sse(chat_events(("Hel", "lo"), finish="content_filter")),
    ],
    ids=["error", "broken off", "cut short", "filtered"],
)
async def test_what_is_no_whole_answer_is_not_kept(world: Any, answer: Answer) -> None:
    up = await world("chat", cache=CACHE, targets={})
    up.push(answer)
    await ask(up, stream=True)
    asked = len(up.upstream.requests)
    up.says("Hello")
    assert (await ask(up)).text == "Hello"
    assert len(up.upstream.requests) == asked + 1


@every
async def test_calls_of_tools_come_again_as_they_were(world: Any, caller: str) -> None:
    tools: Any = {
        "chat": TOOLS,
        "messages": {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        "responses": {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]},
        "gemini": {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]},
    }
    up = await world("chat", cache={**CACHE, "tools": True})
    up.says("", calls=[Call("f", '{"a":1}')])
    await ask(up, caller, **tools[caller])
    got = await ask(up, caller, stream=True, **tools[caller])
    assert [json.loads(call) for call in got.calls] == [{"a": 1}]
    assert got.headers["x-llm-cache"] == "hit"


@streamed
async def test_guards_look_at_it_each_time(world: Any, stream: bool) -> None:
    guard = {"name": "g", "kind": "patterns", "not_roles": ["admin"],
             "rules": [{"pattern": "secret", "replacement": "[s]"}]}  # fmt: skip
    up = await world("chat", cache=CACHE, guards=[guard])
    up.says("a sec", "ret", stream=stream)
    root, ann = Identity(subject="root", roles=("admin",)), Identity(subject="ann")
    assert (await ask(up, stream=stream, identity=root)).text == "a secret"
    got = await ask(up, stream=stream, identity=ann)
    assert (got.text, got.headers["x-llm-cache"]) == ("a [s]", "hit")


async def test_the_ledger_says_so_and_nothing_is_charged(world: Any) -> None:
    quota = {"name": "q", "resource": "tokens", "window": "day", "limit": 10_000}
    up = await world("chat", cache=CACHE, ledger=LEDGER, quotas=[quota])
    up.says("Hello")
    await ask(up)
    await ask(up)
    await up.gateway.runtime().ledger.flush()
    kept = up.gateway._foundation._ledger
    first, second = sorted(await kept.rows(ANYBODY), key=lambda row: row.id)
    assert (first.flags, first.attempts, second.flags) == ((), 1, ("cached",))
    assert (second.cost, second.cost_source, second.attempts, second.fresh) == (0, "cached", 0, None)
    assert second.outcome == "ok"


async def test_a_store_that_is_down_is_a_miss(world: Any) -> None:
    pytest.importorskip("redis")
    up = await world("chat", cache={**CACHE, "url": "redis://127.0.0.1:9/0"})
    up.says("one")
    up.says("two")
    assert (await ask(up)).text == "one"
    assert (await ask(up)).text == "two"


async def test_two_gateways_share_what_is_on_a_redis(world: Any, redis_url: str) -> None:
    pytest.importorskip("redis")
    one = await world("chat", cache=CACHE, state={"url": redis_url, "prefix": "shared"})
    other = await world("chat", cache=CACHE, state={"url": redis_url, "prefix": "shared"})
    one.says("Hello")
    await ask(one)
    assert (await ask(other, "chat", stream=True)).text == "Hello"
    assert not other.upstream.requests


async def test_the_applications_own_cache_keeps_it() -> None:
    kept: dict[str, bytes] = {}

    class Cache:
        def get(self, key: str) -> bytes | None:
            return kept.get(key)

        def set(self, key: str, value: bytes, timeout: int) -> None:
            kept[key] = value

    settings = {"targets": {"e": {"provider": "echo"}}, "auth": {"anonymous": True}, "cache": CACHE}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    states = []
    async with Gateway(settings, cache=Cache()).running() as gateway:
        for tenant in ("acme", "acme", "other"):
            scope = {"asgi_llm.identity": Identity(subject="ann", tenant=tenant)}
            sent = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body, scope=scope)
            states.append((await sent.start()).header("x-llm-cache"))
            await sent.finished()
            while any("keeping" in task.get_name() for task in gateway.runtime()._tasks):
                await asyncio.sleep(0.001)
    assert states == ["miss", "hit", "miss"]
    assert len(kept) == 2
    assert all("ann" not in name and "acme" not in name for name in kept)


def test_a_cache_that_cannot_be_had_is_told_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "HOST_CACHES", {})
    with pytest.raises(ConfigError, match=r"cache\.url"):
        Gateway({"targets": {"e": {"provider": "echo"}}, "cache": {"url": "django"}})


async def test_a_store_that_does_not_answer_is_not_waited_for(world: Any) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    pytest.importorskip("redis")
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    up = await world("chat", cache={**CACHE, "url": f"redis://127.0.0.1:{port}/0", "timeout": 0.01})
    up.says("one")
    got = await ask(up)
    assert (got.text, "x-llm-cache" in got.headers) == ("one", False)
    server.close()
