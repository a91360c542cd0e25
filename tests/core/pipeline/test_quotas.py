"""Quotas on the way of a request, over real sockets: reserved before, settled after, told in each dialect."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.quotas.book import LEASE, Book
from asgi_llm.stores.quotas import Balance
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Close,
    ScriptedUpstream,
    Stall,
    Tokens,
    chat_completion,
    chat_error,
    chat_events,
    chat_stream,
    chat_text,
    gemini_text,
    messages_events,
    messages_text,
    no_leaks,
    responses_text,
)

_LONG = 60.0
"""Seconds: five hundred at once wait for each other in a database."""
START = 1_800_000_000.0
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/m:generateContent",
}
PROVIDERS = {"chat": "openai_compatible", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
WHOLE: dict[str, Any] = {
    "chat": chat_text,
    "messages": messages_text,
    "responses": responses_text,
    "gemini": gemini_text,
}
USED = Tokens(input=20, output=10)


class World:
    def __init__(self, quotas: list[dict[str, Any]], targets: dict[str, Any], **settings: Any) -> None:
        self.settled: list[Exchange] = []
        self.gateway = Gateway(
            {"targets": targets, "auth": {"anonymous": True}, "quotas": quotas, **settings},
            on_settled=self.settled.append,
        )
        self.driver = ASGIDriver(self.gateway.asgi)
        self.now = START

    @property
    def book(self) -> Book:
        book = self.gateway.runtime().quotas
        assert book is not None
        return book

    async def begin(self, dialect: str = "chat", identity: Identity | None = None, **more: Any) -> Any:
        said = [{"role": "user", "content": "hi"}]
        body: dict[str, Any] = {"model": "m", "messages": said}
        if dialect == "messages":
            body["max_tokens"] = 50
        elif dialect == "responses":
            body = {"model": "m", "input": "hi"}
        elif dialect == "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        scope = {"asgi_llm.identity": identity} if identity is not None else {}
        return await self.driver.request("POST", PATHS[dialect], json={**body, **more}, scope=scope)

    async def ask(self, dialect: str = "chat", identity: Identity | None = None, **more: Any) -> tuple[Any, Any]:
        exchange = await self.begin(dialect, identity, **more)
        head = await exchange.start(_LONG)
        body = await exchange.body(_LONG)
        await exchange.finished(_LONG)
        return head, body

    async def balance(self, account: str) -> Balance:
        """Once everything is written down."""
        while self.book._writing:
            await asyncio.sleep(0)
        return await self.book._store.balance(account, 0, self.now)


@asynccontextmanager
async def world(
    quotas: list[dict[str, Any]], script: Any, dialect: str = "chat", **settings: Any
) -> AsyncIterator[tuple[World, ScriptedUpstream]]:
    async with no_leaks(), ScriptedUpstream(script) as upstream:
        base = f"{upstream.url}/v1beta" if dialect == "gemini" else f"{upstream.url}/v1"
        target = {"provider": PROVIDERS[dialect], "base_url": base, "api_key": "sk-up"}
        made = World(quotas, {"up": target}, **settings)
        async with made.gateway.running():
            made.book._clock = lambda: made.now
            yield made, upstream


def quota(resource: str = "requests", limit: int = 2, **more: Any) -> dict[str, Any]:
    window = {} if resource == "concurrency" else {"window": 60}
    return {"name": "q", "resource": resource, "limit": limit, **window, **more}


@pytest.mark.parametrize("dialect", list(PATHS))
async def test_a_quota_that_is_used_up_is_told_in_the_callers_dialect(dialect: str) -> None:
    async with world([quota()], WHOLE[dialect]("Hello!", tokens=USED), dialect) as (here, upstream):
        for _ in range(2):
            assert (await here.ask(dialect))[0].status == 200
        head, body = await here.ask(dialect)
        assert head.status == 429
        error = json.loads(body)["error"]
        assert 'quota "q" of 2 requests in 60 seconds is used up' in error["message"]
        assert head.header("x-llm-error-code") == "quota_exceeded"
        assert 60 <= int(head.header("retry-after")) <= 64
        if dialect == "messages":
            assert error["type"] == "rate_limit_error"
            assert head.header("anthropic-ratelimit-requests-remaining") == "0"
        elif dialect == "gemini":
            assert any("retryDelay" in detail for detail in error["details"])
        else:
            assert error["code"] == "quota_exceeded"
            assert head.header("x-ratelimit-remaining-requests") == "0"
            assert head.header("x-ratelimit-limit-requests") == "2"
        assert len(upstream.requests) == 2
        here.now += int(head.header("retry-after"))
        assert (await here.ask(dialect))[0].status == 200
        assert [item.outcome for item in here.settled] == ["ok", "ok", "denied", "ok"]


async def test_a_good_answer_says_what_is_left_instead_of_what_the_upstream_says() -> None:
    theirs = [("x-ratelimit-remaining-requests", "999"), ("x-ratelimit-foo", "1")]
    answer = Answer.json(chat_completion("Hello!"), headers=theirs)
    async with world([quota(limit=5)], answer) as (here, _):
        head, _ = await here.ask()
        assert head.header("x-ratelimit-remaining-requests") == "4"
        assert head.header("x-ratelimit-limit-requests") == "5"
        assert head.header("x-ratelimit-reset-requests") == "1m4s"
        assert head.header("x-ratelimit-foo") is None


async def test_anthropics_headers() -> None:
    quotas = [quota("input_tokens", 1000), {**quota("output_tokens", 100), "name": "o", "window": "day"}]
    async with world(quotas, messages_text("Hello!"), "messages") as (here, _):
        head, _ = await here.ask("messages")
        assert head.header("anthropic-ratelimit-input-tokens-limit") == "1000"
        assert head.header("anthropic-ratelimit-output-tokens-remaining") == "50"
        assert head.header("anthropic-ratelimit-output-tokens-reset") == "2027-01-16T00:00:00Z"


async def test_tokens_are_reserved_and_then_what_was_used_is_charged() -> None:
    async with world([quota("tokens", 200)], chat_text("Hello!", tokens=USED)) as (here, _):
        assert (await here.ask(max_tokens=100))[0].status == 200
        assert await here.balance("q/60/") == Balance(30, 0)
        head, body = await here.ask(max_tokens=160)
        assert head.status == 429
        assert "170 are left and this request may take" in json.loads(body)["error"]["message"]
        assert (await here.ask(max_tokens=100))[0].status == 200
        assert await here.balance("q/60/") == Balance(60, 0)


async def test_a_request_that_can_never_fit_is_not_told_to_come_back() -> None:
    async with world([quota("tokens", 200)], []) as (here, _):
        head, body = await here.ask(max_tokens=5000)
        assert (head.status, head.header("retry-after")) == (429, None)
        assert head.header("x-should-retry") == "false"
        assert "this request alone may take" in json.loads(body)["error"]["message"]


async def test_a_lifetime_is_not_worth_waiting_for() -> None:
    async with world([quota(limit=0, window="lifetime")], []) as (here, _):
        head, _ = await here.ask()
        assert (head.status, head.header("retry-after"), head.header("x-should-retry")) == (429, None, "false")


async def test_a_request_without_a_limit_reserves_what_the_quota_says() -> None:
    async with world([quota("output_tokens", 100, output=60)], chat_text("Hello!", tokens=USED)) as (here, _):
        assert (await here.ask())[0].status == 200
        assert (await here.ask())[0].header("x-ratelimit-remaining-tokens") == "30"
        assert await here.balance("q/60/") == Balance(20, 0)


async def test_several_choices_are_reserved_for_and_none_is_one() -> None:
    async with world([quota("output_tokens", 100, output=30)], chat_text("Hello!", tokens=USED)) as (here, _):
        assert (await here.ask(n=4))[0].status == 429
        assert (await here.ask(n=3))[0].status == 200
        assert (await here.ask(n=0, max_tokens=95))[0].status == 429


async def test_who_leaves_before_the_end_pays_for_what_had_come() -> None:
    """Anthropic tells of the output at the end, and of one token at the beginning."""
    events = messages_events(["word "] * 6, tokens=USED)
    stopped = Answer.sse([*events[:8], Stall()])
    async with world([quota("tokens", 10_000)], stopped, "messages") as (here, _):
        exchange = await here.begin("messages", stream=True)
        got = b""
        while got.count(b"word") < 6:
            got += await exchange.next_chunk()
        exchange.disconnect()
        await exchange.finished()
        assert 20 + 6 <= (await here.balance("q/60/")).spent <= 20 + 9


ENDS: dict[str, tuple[Answer, int]] = {
    "usage": (chat_text("Hello!", tokens=USED), 30),
    "a stream with usage": (chat_stream(["Hel", "lo"], tokens=USED), 30),
    "an upstream that refuses": (chat_error(400, "no"), 0),
    "an upstream that fails": (chat_error(500, "no"), 0),
    "a stream that breaks": (Answer.sse([*chat_events(["Hel", "lo"])[:2], Close()]), -1),
}


@pytest.mark.parametrize("end", list(ENDS))
async def test_every_end_releases_what_was_held(end: str) -> None:
    answer, charged = ENDS[end]
    async with world([quota("tokens", 10_000)], answer) as (here, _):
        exchange = await here.begin(max_tokens=100, stream="stream" in end)
        await exchange.start()
        await exchange.body()
        await exchange.finished()
        balance = await here.balance("q/60/")
        assert balance.held == 0
        # Nobody said what a broken stream used, so it is estimated by what came of it.
        assert balance.spent == charged if charged >= 0 else 5 < balance.spent < 20


async def test_a_caller_that_leaves_releases_what_was_held() -> None:
    async with world([quota("concurrency", 1)], Answer.sse([*chat_events(["Hel", "lo"])[:2], Stall()])) as (
        here,
        upstream,
    ):
        first = await here.begin(stream=True)
        await first.start()
        assert await here.balance("q/now/") == Balance(0, 1)
        head, body = await here.ask()
        assert (head.status, head.header("retry-after")) == (429, "1")
        assert "1 requests at the same time" in json.loads(body)["error"]["message"]
        first.disconnect()
        await first.finished()
        assert await here.balance("q/now/") == Balance(0, 0)
        assert len(upstream.requests) == 1


async def test_what_is_only_held_may_come_free_soon() -> None:
    """Not at the end of the month: when another request ends."""
    stalled = Answer.sse([*chat_events(["Hel", "lo"])[:2], Stall()])
    async with world([quota("tokens", 150, window="month")], stalled) as (here, _):
        running = await here.begin(stream=True, max_tokens=100)
        await running.start()
        head, _ = await here.ask(max_tokens=100)
        assert (head.status, head.header("retry-after"), head.header("x-should-retry")) == (429, "1", None)
        running.disconnect()
        await running.finished()


async def test_scopes_have_accounts_of_their_own() -> None:
    async with world([quota(limit=1, per=["subject"], match={"tenant": ["a*"]})], chat_text("Hello!")) as (here, _):

        async def status(subject: str, tenant: str) -> int:
            return int((await here.ask(identity=Identity(subject=subject, tenant=tenant)))[0].status)

        assert [await status("ann", "acme") for _ in range(2)] == [200, 429]
        assert [await status("bob", "acme") for _ in range(2)] == [200, 429]
        assert [await status("ann", "axis") for _ in range(2)] == [200, 429]
        assert [await status("ann", "other") for _ in range(2)] == [200, 200]


async def test_roles_keys_and_models() -> None:
    quotas = [
        {**quota(limit=1, per=["role"], match={"role": ["trial"]}), "name": "trial"},
        {**quota(limit=1, per=["key", "model"]), "name": "key"},
    ]
    async with world(quotas, chat_text("Hello!")) as (here, _):
        trial, other = Identity(subject="a", roles=("trial", "x")), Identity(subject="b", roles=("x",), key_id="k1")
        assert [(await here.ask(identity=trial))[0].status for _ in range(2)] == [200, 429]
        assert [(await here.ask(identity=other))[0].status for _ in range(2)] == [200, 429]
        assert (await here.ask(identity=other, model="n"))[0].status == 200
        assert (await here.ask(identity=Identity(subject="c")))[0].status == 200


async def test_a_target_that_has_used_up_its_own_is_passed_over() -> None:
    async with ScriptedUpstream(chat_text("one")) as first, ScriptedUpstream(chat_text("two")) as second:
        targets = {
            name: {"provider": "openai_compatible", "base_url": f"{up.url}/v1"}
            for name, up in (("first", first), ("second", second))
        }
        here = World(
            [quota(limit=1, per=["target"])],
            targets,
            routes=[{"model": "*", "target": "first", "fallback": ["second"]}],
        )
        async with here.gateway.running():
            here.book._clock = lambda: here.now
            assert [(await here.ask())[0].status for _ in range(3)] == [200, 200, 429]
        assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_fallback_is_asked_for_its_own_quota_and_the_failed_one_is_not_charged() -> None:
    async with (
        ScriptedUpstream(chat_error(500, "no")) as first,
        ScriptedUpstream(chat_text("two", tokens=USED)) as second,
    ):
        targets = {
            "first": {"provider": "openai_compatible", "base_url": f"{first.url}/v1", "retry": {"attempts": 1}},
            "second": {"provider": "openai_compatible", "base_url": f"{second.url}/v1"},
        }
        routes = [{"model": "*", "target": "first", "fallback": ["second"]}]
        here = World([quota("tokens", 140, per=["target"])], targets, routes=routes)
        async with here.gateway.running():
            here.book._clock = lambda: here.now
            assert (await here.ask(max_tokens=100))[0].status == 200
            assert await here.balance("q/60/target=first") == Balance(0, 0)
            assert await here.balance("q/60/target=second") == Balance(30, 0)
            assert (await here.ask(max_tokens=110))[0].status == 500  # the second has no room for it
            assert (await here.balance("q/60/target=second")).held == 0


class Broken:
    """A store that cannot be reached."""

    async def reserve(self, *_: Any) -> Any:
        raise OSError("no route to the store")

    settle = renew = reserve

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(("policies", "status"), [(["open", "open"], 200), (["open", "closed"], 503)])
async def test_a_store_that_fails(policies: list[str], status: int, caplog: pytest.LogCaptureFixture) -> None:
    quotas = [{**quota(), "name": f"q{n}", "on_store_failure": policy} for n, policy in enumerate(policies)]
    async with world(quotas, chat_text("Hello!")) as (here, _):
        here.book._store, here.book._instant = Broken(), None  # type: ignore[assignment]  # all that is called
        head, body = await here.ask()
        assert head.status == status
        if status == 503:
            assert head.header("retry-after") == "5"
            assert json.loads(body)["error"]["code"] == "quota_store_unavailable"
            assert b"route" not in body
    assert sum("does not answer" in record.message for record in caplog.records) == 1


async def test_a_model_of_unknown_price() -> None:
    for policy, status in (("refuse", 403), ("free", 200)):
        async with world([quota("cost", 100, unpriced=policy)], chat_text("Hello!")) as (here, _):
            head, body = await here.ask()
            assert head.status == status
            if status == 403:
                assert json.loads(body)["error"]["code"] == "price_unknown"


async def test_money() -> None:
    """A dollar for a million tokens of input, ten for output: 20 and 100 microdollars for what was used."""
    prices = {"library": False, "own": [{"model": "m", "input": 1, "output": 10}]}
    async with world([quota("cost", 1000)], lambda _: chat_text("Hello!", tokens=USED), prices=prices) as (here, _):
        assert (await here.ask(max_tokens=50))[0].status == 200
        assert await here.balance("q/60/") == Balance(120, 0)
        head, body = await here.ask(max_tokens=90)
        assert head.status == 429
        assert "880 are left" in json.loads(body)["error"]["message"]
        own = Identity(subject="ann", upstream_keys={"up": "sk-own"})
        assert (await here.ask(identity=own, max_tokens=90))[0].status == 200  # somebody else pays
        assert await here.balance("q/60/") == Balance(120, 0)


async def test_what_runs_for_long_is_renewed() -> None:
    async with world([quota("concurrency", 1)], Answer.sse([*chat_events(["Hel", "lo"])[:2], Stall()])) as (here, _):
        running = await here.begin(stream=True)
        await running.start()
        for _ in range(5):
            here.now += LEASE - 1
            await here.book.renew()
        assert await here.balance("q/now/") == Balance(0, 1)
        here.now += LEASE
        assert await here.balance("q/now/") == Balance(0, 0)
        running.disconnect()
        await running.finished()


async def test_shutting_down_loses_no_settlement() -> None:
    async with no_leaks(), ScriptedUpstream(chat_text("Hello!", tokens=USED)) as upstream:
        here = World(
            [quota("tokens", 10_000)], {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}
        )
        async with here.gateway.running():
            book = here.book
            book._clock = lambda: here.now
            exchange = await here.begin(max_tokens=100)
            await exchange.finished()
        assert await book._store.balance("q/60/", 0, here.now) == Balance(30, 0)


async def test_a_settlement_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llm.quotas.book._PAUSES", (0.0,))
    async with world([quota("tokens", 10_000)], chat_text("Hello!", tokens=USED)) as (here, _):
        settle, failures = here.book._store.settle, [OSError("away"), OSError("still away")]

        async def fail_first(*arguments: Any) -> bool:
            if failures:
                raise failures.pop()
            return await settle(*arguments)

        monkeypatch.setattr(here.book._store, "settle", fail_first)
        monkeypatch.setattr(here.book, "_instant", None)
        assert (await here.ask(max_tokens=100))[0].status == 200
        assert await here.balance("q/60/") == Balance(30, 0)
        assert failures == []


@pytest.mark.once
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "redis", "redis cluster"])
async def test_five_hundred_at_once_never_spend_more_than_the_budget(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reserves 31 tokens and spends 30; while they run, there is room for 100 of them."""
    settings: dict[str, Any] = {}
    if kind.startswith("redis"):
        pytest.importorskip("redis")
        # Five hundred at once wait for each other, on a busy machine for longer than a request would be let.
        monkeypatch.setattr("asgi_llm.stores.redis.client._TIMEOUT", 60)
        url = request.getfixturevalue("redis_url" if kind == "redis" else "redis_cluster_url")
        settings["state"] = {"url": url, "prefix": uuid.uuid4().hex}
    elif kind != "memory":
        pytest.importorskip("sqlalchemy")
        url = request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url")
        settings["store"] = {"url": url, "timeout": 60}
    decided = asyncio.Event()

    async def answer(_: Any) -> Answer:
        await decided.wait()
        return chat_text("Hello!", tokens=USED)

    quotas = [quota("tokens", 3100, window="day"), {**quota("concurrency", 1000, per=["subject"]), "name": "c"}]
    async with world(quotas, answer, **settings) as (here, upstream):
        asking = asyncio.gather(*(here.ask(max_tokens=10) for _ in range(500)))
        while len(here.settled) < 400 and not asking.done():
            await asyncio.sleep(0.01)
        assert await here.book._store.balance("q/day@UTC/", 0, here.now) == Balance(0, 3100)
        decided.set()
        statuses = [head.status for head, _ in await asking]
        assert (statuses.count(200), statuses.count(429)) == (100, 400)
        assert len(upstream.requests) == 100
        assert await here.balance("q/day@UTC/") == Balance(3000, 0)
        assert (await here.balance("c/now/subject=anonymous,tenant=default")).held == 0
