"""Engines of a fleet on sockets, and a caller."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_text
from asgi_llm.testing.recorded import Recorded


class Engine(ScriptedUpstream):
    """Answers chats, says whether it is well, and lists its models."""

    def __init__(self, *models: str, name: str = "engine") -> None:
        super().__init__(self._serve)
        self.name = name
        self.models = list(models)
        self.well = True
        self.asked: list[str] = []
        self.chats: list[Recorded] = []
        self.says: Callable[[Recorded], Answer | Awaitable[Answer]] = lambda _request: chat_text(f"from {self.name}")

    async def _serve(self, request: Recorded) -> Answer:
        if request.method == "POST":
            self.chats.append(request)
            answer = self.says(request)
            return answer if isinstance(answer, Answer) else await answer
        self.asked.append(request.path)
        if request.path == "/health":
            return Answer.json({}, 200 if self.well else 503)
        if request.path == "/v1/models":
            return Answer.json({"data": [{"id": name, "object": "model", "created": 7} for name in self.models]})
        return Answer.json({"error": {"message": "no such path"}}, 404)


@pytest.fixture
async def engines() -> AsyncIterator[Callable[..., Awaitable[list[Engine]]]]:
    async with AsyncExitStack() as stack:

        async def start(*names: str, models: tuple[str, ...] = ("m",)) -> list[Engine]:
            return [await stack.enter_async_context(Engine(*models, name=name)) for name in names]

        yield start


def build(
    engines: list[Engine], *, provider: str = "vllm", workers: list[dict[str, Any]] | None = None, **more: Any
) -> Gateway:
    """A gateway in front of ``engines``, which are neither probed nor asked unless the test says so."""
    own = workers or [{} for _ in engines]
    listed = [{"url": engine.url} | extra for engine, extra in zip(engines, own, strict=True)]
    root = {name: more.pop(name) for name in ("admin", "state", "auth") if name in more}
    target = {"provider": provider, "workers": listed, "health": {"interval": 0}, "discover": False} | more
    return Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}} | root)


async def ask(gateway: Gateway, model: str = "m", text: str = "hi", **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a chat."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
    head = await exchange.start()
    data = await exchange.body()
    await exchange.finished()
    return head.status, json.loads(data)


async def call(
    gateway: Gateway, method: str, path: str, value: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of any request."""
    exchange = await ASGIDriver(gateway.asgi).request(
        method, path, headers or {}, **({} if value is None else {"json": value})
    )
    head = await exchange.start()
    data = await exchange.body()
    await exchange.finished()
    return head.status, json.loads(data or b"null"), {name.decode(): said.decode() for name, said in head.headers}


@pytest.fixture
def gateway_of() -> Callable[..., Gateway]:
    return build


@pytest.fixture
def chat() -> Callable[..., Awaitable[tuple[int, dict[str, Any]]]]:
    return ask


@pytest.fixture
def request_of() -> Callable[..., Awaitable[tuple[int, Any, dict[str, str]]]]:
    return call
