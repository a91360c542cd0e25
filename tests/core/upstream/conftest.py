"""Both backends on both event loops, and a server that says exactly what it is told to say."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from asgi_llm.testing.leaks import no_leaks
from asgi_llm.upstream.http1 import Http1Client
from asgi_llm.upstream.httpx import HttpxClient
from asgi_llm.upstream.interface import Client, ClientOptions, Timeouts, UpstreamRequest, UpstreamResponse

Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One connection as the server sees it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """One whole request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.reader.readexactly(int(line[15:]))
        return head

    async def say(self, data: bytes, *, step: int = 0) -> None:
        """Write it whole, or ``step`` bytes at a time with turns of the loop between."""
        for piece in [data[at : at + step] for at in range(0, len(data), step)] if step else [data]:
            if self.writer.is_closing():
                raise ConnectionResetError
            self.writer.write(piece)
            await self.writer.drain()
            if step:
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """Until the client has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close by RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Runs ``script`` on each connection; ``failures`` are what scripts raised."""

    script: Script
    port: int = 0
    accepted: int = 0
    finished: int = 0
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            await self.script(Peer(self.accepted, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away in the middle, as many tests want
        except Exception as error:
            self.failures.append(error)
        finally:
            self.finished += 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_server(script: Script, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[RawServer]:
    served = RawServer(script)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(served.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, **options)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not served.failures, served.failures


@pytest.fixture
def serve() -> Callable[..., Any]:
    return raw_server


PATIENT = Timeouts(connect=60, first_byte=60, idle=60, total=0)


@dataclass
class Backend:
    """Makes clients of one backend."""

    name: str

    def open(self, url: str, **options: Any) -> Client:
        settings = replace(ClientOptions(base_url=url, timeouts=PATIENT), **options)
        return Http1Client(settings) if self.name == "http1" else HttpxClient(settings)

    @contextlib.asynccontextmanager
    async def client(self, url: str, **options: Any) -> AsyncIterator[Client]:
        client = self.open(url, **options)
        try:
            yield client
        finally:
            await client.aclose()


@pytest.fixture(params=["http1", "httpx"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """A test that takes this runs once for each backend."""
    return Backend(request.param)


@pytest.fixture
def http1() -> Backend:
    return Backend("http1")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """Both event loops, because their transports differ in what a client has to cope with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The large table runs on one loop for httpx, whose sockets are not ours."""
    items[:] = [item for item in items if not ("uvloop-httpx" in item.name and item.path.stem == "test_malformed")]


def post(body: bytes = b"{}", path: bytes = b"/chat", **more: Any) -> UpstreamRequest:
    return UpstreamRequest(b"POST", path, [(b"content-type", b"application/json")], body, **more)


@pytest.fixture
def ask() -> Callable[..., UpstreamRequest]:
    return post


async def read_all(answer: UpstreamResponse) -> bytes:
    parts = []
    while piece := await answer.read():
        parts.append(piece)
    assert await answer.read() == b""
    return b"".join(parts)


@pytest.fixture
def whole() -> Callable[[UpstreamResponse], Awaitable[bytes]]:
    return read_all


@pytest.fixture(autouse=True)
def nothing_unraisable(recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    yield
    assert not [str(warning.message) for warning in recwarn]


@pytest.fixture
def leakless() -> Callable[..., Any]:
    return no_leaks
