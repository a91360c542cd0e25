"""What attempts used that did not give the answer: it is in the row of their request, with its cost, and on quotas."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.metering.row import Row
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.stores.quotas import Balance
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    Tokens,
    chat_error,
    chat_stream,
    chat_text,
    messages_error,
)

HI = [{"role": "user", "content": "hi"}]
USED = Tokens(input=20, output=10)
PRICES = {
    "own": [
        {"target": "first", "model": "*", "input": 1, "output": 2, "request": 1},
        {"target": "second", "model": "*", "input": 3, "output": 4, "request": 1},
    ],
    "library": False,
}


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        (f"event: {event['type']}\n" if "type" in event else "").encode()
        + b"data: "
        + json.dumps(event).encode()
        + b"\n\n"
        for event in events
    )


FAILURE = {"type": "overloaded_error", "message": "no"}
CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
GEMINI_USAGE = {"promptTokenCount": 100, "candidatesTokenCount": 5}
FAILING = {
    "chat": (
        sse({"choices": [], "usage": CHAT_USAGE}, {"error": FAILURE}),
        {"error": FAILURE, "usage": CHAT_USAGE},
    ),
    "messages": (
        sse(
            {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 100, "output_tokens": 5}}},
            {"type": "error", "error": FAILURE},
        ),
        {"type": "error", "error": FAILURE, "usage": {"input_tokens": 100, "output_tokens": 5}},
    ),
    "responses": (
        sse(
            {
                "type": "response.failed",
                "response": {
                    "id": "r",
                    "status": "failed",
                    "error": {"code": "server_error", "message": "no"},
                    "usage": {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105},
                },
            }
        ),
        None,  # of itself such an answer may say that it failed
    ),
    "gemini": (
        sse({"usageMetadata": GEMINI_USAGE, "error": {"code": 503, "message": "no"}}),
        {"usageMetadata": GEMINI_USAGE, "error": {"code": 503, "message": "no"}},
    ),
}
PROVIDERS = {"chat": "openai_compatible", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}


class World:
    """A first target and, where there are two, one to fall back on; a budget for all and one for each target."""

    def __init__(
        self, dialect: str, first: list[ScriptedUpstream], second: ScriptedUpstream | None = None, **more: Any
    ):
        targets = {"first": target(dialect, first, **more)}
        fallback = []
        if second is not None:
            targets["second"] = target("chat", [second])
            fallback = ["second"]
        budget = {"resource": "cost", "window": "day", "limit": 100_000_000}
        self.gateway = Gateway(
            {
                "targets": targets,
                "routes": [{"model": "*", "target": "first", "fallback": fallback}],
                "auth": {"anonymous": True},
                "ledger": {},
                "limits": {"queue": 1},
                "prices": PRICES,
                "quotas": [{"name": "all", **budget}, {"name": "each", "per": ["target"], **budget}],
            }
        )
        self.driver = ASGIDriver(self.gateway.asgi)

    async def ask(self, stream: bool) -> int:
        body = {"model": "m", "messages": HI, "stream": stream}
        exchange = await self.driver.request("POST", "/v1/chat/completions", json=body)
        head = await exchange.start()
        await exchange.body()
        await exchange.finished()
        return int(head.status)

    async def row(self) -> Row:
        ledger = self.gateway.runtime().ledger
        assert ledger is not None
        await ledger.flush()
        (row,) = await ledger.ledger.rows(ANYBODY)
        return row

    async def spent(self, account: str, *, held: bool = False) -> int:
        book = self.gateway.runtime().quotas
        assert book is not None
        balance: Balance = await book._store.balance(account, 0, book._clock())
        assert bool(balance.held) is held
        return balance.spent


def target(dialect: str, upstreams: list[ScriptedUpstream], **more: Any) -> dict[str, Any]:
    base = "" if dialect == "gemini" else "/v1"
    return {
        "provider": PROVIDERS[dialect],
        "dialects": [dialect],
        "api_key": "k",
        "workers": [{"url": upstream.url + base} for upstream in upstreams],
        "retry": {"attempts": 1},
        **more,
    }


@pytest.mark.parametrize(
    ("dialect", "stream"),
    [(dialect, stream) for dialect, (_, whole) in FAILING.items() for stream in (True, False) if stream or whole],
)
async def test_an_attempt_that_says_what_it_used_and_fails_is_billed_with_the_answer(
    dialect: str, stream: bool
) -> None:
    said, whole = FAILING[dialect]
    failing = Answer.sse([said]) if stream else Answer.json(whole)
    good = chat_stream(["Hi"], tokens=USED) if stream else chat_text("Hi", tokens=USED)
    async with ScriptedUpstream(failing) as one, ScriptedUpstream(good) as two:
        world = World(dialect, [one], two)
        async with world.gateway.running():
            assert await world.ask(stream) == 200
            row = await world.row()
            failed, served = 1_000_000 + 100 * 1 + 5 * 2, 1_000_000 + 20 * 3 + 10 * 4
            assert (row.input, row.output, row.cost, row.cost_source) == (120, 15, failed + served, "own")
            assert (row.target, row.flags, row.estimated) == ("second", ("other_attempts",), False)
            assert await world.spent("all/day@UTC/") == failed + served
            assert await world.spent("each/day@UTC/target=first") == failed
            assert await world.spent("each/day@UTC/target=second") == served


async def test_so_it_is_where_there_is_no_answer() -> None:
    async with ScriptedUpstream(Answer.json(FAILING["chat"][1])) as one:
        world = World("chat", [one])
        async with world.gateway.running():
            assert await world.ask(stream=False) == 503
            row = await world.row()
            assert (row.outcome, row.input, row.output, row.cost) == ("upstream_error", 100, 5, 1_000_110)
            assert row.flags == ("other_attempts",)
            assert await world.spent("all/day@UTC/") == 1_000_110


@pytest.mark.parametrize("failing", [chat_error(500), messages_error(529)])
async def test_one_that_fails_and_says_nothing_costs_nothing(failing: Answer) -> None:
    async with ScriptedUpstream(failing) as one:
        world = World("chat", [one])
        async with world.gateway.running():
            assert await world.ask(stream=False) >= 500
            row = await world.row()
            assert (row.input, row.output, row.flags) == (0, 0, ())
            assert await world.spent("all/day@UTC/") == 0


async def test_who_was_broken_off_for_a_quicker_one_had_read_the_input() -> None:
    slow, quick = Answer.silence(), chat_stream(["Hi"], tokens=USED)
    async with ScriptedUpstream(slow) as one, ScriptedUpstream(quick) as two:
        world = World("chat", [one, two], hedge={"after": 0.02})
        async with world.gateway.running():
            assert await world.ask(stream=True) == 200
            row = await world.row()
            assert (row.attempts, row.input, row.output, row.estimated) == (2, 40, 10, True)
            assert row.flags == ("other_attempts",)
            both = 1_000_000 + 20 * 1 + 10 * 2 + 1_000_000 + 20 * 1
            assert row.cost == both == await world.spent("all/day@UTC/")


async def test_of_two_whose_caller_leaves_both_had_read_it() -> None:
    async with ScriptedUpstream(Answer.silence()) as one, ScriptedUpstream(Answer.silence()) as two:
        world = World("chat", [one, two], hedge={"after": 0.02})
        async with world.gateway.running():
            body = {"model": "m", "messages": HI, "stream": True}
            exchange = await world.driver.request("POST", "/v1/chat/completions", json=body)
            await two.wait_request()
            exchange.disconnect()
            await exchange.finished()
            row = await world.row()
            assert (row.outcome, row.attempts, row.estimated) == ("disconnected", 2, True)
            assert row.input > 0
            assert row.input % 2 == 0
            assert await world.spent("all/day@UTC/") > 2_000_000


async def test_who_leaves_before_anything_is_sent_pays_nothing() -> None:
    """It waits for a place at the target, which another has."""
    async with ScriptedUpstream(Answer.silence()) as one:
        world = World("chat", [one], concurrency=1)
        async with world.gateway.running():
            body = {"model": "m", "messages": HI, "stream": True}
            first = await world.driver.request("POST", "/v1/chat/completions", json=body)
            await one.wait_request()
            second = await world.driver.request("POST", "/v1/chat/completions", json=body)
            gate = world.gateway.runtime().fleet.crews["first"].restraint.gate
            assert gate is not None
            async with asyncio.timeout(60):
                while not gate.waiting:
                    await asyncio.sleep(0)
            second.disconnect()
            await second.finished()
            row = await world.row()
            assert (row.cost_source, row.cost) == ("unsent", 0)
            assert await world.spent("all/day@UTC/", held=True) == 0
            first.disconnect()
            await first.finished()
