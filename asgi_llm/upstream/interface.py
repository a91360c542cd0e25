"""What a backend offers: send one request, read the answer piece by piece, give it back.

Both backends pass the same behaviour suite.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from asgi_llm.types import Headers

__all__ = [
    "AddressInfo", "BodySource", "Client", "ClientOptions", "Resolve", "Timeouts", "UpstreamRequest",
    "UpstreamResponse",
]  # fmt: skip


AddressInfo = tuple[socket.AddressFamily, tuple[object, ...]]
"""A family and an address as ``socket.connect`` takes it."""
Resolve = Callable[[str, int], Awaitable[list[AddressInfo]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In seconds; 0 means none.

    ``connect`` covers waiting for a connection of the pool, the TCP and the TLS handshake. ``first_byte`` runs from
    the request's last byte to the answer's head; ``idle`` between two pieces of the body; ``total`` over all of it.
    """

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 120.0
    total: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How one worker is talked to.

    ``base_url`` is scheme, host, port and an optional path prefix (no query). ``tls`` is used for https; None means
    the default context. ``keepalive`` is how long an idle connection is kept, in seconds. ``max_head`` is the limit
    on status line and headers of an answer, in bytes. ``proxy`` and ``http2`` are for the httpx backend only.
    ``resolve`` finds the addresses of a host and port in place of the system, and may refuse; it is for the other one.
    """

    base_url: str
    timeouts: Timeouts = Timeouts()
    max_connections: int = 200
    max_keepalive: int = 50
    keepalive: float = 50.0
    max_head: int = 65536
    tls: ssl.SSLContext | None = None
    proxy: str | None = None
    http2: bool = False
    resolve: Resolve | None = None


class BodySource(Protocol):
    """A body that is still arriving while it is sent. ``length`` is its size in bytes, or None where nobody knows."""

    length: int | None

    def begin(self) -> None:
        """It is sent from its start on, perhaps not for the first time.

        Raises:
            UpstreamError: what was sent before is not there any more.
        """
        ...

    async def read(self) -> bytes:
        """The next piece; b"" at the end. Cancelling it loses nothing.

        Raises:
            Exception: the body will not be whole. The connection is closed and the error passes on.
        """
        ...


class UpstreamRequest(Struct, eq=False, gc=False):
    """``path`` is appended to the base URL's path and may carry a query; ``/../health`` behind
    ``http://host/v1`` is ``http://host/health``. ``headers`` are in lower case and exclude
    ``host``, ``content-length``, ``connection`` and ``transfer-encoding``, which the client writes itself. ``fixed``
    are further headers, which many requests share: a backend may remember how they are written. ``timeouts``
    overrides the client's. ``source`` stands in place of ``body`` where that is sent as it arrives."""

    method: bytes
    path: bytes
    headers: Headers
    body: bytes = b""
    timeouts: Timeouts | None = None
    fixed: tuple[tuple[bytes, bytes], ...] = ()
    source: BodySource | None = None


class UpstreamResponse(Protocol):
    """An answer whose head has arrived. Must be closed on every path; ``close`` never blocks and never raises."""

    status: int
    headers: Headers
    resent: bool
    """Whether the request was sent twice: the connection that it went out on had been idle and ended without a word."""

    @property
    def ended(self) -> bool:
        """Whether it is known that nothing more will come: the next ``read`` would give b""."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body, as large as what has arrived; b"" at the end, and again after it.

        Raises:
            UpstreamError: reset, cut off, idle or total time-out, broken framing.
        """
        ...

    def whole(self) -> bytes | None:
        """In place of ``read``: the whole body, where all of it is there already; else None, with nothing read."""
        ...

    def close(self) -> None:
        """Give the answer back. Before its end that closes the connection (so that the upstream stops working)."""
        ...


class Client(Protocol):
    """One worker's connections."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and wait for the answer's head. Cancelling closes the connection that was used.

        Raises:
            UpstreamError: with the cause.
        """
        ...

    async def aclose(self) -> None:
        """Close idle connections at once and the busy ones too."""
        ...
