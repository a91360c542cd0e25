"""The socket side of a scripted upstream: reads requests soundly, plays answers literally.

Requests are parsed by httptools (llhttp), so what a provider would refuse is refused here too.
"""

import asyncio
import socket
import struct
from typing import Protocol, cast

import httptools

from asgi_llm.types import Headers

from .answer import Answer, Close, Delay, Reset, Stall, Wait
from .recorded import Recorded

__all__ = ["Connection", "Director"]

_LINGER_ZERO = struct.pack("ii", 1, 0)


class Director(Protocol):
    """Told by the connections what happens; says what to answer."""

    connections: "set[Connection]"

    async def answer(self, request: Recorded) -> Answer:
        """What to answer; called in the order of arrival."""
        ...

    def blame(self, message: str) -> None:
        """The peer (or the script) did something that must fail the test."""
        ...


class Connection(asyncio.Protocol):
    """One connection: its requests one after another, pipelined ones in their order."""

    def __init__(self, director: Director, number: int) -> None:
        self._director = director
        self._number = number
        self._parser = httptools.HttpRequestParser(self)
        self._requests: asyncio.Queue[tuple[Recorded, bool]] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._current: Recorded | None = None
        self._transport: asyncio.Transport
        self.task: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._director.connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, error: Exception | None) -> None:
        if self._current is not None:
            self._current.disconnected.set()
        self.task.cancel()
        self._director.connections.discard(self)

    def eof_received(self) -> None:
        # No half-closed peers: whoever stops sending has gone, as real providers see it.
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is whole; what an upgraded peer would say next is not read
        except httptools.HttpParserError as error:
            self._director.blame(f"a request that is not HTTP/1.1 ({error}): {data[:200]!r}")
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection now."""
        self._transport.abort()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Recorded(
            method=self._parser.get_method().decode(),
            path=path,
            query=query,
            headers=self._headers,
            body=b"".join(self._body),
            connection=self._number,
        )
        self._requests.put_nowait((request, self._parser.should_keep_alive()))

    # Answering.

    async def _serve(self) -> None:
        keep_alive = True
        while keep_alive:
            self._current, keep_alive = await self._requests.get()
            answer = await self._director.answer(self._current)
            keep_alive &= await self._play(answer, self._current)
            self._current = None
        self._transport.close()

    async def _play(self, answer: Answer, request: Recorded) -> bool:
        """Whether the connection can take another request."""
        for step in answer.pieces():
            match step:
                case bytes():
                    await self._write(step, one_by_one=answer.split > 0)
                    request.sent += len(step)
                case Delay():
                    await asyncio.sleep(step.seconds)
                case Wait():
                    await step.event.wait()
                case Stall():
                    await asyncio.Event().wait()
                case Reset():
                    request.answered.set()
                    self._current = None
                    self._reset()
                    return False
                case Close():
                    request.answered.set()
                    return False
        request.answered.set()
        return True

    async def _write(self, data: bytes, *, one_by_one: bool) -> None:
        await self._writable.wait()
        self._transport.write(data)
        if one_by_one:
            # Two turns of the loop: in the first the peer's socket becomes readable, in the second it is read.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()
