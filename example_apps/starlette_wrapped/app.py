"""The application of ``legacy.py``, wrapped: language models for its users under /llm, and not one line of it changed.

Run it with ``uvicorn app:app``; the README has the rest.
"""

import os
from http.cookies import SimpleCookie
from typing import Any

import legacy

from asgi_llm import Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY, shown_key


class KnowUsers:
    """Tells the gateway who calls, by the sessions of the application. It stands outside of the gateway."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (name := legacy.sessions.get(session_of(scope["headers"]))):
            scope = {**scope, IDENTITY_KEY: Identity(subject=name, tenant="shop", source="session")}
        await self.app(scope, receive, send)


def session_of(headers: list[tuple[bytes, bytes]]) -> str:
    """A program shows it as its key, a browser in a cookie."""
    cookie = SimpleCookie(dict(headers).get(b"cookie", b"").decode("latin-1")).get("session")
    return shown_key(headers) or (cookie.value if cookie else "")


def load_settings() -> dict[str, Any]:
    """The echo answers without any key. With OPENAI_API_KEY set, OpenAI answers what asks for its models."""
    settings: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "default_target": "echo"}
    if os.environ.get("OPENAI_API_KEY"):
        settings["targets"]["openai"] = {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}
        settings["routes"] = [{"model": "gpt-*", "target": "openai"}]
    return settings


gateway = Gateway(load_settings())
app = KnowUsers(LLMMiddleware(legacy.app, gateway, prefix="/llm"))
