"""A gateway with state, asked without a server."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import Gateway, Identity
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import ASGIDriver, ScriptedUpstream

PROVIDERS = {"chat": "openai", "messages": "anthropic", "gemini": "gemini", "responses": "openai"}
ANN = Identity(subject="ann", tenant="acme")


class Answered:
    """An answer. ``json`` is the whole, or the response of a stream's last event."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.events: list[Any] = []
        if headers.get("content-type", "").startswith("text/event-stream"):
            lines = [line for line in body.decode().splitlines() if line.startswith("data: {")]
            self.events = [json.loads(line[6:]) for line in lines]
            self.json: Any = self.events[-1].get("response")
        else:
            self.json = json.loads(body) if body else None

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def text(self) -> str:
        parts = [part for item in self.json["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in parts)


class Client:
    """Somebody who asks the gateway."""

    def __init__(self, gateway: Gateway, identity: Identity = ANN) -> None:
        self.gateway = gateway
        self.identity = identity
        self.driver = ASGIDriver(gateway.asgi, scope={IDENTITY_KEY: identity})

    def other(self, **who: str) -> "Client":
        """Somebody else who asks the same gateway."""
        return Client(self.gateway, Identity(**({"subject": "ann", "tenant": "acme"} | who)))

    async def __call__(self, method: str, path: str, json: Any = None) -> Answered:
        exchange = await self.driver.request(method, path, json=json)
        head = await exchange.start()
        body = await exchange.body()
        await exchange.finished()
        return Answered(head.status, {name.decode(): value.decode() for name, value in head.headers}, body)

    async def say(self, text: Any, **asked: Any) -> Answered:
        return await self("POST", "/v1/responses", {"model": "m", "input": text, **asked})


Open = Callable[..., Any]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn, empty."""
    if request.param == "memory":
        return "memory:"
    pytest.importorskip("sqlalchemy")
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def open_client(stack: AsyncExitStack) -> Open:
    """``await open_client(upstream, dialect, store=..., **responses)``"""

    async def open_client(
        upstream: ScriptedUpstream, dialect: str = "chat", *, store: str = "memory:", **responses: Any
    ) -> Client:
        target = {
            "provider": PROVIDERS[dialect],
            "base_url": f"{upstream.url}/v1",
            "api_key": "sk-up",
            "dialects": [dialect],
        }
        settings = {
            "targets": {"up": target},
            "responses": {"stateful": True} | responses,
            "store": {"url": store},
        }
        gateway = Gateway(settings)
        await stack.enter_async_context(gateway.running())
        return Client(gateway)

    open_client.client = Client  # type: ignore[attr-defined]
    return open_client
