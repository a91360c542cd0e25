"""A real MCP server, and a gateway in front of upstreams that know nothing of it."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from asgi_llm import Gateway, Identity
from asgi_llm.testing import Answer, Recorded, ScriptedUpstream
from asgi_llm.testing import chat as chat_kit
from asgi_llm.testing import gemini as gemini_kit
from asgi_llm.testing import messages as messages_kit
from asgi_llm.testing import responses as responses_kit

PROVIDERS = {"chat": "openai", "messages": "anthropic", "gemini": "gemini", "responses": "openai_compatible"}
KITS = {"chat": chat_kit, "messages": messages_kit, "gemini": gemini_kit, "responses": responses_kit}
ANN = Identity(subject="ann", tenant="acme")


@pytest.fixture(scope="session")
def mcp_url(free_port: Any) -> Iterator[str]:
    pytest.importorskip("mcp")
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("mcp_server.py")), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the MCP server ended"
        assert time.monotonic() < end, "the MCP server does not listen"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


class Model:
    """What a model says, round by round, in its dialect; streamed where it was asked to."""

    def __init__(self, dialect: str, *rounds: dict[str, Any]) -> None:
        self.kit: Any = KITS[dialect]
        self.name = dialect
        self.rounds = list(rounds)

    def __call__(self, request: Recorded) -> Answer:
        said = dict(self.rounds.pop(0) if self.rounds else {"text": "Done."})
        text = said.pop("text", "")
        if request.json.get("stream") or "streamGenerateContent" in request.path:
            answer: Answer = getattr(self.kit, f"{self.name}_stream")([text] if text else [], split=17, **said)
        else:
            answer = getattr(self.kit, f"{self.name}_text")(text, **said)
        return answer


@pytest.fixture
def speaks() -> type[Model]:
    return Model


Open = Callable[..., Any]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def open_sdk(stack: AsyncExitStack) -> Open:
    """``await open_sdk(upstream, dialect, **tools)``: the official SDK before a gateway with these tools."""

    async def open_sdk(
        upstream: ScriptedUpstream,
        dialect: str = "chat",
        *,
        identity: Identity = ANN,
        more: dict[str, Any] | None = None,
        library: Any = openai.AsyncOpenAI,
        **tools: Any,
    ) -> Any:
        target = {
            "provider": PROVIDERS[dialect],
            "base_url": f"{upstream.url}/v1",
            "api_key": "sk-up",
            "dialects": [dialect],
        }
        settings = {"targets": {"up": target}, "tools": tools, "responses": {"stateful": True}, **(more or {})}
        gateway = Gateway(settings)
        await stack.enter_async_context(gateway.running())
        http = await stack.enter_async_context(gateway.client(identity=identity))
        return library(http_client=http, api_key="none", max_retries=0)

    return open_sdk
