"""The ordinary way in: httptools makes requests of a connection's bytes, and this puts them in a queue.

What is raised in the functions that httptools calls makes the request an invalid one.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from asgi_llm.types import Headers

from .cycle import Cycle
from .scope import request_scope, wants_websocket

if TYPE_CHECKING:
    from .protocol import Protocol

__all__ = ["OversizedError", "Reader"]

_MAX_HEAD = 65_536
"""Bytes of a head that are read after those with which it began to come."""


class OversizedError(Exception):
    """The head of a request does not end."""


class Reader:
    """Reads one connection.

    Attributes:
        in_head: the head of a request has begun, and not ended.
        url: the target of the latest request.
        latest: the request whose body arrives, or did; None before the first one, and for an upgrade.
        queue: what has been read and not begun to be answered.
    """

    __slots__ = (
        "_expects", "_headers", "_parser", "_protocol", "_shown", "_size", "in_head", "latest", "queue", "url",
    )  # fmt: skip

    def __init__(self, protocol: "Protocol") -> None:
        self._protocol = protocol
        self._parser: Any = httptools.HttpRequestParser(self)
        self._headers: Headers = []
        self._shown: Headers | None = None  # to the application, in place of those
        self._expects = False
        self._size = 0
        self.in_head = False
        self.url = b""
        self.latest: Cycle | None = None
        self.queue: deque[Cycle] = deque()

    def read(self, data: bytes) -> bytes | None:
        """Reads what came. If it ends in the request for a WebSocket: that, and what came behind it.

        Raises:
            HttpParserError: it is no request.
            OversizedError: it is too much.
        """
        if self.in_head:
            self._size += len(data)
            if self._size > _MAX_HEAD:
                raise OversizedError
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
                if self.latest is not None:  # a CONNECT, behind which is no HTTP
                    return None
                if self._protocol.config.ws_protocol_class is not None and wants_websocket(self._headers):
                    return self._head(self._headers) + rest
                # It stays with HTTP, as a server may choose (RFC 9110, 7.8), but httptools took the body for the other
                # protocol's. Java's client asks so for HTTP/2 with each first request.
                self._shown = self._headers
                self._parser.feed_data(self._head([header for header in self._headers if header[0] != b"upgrade"]))
            else:
                return None

    def close(self) -> None:
        """Nothing comes any more. What would keep each other in memory lets go."""
        del self._parser, self._protocol
        self.latest = None
        self.queue.clear()

    def _head(self, headers: Headers) -> bytes:
        """The head that has been read last, with these headers."""
        line = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self.url, self._parser.get_http_version().encode())
        return b"".join((line, *map(b"%b: %b\r\n".__mod__, headers), b"\r\n"))

    # What httptools calls

    def on_message_begin(self) -> None:
        self.url = b""
        self._headers = []
        self._expects = False
        self._size = 0
        self.in_head = True
        self._protocol.wait()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also called for trailers, which ASGI has no place for."""
        if self.in_head:
            name = name.lower()
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = False
        parser, protocol = self._parser, self._protocol
        method, version = parser.get_method(), parser.get_http_version()
        if parser.should_upgrade() and method != b"CONNECT":
            self.latest = None
            return
        headers, self._shown = self._shown or self._headers, None
        scope = request_scope(protocol.common, method, self.url, version, headers)
        keep_alive = version != "1.0" and method != b"CONNECT" and parser.should_keep_alive()
        scope["asgi"] = protocol.asgi.copy()
        scope["state"] = protocol.app_state.copy()
        cycle = self.latest = Cycle(protocol, scope, None, keep_alive)
        cycle.expect(self._expects)
        self.queue.append(cycle)

    def on_body(self, body: bytes) -> None:
        if self.latest is not None and self.latest.take(body):
            self._protocol.pause_reading()

    def on_message_complete(self) -> None:
        if self.latest is not None:
            self.latest.end()
