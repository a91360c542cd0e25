"""A provider's own tools in front of an upstream without them: what the caller is told, and the setting for it."""

import json
from typing import Any

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver, ScriptedUpstream, chat_text

SEARCH = {"type": "web_search", "external_web_access": True}
OWN = {"type": "function", "name": "own", "parameters": {"type": "object"}, "strict": False}


async def ask(upstream: ScriptedUpstream, tools: list[Any], **more: Any) -> tuple[int, str, Any]:
    """Status, ``x-llm-warnings`` and body of an answer to a caller of Responses."""
    target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1", **more}
    gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}})
    body = json.dumps({"model": "m", "input": "hi", "store": False, "tools": tools}).encode()
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/responses", [], body)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    return head.status, dict(head.headers).get(b"x-llm-warnings", b"").decode(), json.loads(data)


async def test_a_tool_that_is_merely_offered_is_left_out_and_named() -> None:
    async with ScriptedUpstream([chat_text()]) as upstream:
        status, warnings, answer = await ask(upstream, [OWN, SEARCH])
        assert [tool["function"]["name"] for tool in upstream.requests[0].json["tools"]] == ["own"]
    assert status == 200
    assert "tools.offered;warn" in warnings
    assert answer["tools"][1] == SEARCH, "the answer repeats the tools as the caller gave them"


async def test_a_request_for_nothing_else_is_refused() -> None:
    async with ScriptedUpstream() as upstream:
        status, _, answer = await ask(upstream, [SEARCH])
        assert not upstream.requests
    assert (status, answer["error"]["param"]) == (400, "tools[0].type")


async def test_a_target_may_refuse_every_such_tool() -> None:
    async with ScriptedUpstream() as upstream:
        status, _, answer = await ask(upstream, [OWN, SEARCH], hosted_tools="refuse")
        assert not upstream.requests
    assert (status, answer["error"]["param"]) == (400, "tools[1].type")
