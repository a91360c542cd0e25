"""A real uvicorn with its own HTTP protocol and with ours, side by side: what differs is what the tests find."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools
import pytest
import uvicorn

from asgi_llm.server import Protocol

PATIENCE = 20
"""Seconds after which a test has failed, and not only waited."""


class Caller:
    """Says and hears bytes on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = b""

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def hear(self, size: int = 65536) -> bytes:
        piece = await asyncio.wait_for(self.reader.read(size), PATIENCE)
        self.heard += piece
        return piece

    async def until(self, text: bytes) -> None:
        """Waits until ``text`` has been heard."""
        while text not in self.heard:
            assert await self.hear(), self.heard

    async def answer(self, *, bodiless: bool = False) -> bytes:
        """One whole answer."""
        end = End(bodiless)
        parser = httptools.HttpResponseParser(end)
        heard = b""
        while not end.reached:
            piece = await self.hear()
            assert piece, heard
            heard += piece
            parser.feed_data(piece)
        return heard

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        heard = b""
        try:
            while piece := await self.hear():
                heard += piece
        except ConnectionResetError:
            pass  # it closed with something unread, which it may
        return heard


class End:
    """Finds out where an answer ends."""

    def __init__(self, bodiless: bool) -> None:
        self.bodiless = bodiless
        self.reached = False

    def on_headers_complete(self) -> None:
        self.reached = self.bodiless

    def on_message_complete(self) -> None:
        self.reached = True


@asynccontextmanager
async def serve(app: Any, http: Any = Protocol, **options: Any) -> AsyncIterator[uvicorn.Server]:
    """uvicorn in this loop; ``server.port`` is where."""
    defaults = {"lifespan": "off", "log_level": "critical", "log_config": None, "ws": "none"}
    server: Any = uvicorn.Server(uvicorn.Config(app, http=http, loop="none", **(defaults | options)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        running = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            yield server
        finally:
            server.should_exit = True
            await asyncio.wait_for(running, PATIENCE)


@asynccontextmanager
async def call(port: int, **options: Any) -> AsyncIterator[Caller]:
    caller = Caller(*await asyncio.open_connection("127.0.0.1", port, **options))
    try:
        yield caller
    finally:
        caller.writer.close()


@dataclass
class Seen:
    """What an application was told: each request's scope, and the messages that it received, bodies in one piece."""

    scopes: list[dict[str, Any]] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)

    def watch(self, app: Any) -> Any:
        async def watched(scope: Any, receive: Any, send: Any) -> None:
            port = scope["server"][1]
            self.scopes.append(
                {**scope, "headers": [*scope["headers"]], "client": scope["client"][0], "server": port > 0}
            )
            messages: list[Any] = []
            self.messages.append(messages)

            async def receiving() -> Any:
                message = await receive()
                before = messages[-1] if messages else {"type": None}
                if before["type"] == message["type"] == "http.request":
                    assert before["more_body"]
                    messages[-1] = {**message, "body": before["body"] + message["body"]}
                else:
                    messages.append(message)
                return message

            await app(scope, receiving, send)

        return watched


DATE = re.compile(rb"date: [^\r]+\r\n")
THEIRS = "httptools"


@dataclass
class Told:
    """What a script came to."""

    seen: Seen
    heard: bytes


async def play(app: Any, script: Callable[[Caller], Awaitable[None]], http: Any, **options: Any) -> Told:
    seen = Seen()
    async with serve(seen.watch(app), http, **options) as server, call(server.port) as caller:
        await asyncio.wait_for(script(caller), PATIENCE)
    return Told(seen, DATE.sub(b"", caller.heard))


async def same(app: Any, script: Any, **options: Any) -> Told:
    """Plays ``script`` with both, finds no difference, and returns what it came to."""
    ours = await play(app, script, Protocol, **options)
    theirs = await play(app, script, THEIRS, **options)
    assert ours.heard == theirs.heard
    assert ours.seen.scopes == theirs.seen.scopes
    assert ours.seen.messages == theirs.seen.messages
    return ours


class Wire(asyncio.Transport):
    """A connection that hands over exactly the pieces that it is told to, and keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 1000), "sockname": ("10.0.0.2", 80), "socket": None})
        self.protocol: Any = None
        self.written = b""
        self.closed = self.paused = False
        self.held: list[bytes] = []

    def bring(self, data: bytes) -> None:
        self.held.append(data)
        self.flow()

    def flow(self) -> None:
        while self.held and not (self.paused or self.closed):
            self.protocol.data_received(self.held.pop(0))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        asyncio.get_running_loop().call_soon(self.flow)

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol


@asynccontextmanager
async def wired(app: Any, http: Any = Protocol, **options: Any) -> AsyncIterator[Wire]:
    """A connection to a protocol, without a server around it."""
    config: Any = uvicorn.Config(
        app, http=http, lifespan="off", log_config=None, access_log=False, ws="none", **options
    )
    config.load()
    wire = Wire()
    state = uvicorn.server.ServerState()
    wire.protocol = config.http_protocol_class(config=config, server_state=state, app_state={"shared": "state"})
    wire.protocol.connection_made(wire)
    try:
        yield wire
    finally:
        wire.close()
        for task in state.tasks:
            task.cancel()
        await settled()


async def settled() -> None:
    """All that can be done now is done."""
    for _ in range(30):
        await asyncio.sleep(0)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the body it gets."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Kit:
    """The names above, for the tests of this folder."""

    serve = staticmethod(serve)
    call = staticmethod(call)
    play = staticmethod(play)
    same = staticmethod(same)
    echo = staticmethod(echo)
    wired = staticmethod(wired)
    settled = staticmethod(settled)
    Seen = Seen
    patience = PATIENCE
    theirs = THEIRS
    invalid = (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\n"
        b"connection: close\r\n\r\nInvalid HTTP request received."
    )
    protocol = Protocol


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
