"""The official SDKs on one end, a scripted provider on the other, the gateway in a served application between them.

Both ends are table entries in ``ends``: a ``...Caller`` says with its SDK what a test wants said and reads the answer
through it; a ``...Speaker`` writes the provider's answers and reads what the provider was asked. What they hand to
tests is the same for every dialect, so that one test body serves every pair.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from asgi_llm import Exchange, Gateway, LLMMiddleware
from asgi_llm.testing import ScriptedUpstream
from asgi_llm.testing.patience import within

sys.path.insert(0, str(Path(__file__).parent))

from ends.chat import ChatCaller, ChatSpeaker
from ends.gemini import GeminiCaller, GeminiSpeaker
from ends.messages import MessagesCaller, MessagesSpeaker
from ends.responses import ResponsesCaller, ResponsesSpeaker
from ends.said import ADD, WEATHER, Picture, Result

_NO_TLS = ssl.create_default_context()
"""Nothing here is encrypted; a context made once saves each client from reading the system's authorities."""


class Server(uvicorn.Server):
    """uvicorn in the test's own loop, told to stop by an event instead of looking at a flag every tenth of a second."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=1))
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's tenth of a second for the clients: here they have closed their connections already."""
        for server in self.servers:
            server.close()
        async with asyncio.timeout(60):
            while self.server_state.connections:
                await asyncio.sleep(0)
        await self.lifespan.shutdown()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The app on a free port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(app)
        # Not serve(): that would take over the signals of the test run.
        task = asyncio.create_task(server._serve([listener]))
        await within(server.ready.wait(), 60, "the server's start")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop.set()
            await within(task, 60, "the server's end")


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the application around the gateway where no framework is used."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"no such page"})


def _fastapi(gateway: Gateway) -> Any:
    fastapi = pytest.importorskip("fastapi")
    from asgi_llm_fastapi import llm_router

    app = fastapi.FastAPI()
    app.include_router(llm_router(gateway), prefix="/llm")
    return app


HOSTS: dict[str, tuple[Callable[[Gateway], Any], str]] = {
    "fastapi": (_fastapi, "/llm"),
    "middleware": (lambda gateway: LLMMiddleware(site, gateway, prefix="/llm"), "/llm"),
    "bare": (lambda gateway: gateway.asgi, ""),
}
_USUAL = "fastapi" if find_spec("fastapi") else "middleware"
"""What hosts the gateway where a test does not say: FastAPI as its users mount it, where it is installed."""


@dataclass
class Desk:
    """A served gateway. ``url`` is where it answers; ``settled`` hands out its exchanges as they end."""

    url: str
    upstream: ScriptedUpstream
    settled: asyncio.Queue[Exchange]
    stack: AsyncExitStack

    async def client(self, caller: Any, key: str = "sk-caller", **options: Any) -> Any:
        """An SDK's client of the gateway, that does not retry unless told to."""
        http = await self.stack.enter_async_context(httpx2.AsyncClient(verify=_NO_TLS, trust_env=False, timeout=60))
        return caller.client(self.url, http, key, {"max_retries": 0, **options})

    async def ended(self) -> Exchange:
        """The next exchange that ends."""
        return await within(self.settled.get(), 60, "the settlement of an exchange")


@pytest.fixture
async def open_desk() -> AsyncIterator[Any]:
    """``await open_desk(speaker, script, ...)`` serves a gateway in front of a scripted upstream."""
    async with AsyncExitStack() as stack:

        async def open_desk(speaker: Any, script: Any = (), host: str = _USUAL, **more: Any) -> Desk:
            upstream = await stack.enter_async_context(ScriptedUpstream(script))
            target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **speaker.settings, **more}
            return await _open(stack, {"targets": {"main": target}, "auth": {"anonymous": True}}, upstream, host)

        yield open_desk


@pytest.fixture
async def open_gateway() -> AsyncIterator[Any]:
    """``await open_gateway(settings)`` serves a gateway with these settings, till the test ends."""
    async with AsyncExitStack() as stack:

        async def open_gateway(settings: dict[str, Any], host: str = _USUAL) -> Desk:
            return await _open(stack, settings, ScriptedUpstream(), host)

        yield open_gateway


async def _open(stack: AsyncExitStack, settings: dict[str, Any], upstream: ScriptedUpstream, host: str) -> Desk:
    settled: asyncio.Queue[Exchange] = asyncio.Queue()
    build, prefix = HOSTS[host]
    app = build(Gateway(settings, on_settled=settled.put_nowait))
    url = await stack.enter_async_context(served(app))
    # Clients are closed before the server that they talk to.
    return Desk(url + prefix, upstream, settled, stack)


@pytest.fixture(params=[ChatCaller(), MessagesCaller()], ids=["openai", "anthropic"])
def caller(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[ChatSpeaker(), MessagesSpeaker()], ids=["chat", "messages"])
def speaker(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(
    params=[ChatCaller(), ResponsesCaller(), MessagesCaller(), GeminiCaller()],
    ids=["openai-chat", "openai-responses", "anthropic", "google-genai"],
)
def any_caller(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(
    params=[ChatSpeaker(), ResponsesSpeaker(), MessagesSpeaker(), GeminiSpeaker()],
    ids=["chat", "responses", "messages", "gemini"],
)
def any_speaker(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def chat_caller() -> ChatCaller:
    return ChatCaller()


@pytest.fixture
def messages_caller() -> MessagesCaller:
    return MessagesCaller()


@pytest.fixture
def gemini_caller() -> GeminiCaller:
    return GeminiCaller()


@pytest.fixture
def speakers() -> dict[str, Any]:
    return {"chat": ChatSpeaker(), "messages": MessagesSpeaker(), "responses": ResponsesSpeaker()}


@pytest.fixture(params=["whole", "plain", "helper"])
def how(request: pytest.FixtureRequest) -> str:
    """How the answer is read: whole, iterating over a stream, or by the SDK's stream helper."""
    return str(request.param)


@pytest.fixture
def kit() -> Any:
    """The words that tests share."""

    class Kit:
        picture = Picture
        result = Result
        tools = (ADD, WEATHER)

    return Kit
