"""A site without a framework, and language models for its users under /llm.

Run it with ``uvicorn app:app``; the README has the rest.
"""

import os
from typing import Any

from asgi_llm import Exchange, Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY

# Stands for the place where the site knows its users from.
users = {"ann's token": Identity(subject="ann", tenant="acme"), "bob's token": Identity(subject="bob", tenant="acme")}
used: dict[str, int] = {}


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The application that is there already. It need not know of the gateway, nor of lifespans."""
    if scope["type"] != "http":
        raise NotImplementedError(f"this site does not speak {scope['type']}")
    page = "\n".join(["A site.", *(f"{name} has used {tokens} tokens." for name, tokens in sorted(used.items()))])
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"{page}\n".encode()})


class KnowUsers:
    """Middleware that tells everything behind it who calls. It must stand outside of the gateway."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            shown = headers.get(b"authorization", b"").removeprefix(b"Bearer ") or headers.get(b"x-api-key", b"")
            user = users.get(shown.decode("latin-1"))
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
