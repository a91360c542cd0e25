"""Workers behind TLS: each is shown its own certificate, and trusted by its own authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import no_leaks

ANSWER = b'{"id":"c","object":"chat.completion","model":"m","created":1,"choices":[]}'
MODELS = b'{"data":[{"id":"m","object":"model"}]}'


class Server:
    """Answers whoever shows a certificate, and notes the name on it by the path that was asked for."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("peercert")["subject"][0][0][1]
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (line[15:] for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), b"0"
                )
                await reader.readexactly(int(length))
                self.seen.append((shown, head.split(b" ")[1].decode()))
                body = ANSWER if head.startswith(b"POST") else MODELS
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
                await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[Server]:
    one = Server()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=context)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()


def own_tls(authority: Any, name: str, trusts: Any) -> dict[str, str]:
    cert, key = authority.issue(name)
    return {"ca": trusts.pem, "cert": cert, "key": key}


@pytest.mark.parametrize("pool", [{}, {"http2": True}], ids=["http1", "httpx"])
async def test_each_worker_is_shown_its_own_certificate(
    authority: Any, tmp_path: Path, chat: Callable[..., Any], pool: dict[str, Any]
) -> None:
    """Two workers, each signed by another authority, each knowing another name of the gateway; also for questions."""
    other = authority.another()
    async with (
        serving(authority.serving(tmp_path, clients=authority.pem)) as one,
        serving(other.serving(tmp_path, clients=other.pem)) as two,
    ):
        workers = [
            {"url": f"https://127.0.0.1:{one.port}", "tls": own_tls(authority, "gateway-one", authority)},
            {"url": f"https://127.0.0.1:{two.port}", "tls": own_tls(other, "gateway-two", other)},
        ]
        target = {"provider": "vllm", "workers": workers, "pool": pool}
        gateway = Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}})
        async with no_leaks(), gateway.running():
            for _ in range(4):
                assert (await chat(gateway))[0] == 200
            while not {"/health", "/v1/models"} <= {path for server in (one, two) for _, path in server.seen}:
                await asyncio.sleep(0.01)
    for server, name in ((one, "gateway-one"), (two, "gateway-two")):
        assert {shown for shown, _ in server.seen} == {name}
        assert [path for _, path in server.seen].count("/v1/chat/completions") == 2


async def test_a_worker_that_does_not_know_the_certificate_is_passed_over(
    authority: Any, tmp_path: Path, chat: Callable[..., Any]
) -> None:
    other = authority.another()
    async with (
        serving(authority.serving(tmp_path, clients=authority.pem)) as knows,
        serving(authority.serving(tmp_path, clients=other.pem)) as knows_another,
    ):
        urls = [f"https://127.0.0.1:{server.port}" for server in (knows_another, knows)]
        target = {
            "provider": "vllm",
            "workers": [{"url": url} for url in urls],
            "tls": own_tls(authority, "gateway", authority),
            "health": {"interval": 0},
            "discover": False,
        }
        gateway = Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}})
        async with no_leaks(), gateway.running():
            for _ in range(4):
                assert (await chat(gateway))[0] == 200
    assert knows_another.seen == []
    assert len(knows.seen) == 4
