"""A site without a framework, and language models for its users under /llm.

Run it with ``uvicorn app:app``; the README has the rest.
"""

import json
import os
from pathlib import Path
from typing import Any

from asgi_llm import Exchange, Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY, shown_key

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
# Stands for the place where the site knows its users from.
users = {"ann's token": Identity(subject="ann", tenant="acme"), "bob's token": Identity(subject="bob", tenant="acme")}
used: dict[str, int] = {}


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The application that is there already. It need not know of the gateway."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        kind, status, body = await answer(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body.encode()})


async def answer(scope: Any, receive: Any) -> tuple[bytes, int, str]:
    if scope["path"] == "/login" and scope["method"] == "POST":
        said = json.loads(await read(receive) or b"{}")
        token = f"{said.get('name')}'s token"
        right = token in users and said.get("password") == f"{said['name']}'s password"
        return b"application/json", 200 if right else 401, json.dumps({"token": token} if right else {})
    if scope["path"] == "/usage":
        lines = [f"{name} has used {tokens} tokens." for name, tokens in sorted(used.items())]
        return b"text/plain; charset=utf-8", 200, "\n".join([*lines, ""])
    return b"text/html; charset=utf-8", 200 if scope["path"] == "/" else 404, PAGE


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more and len(body) < 10_000:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


class KnowUsers:
    """Middleware that tells everything behind it who calls. It must stand outside of the gateway."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            user = users.get(shown_key(scope["headers"]) or "")
            # A copy, so that nobody outside sees it. Where the site knows no user, the gateway refuses.
            scope = {**scope, IDENTITY_KEY: user} if user else scope
        await self.app(scope, receive, send)


def count(exchange: Exchange) -> None:
    """Called once for every request to a model, however it ended."""
    if exchange.usage is not None:
        tokens = exchange.usage.input + exchange.usage.output
        used[exchange.identity.subject] = used.get(exchange.identity.subject, 0) + tokens


def load_settings() -> dict[str, Any]:
    """The echo answers without any key. With OPENAI_API_KEY set, OpenAI answers what asks for its models."""
    settings: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "default_target": "echo"}
    if os.environ.get("OPENAI_API_KEY"):
        settings["targets"]["openai"] = {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}
        settings["routes"] = [{"model": "gpt-*", "target": "openai"}]
    return settings


gateway = Gateway(load_settings(), on_settled=count)
app = KnowUsers(LLMMiddleware(site, gateway, prefix="/llm"))
