"""What several rounds of one answer used: each counts, and is billed by itself, whatever becomes of the next one."""

from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.metering.row import Row
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Call,
    Recorded,
    ScriptedUpstream,
    Tokens,
    chat_error,
    chat_stream,
    chat_text,
)

SEARCH = {"calls": [Call("web_search", '{"query": "q"}', "call_1")], "tokens": Tokens(input=100, output=10)}
TIERS = [{"above": 150, "input": 10, "output": 10}]
PRICES = {"library": False, "own": [{"model": "*", "input": 1, "output": 1, "tiers": TIERS}]}
FAILURE = {
    "error": {"message": "no"},
    "usage": {"prompt_tokens": 200, "completion_tokens": 1, "total_tokens": 201},
}


async def find(_: object) -> list[dict[str, str]]:
    return [{"url": "https://a.example", "title": "A", "text": "a"}]


def says(stream: bool, text: str, **options: Any) -> Answer:
    return chat_stream([text], **options) if stream else chat_text(text, **options)


async def searched(second: Answer, stream: bool) -> tuple[Row, int]:
    """The row, and what its quota was charged in micro-dollars."""
    answers = [says(stream, "", **SEARCH), second]

    def answer(_: Recorded) -> Answer:
        return answers.pop(0)

    async with ScriptedUpstream(answer) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": ["chat"]}
        gateway = Gateway(
            {
                "targets": {"up": target},
                "tools": {"web_search": find},
                "auth": {"anonymous": True},
                "prices": PRICES,
                "ledger": {},
                "quotas": [{"name": "q", "resource": "cost", "window": "day", "limit": 1_000_000}],
            }
        )
        async with gateway.running():
            body = {"model": "m", "stream": stream, "input": "hi", "tools": [{"type": "web_search"}]}
            exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/responses", json=body)
            await exchange.body()
            await exchange.finished()
            runtime = gateway.runtime()
            assert runtime.ledger is not None
            assert runtime.quotas is not None
            await runtime.ledger.flush()
            (row,) = await runtime.ledger.ledger.rows(ANYBODY)
            balance = await runtime.quotas._store.balance("q/day@UTC/", 0, runtime.quotas._clock())
            assert balance.held == 0
            return row, balance.spent


@pytest.mark.parametrize("stream", [True, False])
async def test_each_is_billed_by_itself(stream: bool) -> None:
    """Together they would be in a dearer tier; and the total that the second one tells is its own."""
    row, charged = await searched(says(stream, "Hi", tokens=Tokens(input=120, output=5)), stream)
    assert (row.outcome, row.input, row.output, row.cost, row.flags) == ("ok", 220, 15, 235, ())
    assert charged == 235


@pytest.mark.parametrize("stream", [True, False])
async def test_one_that_fails_takes_nothing_of_the_others_back(stream: bool) -> None:
    row, charged = await searched(chat_error(500), stream)
    assert (row.outcome, row.input, row.output, row.cost, row.attempts) == ("interrupted", 100, 10, 110, 2)
    assert charged == 110


@pytest.mark.parametrize("stream", [True, False])
async def test_one_that_fails_and_says_what_it_used_counts_too(stream: bool) -> None:
    row, charged = await searched(Answer.json(FAILURE), stream)
    assert (row.outcome, row.input, row.output, row.cost) == ("interrupted", 300, 11, 110 + 2010)
    assert charged == 110 + 2010
