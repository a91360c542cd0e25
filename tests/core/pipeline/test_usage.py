"""The matrix: whoever calls, whatever answers, streamed or whole, however it ends, wherever it tells what was used.
There is one row for each, and it says exactly that.

    ending          what the upstream does                                   the row's outcome
    complete        ends as it should                                        ok
    truncated       stops in the middle, after two words                     interrupted; whole: upstream_error
    errored         says so: after two words; whole: in place of an answer   interrupted; whole: upstream_error
    disconnected    stalls after two words; whole: before the answer         disconnected

    usage           where it is
    absent          nowhere
    early           in the first event, and nowhere else: where an answer breaks off, more may have come than was told
    late            in the last event, which a broken stream does not have
    twice           less in the first event, all in the last
    zero            in the last event, and it is 0
"""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.metering.row import Row
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    Stall,
    Wait,
    chat_completion,
    chat_events,
    gemini_events,
    gemini_response,
    messages_events,
    messages_message,
    responses_events,
    responses_response,
)

DIALECTS = ("chat", "messages", "responses", "gemini")
ENDINGS = ("complete", "truncated", "errored", "disconnected")
USAGES = ("absent", "early", "late", "twice", "zero")
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
BUILDERS: dict[str, tuple[Callable[..., Any], Callable[..., list[Any]]]] = {
    "chat": (chat_completion, chat_events),
    "messages": (messages_message, messages_events),
    "responses": (responses_response, responses_events),
    "gemini": (gemini_response, gemini_events),
}
WORDS = ("word ", "word ", "word ", "word ")
ASKED = 8
"""Tokens of the request, by the gateway's own estimate."""


class Case(NamedTuple):
    ending: str
    usage: str


class Tokens(NamedTuple):
    input: int
    output: int


FULL, LESS, NONE = Tokens(100, 30), Tokens(7, 1), Tokens(0, 0)
HEARD = 2
"""Tokens of the words that come before a stream breaks."""


