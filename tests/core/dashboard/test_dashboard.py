"""The page under any prefix, what it may load, who sees the figures, and what they are."""

import re
from typing import Any

from asgi_llm import Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_text
from asgi_llm.types import Receive, Scope, Send

BOSS = {IDENTITY_KEY: Identity(subject="boss", roles=("admin",))}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def get(app: Any, path: str, scope: dict[str, Any] | None = None) -> tuple[Any, Any]:
    exchange = await ASGIDriver(app, scope=scope).request("GET", path)
    return await exchange.start(), await exchange.body()


def settings(url: str, **dashboard: Any) -> dict[str, Any]:
    return {
        "targets": {"up": {"provider": "openai_compatible", "base_url": f"{url}/v1"}},
        "auth": {"anonymous": True},
        "dashboard": {"enabled": True, **dashboard},
    }


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


async def test_the_page_finds_what_belongs_to_it_under_any_prefix() -> None:
    """And nothing else: no address of another, nothing inline, so that a strict policy lets all of it through."""
    gateway = Gateway(settings("http://127.0.0.1:9"))
    app = LLMMiddleware(other, gateway, prefix="/a/llm")
    async with gateway.running():
        for place in ("/a/llm/dashboard", "/a/llm/dashboard/"):
            head, page = await get(app, place)
            assert head.status == 200
            text = page.decode()
            assert "'unsafe" not in head.header("content-security-policy")
            assert not re.search(r"<style|<script>|\son\w+=|style=|https?://", text)
            found = re.findall(r'(?:href|src)="([^"]+)"', text)
            for reference in [one for one in found if not one.startswith("data:")]:
                whole = (place.rpartition("/")[0] + "/" + reference).replace("/./", "/")
                head, body = await get(app, whole)
                assert (head.status, bool(body)) == (200, True), whole
                assert head.header("x-content-type-options") == "nosniff"
                assert b"http://" not in body


async def test_who_sees_the_figures() -> None:
    async def status(gateway: Gateway, scope: dict[str, Any] | None = None) -> int:
        head, _ = await get(gateway.asgi, "/dashboard/data", scope)
        return int(head.status)

    gateway = Gateway(settings("http://127.0.0.1:9"))
    async with gateway.running():
        assert await status(gateway) == 403
        assert await status(gateway, {IDENTITY_KEY: Identity(subject="ann", roles=("staff",))}) == 403
        assert await status(gateway, BOSS) == 200
    gateway = Gateway(settings("http://127.0.0.1:9", anonymous=True))
    async with gateway.running():
        assert await status(gateway) == 200
    gateway = Gateway(settings("http://127.0.0.1:9", enabled=False))
    async with gateway.running():
        assert await status(gateway, BOSS) == 404
        assert gateway.runtime().telemetry is None


async def test_what_they_are() -> None:
    bad = Answer.json({"error": {"message": "no", "code": "odd"}}, status=400)
    async with ScriptedUpstream([chat_text("hi"), bad]) as upstream:
        gateway = Gateway({**settings(upstream.url), "ledger": {}})
        async with gateway.running():
            for _ in range(2):
                exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=CHAT)
                await exchange.body()
                await exchange.finished()
            ledger = gateway.runtime().ledger
            assert ledger is not None
            await ledger.flush()
            exchange = await ASGIDriver(gateway.asgi, scope=BOSS).request("GET", "/dashboard/data?days=1")
            told = await exchange.json()
    assert told["totals"]["requests"] == 2
    assert told["totals"]["failed"] == 1
    assert told["totals"]["output"] > 0
    (target,) = told["targets"]
    (worker,) = target["workers"]
    assert (worker["name"], worker["state"], worker["breaker"]) == ("up#0", "ready", "closed")
    (error,) = told["errors"]
    assert (error["model"], error["status"], error["outcome"]) == ("m", 400, "upstream_error")
    (day,) = told["days"]
    assert (day["requests"], day["failed"], day["input"] > 0) == (2, 1, True)
    assert "127.0.0.1" not in str(told)
