"""Many exchanges of every kind, one in ten with a fault; then the ledger's sums are compared with the upstreams' own
books, to the token and the microdollar.

    python tests/soak/run.py --count 20000 --store sqlite:////tmp/soak.db
    python tests/soak/run.py --count 20000 --store postgresql://user@host/database     (an empty one)

The upstreams write down what they say that they used, as they say it. What nobody can know (a stream of Chat
Completions or Responses that broke off before it said anything; the output of one of Messages, which tells of it at its
end) they note as unsaid, and the ledger must have marked exactly those rows as estimates.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.stores.ledger import Query
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
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
EVENTS: dict[str, Any] = {
    "chat": chat_events, "messages": messages_events, "responses": responses_events, "gemini": gemini_events,
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "chat": chat_completion, "messages": messages_message, "responses": responses_response, "gemini": gemini_response,
}  # fmt: skip
ERRORS: dict[str, Any] = {
    "chat": chat_error, "messages": messages_error, "responses": responses_error, "gemini": gemini_error,
}  # fmt: skip
PRICE = {"model": "*", "input": 1.25, "output": 10, "cache_read": 0.125}
FAULTS = ("error", "torn", "cut", "leave")
TENANTS, USERS = 3, 7


@dataclass
class Books:
    """What the upstreams said that they used, and how often they said nothing."""

    fresh: int = 0
    cache_read: int = 0
    output: int = 0
    cost: int = 0
    unsaid: int = 0
    said: Counter[str] = field(default_factory=Counter)

    def note(self, fresh: int, cached: int, output: int, user: str) -> None:
        self.fresh += fresh
        self.cache_read += cached
        self.output += output
        # Worked out in another way than the gateway's: eighths of a microdollar, a half going up.
        eighths = 10 * fresh + cached + 80 * output
        cost = (eighths + 4) // 8
        self.cost += cost
        self.said[user] += cost


@dataclass(frozen=True)
class Case:
    """One exchange: who asks in which dialect, what answers and how it goes wrong."""

    number: int
    caller: str
    upstream: str
    stream: bool
    fault: str | None
    tokens: Tokens
    user: str

    @classmethod
    def draw(cls, number: int, dice: random.Random) -> "Case":
        stream = dice.random() < 0.6
        fault = dice.choice(FAULTS) if dice.random() < 0.1 else None
        if not stream and fault is not None:
            fault = "error"
        given = dice.randint(1, 300_000)
        tokens = Tokens(input=given, output=dice.randint(2, 9000), cached=dice.choice((0, 0, dice.randint(0, given))))
        user = f"user-{dice.randint(1, USERS)}"
        return cls(number, dice.choice(DIALECTS), dice.choice(DIALECTS), stream, fault, tokens, user)

    def answer(self, books: Books) -> Answer:
        """What the upstream says; it is written down here."""
        if self.fault == "error":
            return Answer(ERRORS[self.upstream](503).steps)
        if not self.stream:
            self._note(books, self.tokens.output)
            return Answer.json(WHOLE[self.upstream]("word " * 5, tokens=self.tokens))
        events = EVENTS[self.upstream](("Hel", "lo", " there"), tokens=self.tokens)
        if self.fault is None:
            self._note(books, self.tokens.output)
            return Answer.sse(events)
        books.unsaid += 1
        if self.upstream == "messages":  # its beginning says what went in
            books.fresh += self.tokens.input - self.tokens.cached
            books.cache_read += self.tokens.cached
        kept = {"chat": 3, "messages": 4, "responses": 6, "gemini": 1}[self.upstream]
        end = [Stall()] if self.fault == "leave" else []
        return Answer.sse([*events[:kept], *end], truncated=self.fault == "torn")

    def _note(self, books: Books, output: int) -> None:
        tokens = self.tokens
        books.note(tokens.input - tokens.cached, tokens.cached, output, self.user)

    def request(self) -> tuple[str, dict[str, Any]]:
        # The number leads the scripted upstream to the case.
        model = f"{self.upstream}-{self.number}"
        if self.caller == "gemini":
            verb = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
            return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[self.caller]
        turns = {"input": "Hi"} if self.caller == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
        return f"/v1/{path}", {"model": model, "stream": self.stream, "max_tokens": 50, **turns}


async def soak(count: int, store: str, *, seed: int = 1, width: int = 32) -> Books:
    """Runs ``count`` exchanges, ``width`` at a time, and compares.

    Raises:
        AssertionError: the ledger says another thing than the upstreams.
    """
    dice, books = random.Random(seed), Books()
    cases: dict[int, Case] = {}

    def script(recorded: Any) -> Answer:
        name = recorded.path if ":" in recorded.path else recorded.json["model"]
        return cases[int(name.rpartition("-")[2].partition(":")[0])].answer(books)

    async with ScriptedUpstream(script) as upstream:
        gateway = Gateway(settings(upstream.url, store))
        async with gateway.running():
            numbers = iter(range(count))

            async def work() -> None:
                for number in numbers:
                    cases[number] = case = Case.draw(number, dice)
                    await exchange(gateway, case)
                    del cases[number]

            await asyncio.gather(*(work() for _ in range(width)))
    await compare(gateway.settings, books, count)
    return books


def settings(url: str, store: str) -> dict[str, Any]:
    base = {"chat": "/v1", "messages": "/v1", "responses": "/v1", "gemini": ""}
    targets = {
        name: {
            "provider": PROVIDERS[name], "base_url": url + base[name], "api_key": "k", "dialects": [name],
            "breaker": {"failures": 1_000_000},
        }
        for name in DIALECTS
    }  # fmt: skip
    return {
        "targets": targets,
        "routes": [{"model": f"{name}-*", "target": name} for name in DIALECTS],
        "prices": {"own": [PRICE], "library": False},
        "store": {"url": store, "timeout": 30},
        "ledger": {"queue": 1_000_000},
    }


async def exchange(gateway: Gateway, case: Case) -> None:
    identity = Identity(subject=case.user, tenant=f"tenant-{int(case.user[5:]) % TENANTS}")
    path, body = case.request()
    if case.caller == "responses":
        body.pop("max_tokens")
    sent = await ASGIDriver(gateway.asgi, scope={IDENTITY_KEY: identity}).request("POST", path, json=body)
    if case.fault == "leave":
        await sent.start()
        sent.disconnect()
    else:
        await sent.body(60)
    await sent.finished(60)


async def compare(settings: Any, books: Books, count: int) -> None:
    async with Gateway(settings).running() as gateway:
        writer = gateway.runtime().ledger
        assert writer is not None
        ledger = writer.ledger
        (total,) = await ledger.sums(ANYBODY)
        assert total.requests == count, f"{total.requests} rows for {count} requests"
        assert total.estimated == books.unsaid, f"{total.estimated} estimates, {books.unsaid} unsaid"
        guessed = Books()
        after = None
        while page := await ledger.rows(ANYBODY, Query(), limit=1000, after=after):
            after = (page[-1].at, page[-1].id)
            for row in page:
                if row.estimated:
                    guessed.note(row.fresh or 0, row.cache_read or 0, row.output, row.subject)
                if "partial_usage" in row.flags:
                    guessed.fresh -= row.fresh or 0
                    guessed.cache_read -= row.cache_read or 0
        told = (total.fresh, total.cache_read, total.output, total.cost)
        said = (books.fresh, books.cache_read, books.output, books.cost)
        extra = (guessed.fresh, guessed.cache_read, guessed.output, guessed.cost)
        assert tuple(a - b for a, b in zip(told, extra, strict=True)) == said, f"{told} - {extra} is not {said}"
        for item in await ledger.sums(ANYBODY, ("subject",)):
            user = item.group["subject"] or ""
            assert item.cost == books.said[user] + guessed.said[user], user


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the ledger with the upstreams' own books.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--store", required=True, help="the URL of an empty database")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    books = asyncio.run(soak(options.count, options.store, seed=options.seed))
    print(
        f"{options.count} exchanges in {time.monotonic() - begun:.0f} s; the books agree: {msgspec.to_builtins(books)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