def written(dialect: str, tokens: Tokens) -> tuple[str, dict[str, int]]:
    """The name of the usage object of a dialect, and it."""
    given, made = tokens
    match dialect:
        case "chat":
            return "usage", {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        case "gemini":
            said = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
            return "usageMetadata", said
    return "usage", {"input_tokens": given, "output_tokens": made}


def tell(dialect: str, event: dict[str, Any], tokens: Tokens) -> None:
    """Puts it into an event, or into a whole answer."""
    name, said = written(dialect, tokens)
    inner = event.get("response" if dialect == "responses" else "message")
    (inner if isinstance(inner, dict) else event)[name] = said


def told(case: Case, stream: bool) -> dict[str, Tokens]:
    """What is told at the beginning, and at the end. A whole answer has no beginning."""
    match case.usage:
        case "absent":
            return {}
        case "zero":
            return {"end": NONE}
        case "early" if stream:
            return {"start": FULL}
        case "twice" if stream:
            return {"start": LESS, "end": FULL}
    return {"end": FULL}


def known(case: Case, stream: bool) -> Tokens | None:
    """What can be known of it in the end."""
    said = told(case, stream)
    if case.ending == "complete":
        return said.get("end", said.get("start"))
    if not stream or "start" not in said:
        return None
    return said["start"]._replace(output=max(said["start"].output, HEARD))


def events(dialect: str, case: Case) -> list[Any]:
    made = copy.deepcopy(BUILDERS[dialect][1](WORDS, tokens=None))
    if dialect == "responses":
        made[-1]["response"].pop("usage", None)
    said = told(case, stream=True)
    if "start" in said:
        tell(dialect, made[0], said["start"])
    if "end" in said:
        last = next(
            event for event in reversed(made) if isinstance(event, dict) and event.get("type") != "message_stop"
        )
        tell(dialect, last, said["end"])
    return made


def broken(dialect: str, case: Case) -> list[Any]:
    """The same, up to the second word."""
    made = events(dialect, case)
    words = [place for place, event in enumerate(made) if '"word "' in json.dumps(event)]
    return made[: words[1] + 1]


ERROR: dict[str, Any] = {
    "chat": {"error": {"message": "no", "type": "server_error", "code": "x"}},
    "messages": {"type": "error", "error": {"type": "api_error", "message": "no"}},
    "responses": {"type": "error", "code": "server_error", "message": "no", "param": None, "sequence_number": 99},
    "gemini": {"error": {"code": 500, "message": "no", "status": "INTERNAL"}},
}


def answer(dialect: str, stream: bool, case: Case, heard: asyncio.Event) -> Answer:
    """A stream breaks when its caller has ``heard`` the two words: before, it would only be a failed attempt."""
    if stream:
        match case.ending:
            case "complete":
                return Answer.sse(events(dialect, case))
            case "truncated":
                return Answer.sse([*broken(dialect, case), Wait(heard)], truncated=True)
            case "errored":
                return Answer.sse([*broken(dialect, case), Wait(heard), ERROR[dialect]])
        return Answer.sse([*broken(dialect, case), Stall()])
    whole = BUILDERS[dialect][0]("".join(WORDS), tokens=None)
    if "end" in (said := told(case, stream=False)):
        tell(dialect, whole, said["end"])
    match case.ending:
        case "complete":
            return Answer.json(whole)
        case "truncated":
            return Answer.json(whole, content_length=len(json.dumps(whole)) + 100, truncated=True)
        case "errored":
            return Answer.json({"error": {"message": "no", "type": "api_error"}, "type": "error"}, status=500)
    return Answer.silence()


def asked(dialect: str, stream: bool, model: str) -> tuple[str, dict[str, Any]]:
    if dialect == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[dialect]
    turns = {"input": "Hi"} if dialect == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    limit = {"max_tokens": 50} if dialect == "messages" else {}
    return f"/v1/{path}", {"model": model, "stream": stream, **limit, **turns}


def expected(case: Case, stream: bool) -> dict[str, Any]:
    """The fields of the row, but for an estimate of the output."""
    used = known(case, stream)
    broke = "interrupted" if stream else "upstream_error"
    outcome = {"complete": "ok", "disconnected": "disconnected"}.get(case.ending, broke)
    row: dict[str, Any] = {"outcome": outcome, "attempts": 1, "target": "up", "worker": "up#0", "stream": stream}
    row["finish"] = "end" if case.ending == "complete" else None
    if used is not None:
        flags = () if outcome == "ok" else ("partial_usage",)
        cost, more = 2 * used.input + 10 * used.output, outcome != "ok" and used.output == HEARD
        return row | {"fresh": used.input, "visible": used.output, "cost": cost, "estimated": more, "flags": flags}
    if outcome == "upstream_error":  # nobody knows that it used anything
        return row | {"fresh": None, "visible": None, "cost": None, "estimated": False, "flags": ()}
    return row | {"fresh": ASKED, "estimated": True, "flags": ("no_usage",)}


async def run(
    driver: ASGIDriver, caller: str, stream: bool, case: Case, taken: asyncio.Event, heard: asyncio.Event
) -> None:
    path, body = asked(caller, stream, "-".join(case))
    exchange = await driver.request("POST", path, json=body)
    got = b""
    while stream and got.count(b"word ") < 2:
        got += await exchange.next_chunk()
    heard.set()
    if case.ending == "disconnected":
        await taken.wait()
        exchange.disconnect()
    else:
        await exchange.body()
    await exchange.finished()


def differences(rows: list[Row], stream: bool) -> Iterator[str]:
    made = {row.model: row for row in rows}
    for case in map(Case._make, product(ENDINGS, USAGES)):
        row, want = made["-".join(case)], expected(case, stream)
        got = {name: getattr(row, name) for name in want}
        if got != want:
            yield f"{case}: {got} is not {want}"
        elif "no_usage" in row.flags and not (
            row.cost == 2 * ASKED + 10 * (row.visible or 0) and (row.visible or 0) <= 8
        ):
            yield f"{case}: {row.visible} words for {row.cost}"
        elif "no_usage" in row.flags and stream and not row.visible:
            yield f"{case}: some words were said"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("caller", DIALECTS)
async def test_every_ending_and_every_usage(caller: str, upstream: str, stream: bool) -> None:
    cases = {Case(*pair): (asyncio.Event(), asyncio.Event()) for pair in product(ENDINGS, USAGES)}

    def script(sent: Any) -> Answer:
        text = sent.path + sent.body.decode()
        case, (taken, heard) = next(pair for pair in cases.items() if "-".join(pair[0]) in text)
        taken.set()
        return answer(upstream, stream, case, heard)

    async with ScriptedUpstream(script) as server:
        target = {
            "provider": PROVIDERS[upstream],
            "base_url": server.url + ("" if upstream == "gemini" else "/v1"),
            "api_key": "k",
            "dialects": [upstream],
            "retry": {"attempts": 1},
            "breaker": {"failures": 1000},
        }
        prices = {"own": [{"model": "*", "input": 2, "output": 10}], "library": False}
        async with Gateway({"targets": {"up": target}, "prices": prices, "ledger": {}}).running() as gate:
            driver = ASGIDriver(gate.asgi, scope={IDENTITY_KEY: Identity(subject="ann", tenant="acme")})
            await asyncio.gather(*(run(driver, caller, stream, case, *both) for case, both in cases.items()))
            writer = gate.runtime().ledger
            assert writer is not None
            await writer.flush()
            rows = await writer.ledger.rows(ANYBODY)
    assert len(rows) == len(cases)
    assert list(differences(rows, stream)) == []
    assert {(row.dialect, row.upstream_dialect, row.tenant, row.subject) for row in rows} == {
        (caller, upstream, "acme", "ann")
    }
