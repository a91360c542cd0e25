"""What upstreams say of money: it reaches the ledger to the microdollar, and no caller where a target says so."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.metering.row import Row
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    Tokens,
    chat_completion,
    chat_events,
    messages_events,
    messages_message,
    responses_events,
    responses_response,
)

TOKENS = Tokens(input=100, output=30)
PROVIDERS = {"chat": "openrouter", "messages": "anthropic", "responses": "openai"}
BUILDERS: dict[str, tuple[Callable[..., Any], Callable[..., list[Any]]]] = {
    "chat": (chat_completion, chat_events),
    "messages": (messages_message, messages_events),
    "responses": (responses_response, responses_events),
}
OPENROUTER = {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}}
VERCEL = {
    "gateway": {
        "cost": "0.0017",
        "marketCost": "0.0085",
        "routing": {"finalProvider": "x", "attempts": [{"credentialType": "system", "success": True}]},
    }
}
COSTS = {"openrouter": (10_500, 10_000), "vercel": (1_700, 8_500)}
"""What is paid, and what anybody would have paid, in microdollars."""


def priced(value: Any, shape: str) -> Any:
    """An answer, or an event, that tells of money wherever it tells what was used; a chat's in every event."""
    value = copy.deepcopy(value)
    if not isinstance(value, dict):
        return value
    for holder in (value, value.get("message"), value.get("response")):
        if not isinstance(holder, dict):
            continue
        if shape == "openrouter" and (
            isinstance(holder.get("usage"), dict) or holder.get("object", "")[-5:] == "chunk"
        ):
            holder["usage"] = {**(holder.get("usage") or {}), **OPENROUTER}
        elif shape == "vercel" and isinstance(holder.get("usage"), dict) and "object" not in value:
            holder["provider_metadata"] = VERCEL
    if shape == "vercel" and value.get("object", "").startswith("chat."):
        for choice in value["choices"]:
            if choice.get("finish_reason"):
                choice["message" if "message" in choice else "delta"]["provider_metadata"] = VERCEL
    elif shape == "vercel" and value.get("object") == "response":
        value["provider_metadata"] = VERCEL
    return value


def asked(caller: str, stream: bool) -> tuple[str, dict[str, Any]]:
    if caller == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/m:{verb}", {"contents": [{"parts": [{"text": "Hi"}]}]}
    path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[caller]
    said: dict[str, Any] = (
        {"input": "Hi"} if caller == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    )
    more: dict[str, Any] = {"max_tokens": 50} if caller == "messages" else {}
    if caller == "chat" and stream:
        more = {"stream_options": {"include_usage": True}}
    return f"/v1/{path}", {"model": "m", "stream": stream, **said, **more}


async def told(caller: str, upstream: str, stream: bool, shape: str, **target: Any) -> tuple[bytes, Row]:
    """What the caller got, and its row."""
    whole, events = BUILDERS[upstream]
    if stream:
        answer = Answer.sse([priced(event, shape) for event in events(tokens=TOKENS)])
    else:
        answer = Answer.json(priced(whole(tokens=TOKENS), shape))
    async with ScriptedUpstream(answer) as server:
        settings = {
            "targets": {
                "up": {
                    "provider": PROVIDERS[upstream],
                    "base_url": server.url + "/v1",
                    "api_key": "k",
                    "dialects": [upstream],
                    **target,
                }
            },
            "auth": {"anonymous": True},
            "ledger": {},
            "prices": {"library": False},
        }
        async with Gateway(settings).running() as gate:
            path, body = asked(caller, stream)
            exchange = await ASGIDriver(gate.asgi).request("POST", path, json=body)
            got = await exchange.body()
            await exchange.finished()
            writer = gate.runtime().ledger
            assert writer is not None
            await writer.flush()
            (row,) = await writer.ledger.rows(ANYBODY)
    return got, row


@pytest.mark.parametrize("shape", ["openrouter", "vercel"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("upstream", BUILDERS)
@pytest.mark.parametrize("caller", ["chat", "messages", "responses", "gemini"])
async def test_costs_are_the_ledgers_and_not_the_callers(caller: str, upstream: str, stream: bool, shape: str) -> None:
    got, row = await told(caller, upstream, stream, shape, hide_cost=True)
    assert (row.outcome, row.fresh, row.visible) == ("ok", 100, 30)
    assert (row.reported, row.market) == COSTS[shape]
    assert (row.cost, row.cost_source, row.flags) == (row.reported, "provider", ())
    for word in (b"cost", b"Cost", b"is_byok", b"credentialType", b"gateway", b"finalProvider"):
        assert word not in got
    shown, same = await told(caller, upstream, stream, shape)
    assert (same.cost, same.market) == COSTS[shape]
    # Where a caller may know, bytes of its own dialect say so; a translation has no words for it.
    assert (b"ost" in shown) == (caller == upstream)


async def test_embeddings_tell_it_too() -> None:
    usage = {"prompt_tokens": 8, "total_tokens": 8, "cost": 0.00016}
    answer = {"object": "list", "data": [{"embedding": [0.5], "index": 0}], "model": "m", "usage": usage}
    async with ScriptedUpstream([Answer.json(answer)]) as server:
        target = {"provider": "openai", "base_url": server.url + "/v1", "api_key": "k", "hide_cost": True}
        settings = {"targets": {"up": target}, "auth": {"anonymous": True}, "ledger": {}, "prices": {"library": False}}
        async with Gateway(settings).running() as gate:
            exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/embeddings", json={"model": "m", "input": "Hi"})
            assert b'"usage":{"prompt_tokens":8,"total_tokens":8}' in (await exchange.body()).replace(b" ", b"")
            await exchange.finished()
            writer = gate.runtime().ledger
            assert writer is not None
            await writer.flush()
            (row,) = await writer.ledger.rows(ANYBODY)
    assert (row.fresh, row.cost, row.cost_source) == (8, 160, "provider")
