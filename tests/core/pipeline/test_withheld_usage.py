"""What an answer used is what its upstream said, whatever a hook makes of the answer."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from asgi_llm import Gateway
from asgi_llm.hooks import Ask, Hook, Refused
from asgi_llm.neutral.events import Event, UsageUpdate
from asgi_llm.neutral.response import Response
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import Answer, ASGIDriver, Recorded, ScriptedUpstream, Tokens, chat_events, chat_text

USED = Tokens(input=100, output=10)


class Withholds(Hook):
    async def on_response(self, ask: Ask, response: Response) -> Response | None:
        raise Refused("not this one", code="no")


class Fails(Hook):
    async def on_response(self, ask: Ask, response: Response) -> Response | None:
        raise RuntimeError("broken")


class Replaces(Hook):
    async def on_response(self, ask: Ask, response: Response) -> Response | None:
        return structs.replace(response, usage=None)


class Swallows(Hook):
    async def on_event(self, ask: Ask, event: Event) -> Event | Sequence[Event] | None:
        return () if isinstance(event, UsageUpdate) else None


def answer(request: Recorded) -> Answer:
    if not request.json.get("stream"):
        return chat_text("Hi", tokens=USED)
    return Answer.sse(chat_events(["Hi"], tokens=USED))


@pytest.mark.parametrize("hook", [Withholds(), Fails(), Replaces(), Swallows()], ids=lambda hook: type(hook).__name__)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_it_is_billed_as_told(hook: Hook, stream: bool, path: str) -> None:
    async with ScriptedUpstream(answer) as upstream:
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        quotas = [{"name": "q", "resource": "tokens", "window": "day", "limit": 1_000_000}]
        settings: dict[str, Any] = {"targets": {"up": target}, "auth": {"anonymous": True}, "ledger": {}}
        gateway = Gateway(settings | {"quotas": quotas}, hooks=[hook])
        async with gateway.running():
            body = {"model": "m", "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
            exchange = await ASGIDriver(gateway.asgi).request("POST", path, json=body)
            await exchange.body()
            await exchange.finished()
            runtime = gateway.runtime()
            assert runtime.ledger is not None
            assert runtime.quotas is not None
            await runtime.ledger.flush()
            (row,) = await runtime.ledger.ledger.rows(ANYBODY)
            assert (row.input, row.output, row.estimated) == (100, 10, False)
            balance = await runtime.quotas._store.balance("q/day@UTC/", 0, runtime.quotas._clock())
            assert (balance.spent, balance.held) == (110, 0)
