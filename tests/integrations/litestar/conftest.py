"""An application with the gateway under /llm, driven message by message, or served on a socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")

import uvicorn
from litestar import Litestar

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.testing import ASGIDriver
from asgi_llm.testing.exchange import Head
from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}}
MESSAGE = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
PATHS = {"chat": "/llm/v1/chat/completions", "messages": "/llm/v1/messages", "responses": "/llm/v1/responses"}


class App:
    """``litestar`` has further arguments of the application, ``options`` those of the plugin's configuration."""

    def __init__(
        self,
        *,
        handlers: Sequence[Any] = (),
        settings: dict[str, Any] | None = None,
        litestar: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.settled: list[Exchange] = []
        self.gateway = Gateway({**ECHO, **(settings or {})}, on_settled=self.settled.append)
        plugin = LLMPlugin(LLMPluginConfig(gateway=self.gateway, **options))
        arguments = {"logging_config": None, **(litestar or {})}
        arguments["plugins"] = [*arguments.get("plugins", ()), plugin]
        self.app = Litestar(list(handlers), **arguments)
        self.driver = ASGIDriver(self.app)

    async def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, json: Any = None, **scope: Any
    ) -> tuple[Head, bytes]:
        exchange = await self.driver.request(method, path, headers or {}, json=json, scope=scope)
        head, body = await exchange.start(), await exchange.body()
        await exchange.finished()
        return head, body

    async def ask(self, dialect: str = "chat", headers: dict[str, str] | None = None) -> tuple[Head, Any]:
        body = {"model": "echo", "input": "hi"} if dialect == "responses" else MESSAGE
        exchange = await self.driver.request("POST", PATHS[dialect], headers or {}, json=body)
        head, answer = await exchange.start(), await exchange.json()
        await exchange.finished()
        return head, answer

    async def who(self, headers: dict[str, str] | None = None) -> Identity:
        async with self.driver.lifespan():
            head, answer = await self.ask(headers=headers)
            assert head.status == 200, answer
        return self.settled[-1].identity


@pytest.fixture
def make() -> type[App]:
    return App


Serve = Callable[[Any], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """Serves an app with uvicorn for as long as the block runs; gives its address."""

    @asynccontextmanager
    async def serving(app: Any) -> AsyncIterator[str]:
        config = uvicorn.Config(app, log_level="warning", loop="none", ws="none", lifespan="on")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.create_task(server._serve(sockets=[listener]))
            try:
                while not server.started and not running.done():
                    await asyncio.sleep(0.005)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running

    return serving
