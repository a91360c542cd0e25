"""What is recorded of an exchange, whatever became of it. ``test_usage.py`` has the matrix of endings and usages."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.metering.row import Row
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Reset,
    ScriptedUpstream,
    Stall,
    Tokens,
    chat_completion,
    chat_error,
    chat_events,
    gemini_error,
    gemini_events,
    gemini_response,
    messages_error,
    messages_events,
    messages_message,
    responses_error,
    responses_events,
    responses_response,
)

DIALECTS = ("chat", "messages", "responses", "gemini")
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
BASES = {"chat": "/v1", "messages": "/v1", "responses": "/v1", "gemini": ""}
EVENTS: dict[str, Callable[..., list[Any]]] = {
    "chat": chat_events,
    "messages": messages_events,
    "responses": responses_events,
    "gemini": gemini_events,
}
WHOLE: dict[str, Callable[..., Any]] = {
    "chat": chat_completion,
    "messages": messages_message,
    "responses": responses_response,
    "gemini": gemini_response,
}
ERRORS: dict[str, Callable[..., Answer]] = {
    "chat": chat_error,
    "messages": messages_error,
    "responses": responses_error,
    "gemini": gemini_error,
}
TOKENS = Tokens(input=100, output=30, cached=60, reasoning=10)
SAID: dict[str, dict[str, Any]] = {
    "chat": {"fresh": 40, "cache_read": 60, "cache_write": None, "visible": 20, "reasoning": 10},
    "messages": {"fresh": 40, "cache_read": 60, "cache_write": None, "visible": 30, "reasoning": None},
    "responses": {"fresh": 40, "cache_read": 60, "cache_write": None, "visible": 20, "reasoning": 10},
    "gemini": {"fresh": 40, "cache_read": 60, "cache_write": None, "visible": 20, "reasoning": 10},
}
ANN = Identity(subject="ann", tenant="acme", key_id="k1")
PRICES = {"own": [{"model": "m", "input": 2, "output": 10, "cache_read": 0.5}], "library": False}


def request(dialect: str, stream: bool, **more: Any) -> tuple[str, dict[str, Any]]:
    """Path and body of a request."""
    if dialect == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/m:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **more}
    path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[dialect]
    said: dict[str, Any] = (
        {"input": "Hi"} if dialect == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    )
    limit = {"max_tokens": 50} if dialect == "messages" else {}
    return f"/v1/{path}", {"model": "m", "stream": stream, **limit, **said, **more}


def gateway(upstream: ScriptedUpstream, dialect: str, **more: Any) -> Gateway:
    target = {
        "provider": PROVIDERS[dialect],
        "base_url": upstream.url + BASES[dialect],
        "api_key": "k",
        "dialects": [dialect],
        "retry": {"attempts": 1},
        **more.pop("target", {}),
    }
    return Gateway({"targets": {"up": target}, "prices": PRICES, "ledger": {}, **more})


async def rows_of(gate: Gateway) -> list[Row]:
    writer = gate.runtime().ledger
    assert writer is not None
    await writer.flush()
    return await writer.ledger.rows(ANYBODY)


async def recorded(
    answer: Answer | list[Answer],
    caller: str,
    upstream_dialect: str | None = None,
    *,
    stream: bool,
    leave_after: int | None = None,
    body: dict[str, Any] | None = None,
    **more: Any,
) -> Row:
    """The row of one request. The caller leaves after so many pieces of the answer, where that is said."""
    async with ScriptedUpstream(answer) as upstream:
        gate = gateway(upstream, upstream_dialect or caller, **more)
        path, told = request(caller, stream)
        async with gate.running():
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN})
            exchange = await driver.request("POST", path, json=told | (body or {}))
            if leave_after is None:
                await exchange.body()
            else:
                if leave_after:
                    await exchange.start()
                for _ in range(leave_after):
                    await exchange.next_chunk()
                if not leave_after:
                    await upstream.wait_request()
                exchange.disconnect()
            await exchange.finished()
            (row,) = await rows_of(gate)
    return row


def tokens(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) or (None if name in ("cache_write", "reasoning") else getattr(row, name))
            for name in ("fresh", "cache_read", "cache_write", "visible", "reasoning")}  # fmt: skip


def midway(dialect: str) -> list[Any]:
    """The first events of a stream, usage so far where the dialect tells that as it goes."""
    events = copy.deepcopy(EVENTS[dialect](("Hello", " there", " you"), tokens=TOKENS))
    if dialect == "gemini":
        events[0]["usageMetadata"] = {"promptTokenCount": 100, "cachedContentTokenCount": 60, "totalTokenCount": 100}
        return events[:2]
    return events[: 6 if dialect == "responses" else 4]


def without_usage(value: Any) -> Any:
    """An answer or an event that says nothing of what was used."""
    value = copy.deepcopy(value)
    if isinstance(value, dict):
        for holder in (value, value.get("message"), value.get("response")):
            if isinstance(holder, dict):
                holder.pop("usage", None)
                holder.pop("usageMetadata", None)
    return value


streams = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
callers = pytest.mark.parametrize("caller", DIALECTS)
spoken = pytest.mark.parametrize("upstream", DIALECTS)


def answer(dialect: str, stream: bool, **options: Any) -> Answer:
    return Answer.sse(EVENTS[dialect](**options)) if stream else Answer.json(WHOLE[dialect](**options))


@callers
@spoken
@streams
async def test_a_complete_answer(caller: str, upstream: str, stream: bool) -> None:
    row = await recorded(answer(upstream, stream, tokens=TOKENS), caller, upstream, stream=stream)
    assert tokens(row) == SAID[upstream]
    assert (row.tenant, row.subject, row.key_id) == ("acme", "ann", "k1")
    assert (row.dialect, row.upstream_dialect, row.stream) == (caller, upstream, stream)
    assert (row.model, row.served, row.target, row.worker, row.attempts) == ("m", "m", "up", "up#0", 1)
    assert (row.status, row.outcome, row.error, row.finish) == (200, "ok", None, "end")
    assert (row.cost, row.market, row.cost_source) == (40 * 2 + 30 + 30 * 10, 410, "own")
    assert (row.flags, row.estimated, row.reported) == ((), False, None)
    assert row.first_byte_ms is not None
    assert 0 <= row.first_byte_ms <= row.total_ms


@callers
@spoken
async def test_a_stream_that_stops_midway(caller: str, upstream: str) -> None:
    row = await recorded(Answer.sse(midway(upstream)), caller, upstream, stream=True)
    assert (row.outcome, row.status) == ("interrupted", 200)
    assert row.error is not None
    if upstream in ("messages", "gemini"):
        # Of its output next to nothing was told by then.
        assert row.flags == ("partial_usage",)
        assert (row.fresh, row.cache_read) == (40, 60)
    else:
        assert row.flags == ("no_usage",)
        assert row.fresh
    assert row.estimated
    assert row.visible is not None
    assert 2 <= row.visible <= 4
    assert row.cost


@callers
@spoken
async def test_a_stream_whose_connection_breaks(caller: str, upstream: str) -> None:
    row = await recorded(Answer.sse([*midway(upstream), Reset()]), caller, upstream, stream=True)
    assert (row.outcome, row.attempts) == ("interrupted", 1)
    assert row.flags == (("partial_usage",) if upstream in ("messages", "gemini") else ("no_usage",))


@callers
@spoken
@streams
async def test_an_upstream_that_says_no(caller: str, upstream: str, stream: bool) -> None:
    row = await recorded(ERRORS[upstream](500), caller, upstream, stream=stream)
    assert (row.outcome, row.attempts, row.worker) == ("upstream_error", 1, "up#0")
    assert row.status >= 500
    assert row.error
    assert (row.fresh, row.visible, row.cost, row.cost_source, row.estimated) == (None, None, None, None, False)


@callers
@spoken
async def test_a_caller_that_leaves_in_the_middle(caller: str, upstream: str) -> None:
    row = await recorded(Answer.sse([*midway(upstream), Stall()]), caller, upstream, stream=True, leave_after=1)
    assert (row.outcome, row.status, row.attempts) == ("disconnected", 200, 1)
    if upstream in ("messages", "gemini"):
        assert (row.fresh, row.cache_read, row.flags) == (40, 60, ("partial_usage",))
    else:
        assert (row.flags, row.estimated) == (("no_usage",), True)
        assert row.fresh
    assert row.cost


@callers
@spoken
@streams
async def test_an_answer_that_says_nothing_of_what_was_used(caller: str, upstream: str, stream: bool) -> None:
    text = "word " * 100
    if stream:
        said = Answer.sse([without_usage(event) for event in EVENTS[upstream](tuple(["word "] * 100), tokens=None)])
    else:
        said = Answer.json(without_usage(WHOLE[upstream](text, tokens=None)))
    row = await recorded(said, caller, upstream, stream=stream)
    assert (row.outcome, row.estimated, row.flags) == ("ok", True, ("no_usage",))
    assert row.fresh == 8
    assert row.visible is not None
    assert 80 <= row.visible <= 220
    assert row.cost == 2 * row.fresh + 10 * row.visible


@callers
@spoken
async def test_usage_is_asked_for_and_not_shown_to_who_did_not_ask(caller: str, upstream: str) -> None:
    async with ScriptedUpstream(answer(upstream, True, tokens=TOKENS)) as server:
        gate = gateway(server, upstream)
        path, body = request(caller, True)
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN}).request("POST", path, json=body)
            shown = await exchange.body()
            await exchange.finished()
            (row,) = await rows_of(gate)
    if upstream == "chat":
        assert server.requests[0].json["stream_options"] == {"include_usage": True}
    if caller == "chat":
        assert b'"usage":{' not in shown
    assert tokens(row) == SAID[upstream]


async def test_a_refusal_by_the_gateway_itself() -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway(upstream, "chat", target={"deny": ["m"]})
        path, body = request("chat", False)
        async with gate.running():
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN})
            await (await driver.request("POST", path, json=body)).finished()
            await (await driver.request("POST", path, json=["no object"])).finished()
            bad, denied = await rows_of(gate)
    assert (denied.outcome, denied.status, denied.error, denied.attempts) == ("denied", 403, "model_not_permitted", 0)
    assert (denied.model, denied.target, denied.fresh, denied.cost, denied.cost_source) == (
        "m",
        None,
        None,
        0,
        "unsent",
    )
    assert (bad.outcome, bad.status, bad.model) == ("client_error", 400, None)


async def test_the_attempts_and_the_worker_that_served() -> None:
    async with (
        ScriptedUpstream(chat_error(500)) as first,
        ScriptedUpstream(answer("chat", False, tokens=TOKENS)) as second,
    ):
        workers = [{"url": f"{server.url}/v1"} for server in (first, second)]
        gate = gateway(first, "chat", target={"base_url": None, "workers": workers, "retry": {"base": 0}})
        path, body = request("chat", False)
        async with gate.running():
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN})
            await (await driver.request("POST", path, json=body)).finished()
            (row,) = await rows_of(gate)
    assert (row.outcome, row.attempts, row.worker, row.status, row.cost) == ("ok", 2, "up#1", 200, 410)


async def test_another_name_of_the_model_and_what_was_left_out() -> None:
    row = await recorded(
        answer("messages", False, tokens=TOKENS),
        "chat",
        "messages",
        stream=False,
        body={"model": "fast", "seed": 1},
        target={"models": {"fast": "m"}},
    )
    assert (row.model, row.served, row.cost, row.mode) == ("fast", "m", 410, "translated")
    assert row.warnings == ("seed;warn",)


@callers
async def test_tools_on_offer_and_in_use(caller: str) -> None:
    schema = {"type": "object", "properties": {}}
    bodies: dict[str, dict[str, Any]] = {
        "chat": {
            "tools": [{"type": "function", "function": {"name": "look", "parameters": schema}}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "seen"},
            ],
        },
        "messages": {
            "tools": [{"name": "look", "input_schema": schema}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "seen"}]},
            ],
        },
        "responses": {
            "tools": [{"type": "function", "name": "look", "parameters": schema}],
            "input": [
                {"role": "user", "content": "Hi"},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "seen"},
            ],
        },
        "gemini": {
            "tools": [{"functionDeclarations": [{"name": "look", "parameters": schema}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": "seen"}}}]},
            ],
        },
    }
    row = await recorded(answer(caller, False, tokens=TOKENS), caller, stream=False, body=bodies[caller])
    assert (row.outcome, row.mode) in [("ok", "verbatim"), ("ok", "patched")]
    assert (row.tools_offered, row.tools_used) == (("function:look",), ("function:look",))


async def test_a_whole_answer_that_says_it_failed() -> None:
    """It passes as it is, and nobody takes it for a success: not the ledger, nor whoever hears of its end."""
    settled: list[Exchange] = []
    async with ScriptedUpstream(answer("responses", False, finish="failed", tokens=TOKENS)) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}
        settings = {"targets": {"up": target}, "auth": {"anonymous": True}, "ledger": {}, "prices": PRICES}
        gate = Gateway(settings, on_settled=settled.append)
        path, body = request("responses", False)
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request("POST", path, json=body)
            assert (await exchange.start()).status == 200
            assert b'"status":"failed"' in (await exchange.body()).replace(b" ", b"")
            await exchange.finished()
            (row,) = await rows_of(gate)
    assert (settled[0].outcome, settled[0].error_code) == ("upstream_error", row.error)
    assert (row.outcome, row.status, row.attempts, row.cost) == ("upstream_error", 200, 1, 410)
    assert row.error
    assert row.flags == ("partial_usage",)


async def test_a_whole_answer_that_says_it_is_incomplete() -> None:
    row = await recorded(answer("responses", False, finish="incomplete", tokens=TOKENS), "responses", stream=False)
    assert (row.outcome, row.finish, row.cost) == ("ok", "max_tokens", 410)


async def test_counting_tokens_uses_none() -> None:
    async with ScriptedUpstream(Answer.json({"input_tokens": 12})) as upstream:
        gate = gateway(upstream, "messages")
        async with gate.running():
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN})
            body = request("messages", False)[1]
            await (await driver.request("POST", "/v1/messages/count_tokens", json=body)).finished()
            (row,) = await rows_of(gate)
    assert (row.endpoint, row.outcome, row.fresh, row.cost, row.flags) == ("messages_count_tokens", "ok", None, 0, ())


async def test_without_a_ledger_nothing_is_kept() -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(answer("chat", True)) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}
        gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
        path, body = request("chat", True)
        async with gate.running():
            assert gate.runtime().ledger is None
            await (await ASGIDriver(gate.asgi).request("POST", path, json=body)).finished()
    assert settled[0].answered is None


@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
async def test_rows_outlive_the_gateway(url: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("sqlalchemy")
    store = {"url": request.getfixturevalue(url)}
    kept: list[Row] = []
    for number in (1, 2):
        async with ScriptedUpstream([answer("chat", True, tokens=TOKENS)] * 5) as upstream:
            target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}
            gate = Gateway({"targets": {"up": target}, "prices": PRICES, "store": store})
            async with gate.running():
                driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN})
                asked = request_body = globals()["request"]("chat", True)
                sent = [await driver.request("POST", asked[0], json=request_body[1]) for _ in range(5)]
                await asyncio.gather(*(one.finished() for one in sent))
        # Closed, so that everything is written.
        async with Gateway({"targets": {"up": target}, "store": store}).running() as reader:
            writer = reader.runtime().ledger
            assert writer is not None
            kept = await writer.ledger.rows(ANYBODY)
        assert len(kept) == 5 * number
    assert {row.cost for row in kept} == {410}


@pytest.mark.parametrize(
    ("usage", "flags", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (), (10, 5, 70)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}, ("bad_usage",), (10, 5, 70)),
        ({"prompt_tokens": -3, "completion_tokens": 5}, (), (None, 5, 50)),
        ({"prompt_tokens": 10**40, "completion_tokens": "5"}, ("no_usage",), (8, 1, 26)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.00007}, (), (10, 5, 70)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5}, ("cost_mismatch",), (10, 5, 70)),
        ("nonsense", ("no_usage",), (8, 1, 26)),
    ],
)
@streams
async def test_usage_that_is_odd(usage: Any, flags: tuple[str, ...], expected: tuple[Any, ...], stream: bool) -> None:
    if stream:
        events = EVENTS["chat"](("Hello!",), tokens=TOKENS)
        events[-2]["usage"] = usage
        said = Answer.sse(events)
    else:
        said = Answer.json(WHOLE["chat"]("Hello!", tokens=None) | {"usage": usage})
    row = await recorded(said, "chat", stream=stream)
    assert (row.outcome, row.flags) == ("ok", flags)
    assert (row.fresh, row.visible, row.cost) == expected


async def test_what_the_provider_reported_is_kept_beside_what_it_makes() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5}
    said = Answer.json(WHOLE["chat"](tokens=None) | {"usage": usage})
    row = await recorded(said, "chat", stream=False)
    assert (row.cost, row.cost_source, row.reported, row.market) == (70, "own", 500_000, 70)
    row = await recorded(said, "chat", stream=False, prices={"library": False})
    assert (row.cost, row.cost_source, row.reported, row.market) == (500_000, "provider", 500_000, 500_000)
    row = await recorded(said, "chat", stream=False, prices={**PRICES, "byok": ["up"]})
    assert (row.cost, row.cost_source, row.market) == (0, "byok", 70)


def down(**ledger: Any) -> Gateway:
    """A gateway whose database cannot be opened."""
    return Gateway(
        {
            "targets": {"echo": {"provider": "echo"}},
            "auth": {"anonymous": True},
            "store": {"url": "sqlite:////nowhere/at/all.db"},
            "ledger": {"interval": 0.001, **ledger},
            "limits": {"shutdown_grace": 0},
        }
    )


async def asked(gate: Gateway) -> tuple[int, bytes]:
    path, body = request("chat", False)
    exchange = await ASGIDriver(gate.asgi).request("POST", path, json=body)
    head = await exchange.start()
    data = await exchange.body()
    await exchange.finished()
    return head.status, data


async def test_requests_go_on_while_the_database_is_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr("asgi_llm.stores.writer._LAST_WORDS", 1.1)
    async with down(queue=2).running() as gate:
        assert [(await asked(gate))[0] for _ in range(4)] == [200] * 4
        writer = gate.runtime().ledger
        assert writer is not None
        assert (len(writer) <= 2, writer.dropped) == (True, 2)
    assert "2 rows of the ledger could not be written and are lost" in caplog.text


async def test_or_wait_for_it_where_no_row_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr("asgi_llm.stores.writer._LAST_WORDS", 1.1)
    async with down(queue=1, when_full="wait", wait=0.01).running() as gate:
        assert (await asked(gate))[0] == 200
        status, told = await asked(gate)
        assert (status, b"ledger_full" in told) == (503, True)


def test_a_loop_that_just_ends_loses_no_row(sqlite_url: str) -> None:
    """Where no lifespan is run, rows are written when the loop is closed."""
    pytest.importorskip("sqlalchemy")
    settings = {
        "targets": {"echo": {"provider": "echo"}},
        "auth": {"anonymous": True},
        "store": {"url": sqlite_url},
        "ledger": {"interval": 3600},
    }
    gate = Gateway(settings)

    async def use() -> None:
        assert [(await asked(gate))[0] for _ in range(3)] == [200] * 3

    async def count() -> int:
        async with Gateway(settings).running() as reader:
            return len(await rows_of(reader))

    asyncio.run(use())
    asyncio.run(use())
    assert asyncio.run(count()) == 6


NOTHING_SAID: list[tuple[str, dict[str, Any], Answer, tuple[int | None, int | None, tuple[str, ...]]]] = [
    ("embeddings", {"input": ["one two three", "four"]}, Answer.json({"data": []}), (4, 0, ("no_usage",))),
    ("embeddings", {"input": [[1, 2, 3], [4]]}, Answer.json({"data": []}), (4, 0, ("no_usage",))),
    (
        "completions",
        {"prompt": "one two three"},
        Answer.json({"choices": [{"text": "word " * 40}]}),
        (3, 50, ("no_usage",)),
    ),
    (
        "completions",
        {"prompt": "one two three", "stream": True},
        Answer.sse([*({"choices": [{"text": "word "}]} for _ in range(8)), "[DONE]"]),
        (3, 10, ("no_usage",)),
    ),
    ("rerank", {"query": "one", "documents": ["two", {"text": "three"}]}, Answer.json([]), (4, 0, ("no_usage",))),
    (
        "audio/speech",
        {"input": "one two three", "voice": "v"},
        Answer.http([b"sound"], headers=[("content-type", "audio/mpeg")]),
        (3, 0, ("no_usage",)),
    ),
    ("moderations", {"input": "one two three"}, Answer.json({"results": []}), (None, None, ())),
    (
        "images/generations",
        {"prompt": "one", "image": "data:image/png;base64,AAAA"},
        Answer.json({"data": [], "usage": {"seconds": 3}}),
        (None, None, ()),
    ),
]


@pytest.mark.parametrize(("path", "body", "answer", "expected"), NOTHING_SAID, ids=[case[0] for case in NOTHING_SAID])
async def test_an_endpoint_that_is_no_dialects_and_says_nothing(
    path: str, body: dict[str, Any], answer: Answer, expected: tuple[Any, ...]
) -> None:
    """Its texts are counted, roughly; what it told in another unit is left at that."""
    async with ScriptedUpstream(answer) as upstream:
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}, "ledger": {}, "prices": PRICES})
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request("POST", f"/v1/{path}", json={"model": "m", **body})
            await exchange.body()
            await exchange.finished()
            (row,) = await rows_of(gate)
    assert (row.outcome, row.status) == ("ok", 200)
    assert (row.fresh, row.visible, row.flags) == expected
    assert row.estimated == bool(expected[2])
    assert row.cost == (None if expected[0] is None else 2 * expected[0] + 10 * expected[1])


class Junk(NamedTuple):
    """What somebody says, in a text that a database may refuse."""

    said_by_the_upstream: Answer
    model: str = "m"


NUL = "a\0b\ud800c" + "d" * 5000
JUNK = [
    Junk(Answer.json(chat_completion() | {"choices": [{"message": {"content": "Hi"}, "finish_reason": NUL}]})),
    Junk(Answer.json({"error": {"message": NUL, "type": NUL, "code": NUL}}, status=400)),
    Junk(Answer.json(chat_completion() | {"usage": {"prompt_tokens": 1, "server_tool_use": {NUL: 3}}})),
    Junk(Answer.sse([{"choices": [{"delta": {"content": "Hi"}, "finish_reason": NUL}]}, "[DONE]"])),
    Junk(Answer.json(chat_completion()), model=NUL),
]


@pytest.mark.parametrize("sql_url", ["postgresql"], indirect=True)
async def test_nothing_that_anybody_says_costs_the_row(sql_url: str) -> None:
    pytest.importorskip("sqlalchemy")
    who = Identity(subject=NUL, tenant="t\0", key_id="k\0")
    tool = {"type": "function", "function": {"name": "f\0", "parameters": {}}}
    async with ScriptedUpstream([junk.said_by_the_upstream for junk in JUNK]) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "retry": {"attempts": 1}}
        gate = Gateway({"targets": {"up": target}, "store": {"url": sql_url}, "prices": PRICES})
        async with gate.running():
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: who})
            for junk in JUNK:
                said = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool], "odd\0\ud800": 1}
                exchange = await driver.request("POST", "/v1/chat/completions", json={"model": junk.model, **said})
                await exchange.body()
                await exchange.finished()
            rows = await rows_of(gate)
            writer = gate.runtime().ledger
            assert writer is not None
            assert writer.dropped == 0
    assert len(rows) == len(JUNK)
    assert {(row.tenant, row.key_id, row.subject[:4], len(row.subject)) for row in rows} == {("t", "k", "ab?c", 499)}
