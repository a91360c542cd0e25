"""The bytes of a request: line, headers and, where it is small, the body behind them (RFC 9112 sections 2 to 6).

Framing is ``content-length``, save for bodies of unknown length, which go in chunks; the client alone writes ``host``
and the framing.
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from asgi_llm.errors import ClientError

from .address import ILLEGAL_IN_HEADERS, Address, check_name, check_target, joined
from .interface import UpstreamRequest

__all__ = ["RequestHead", "user_agent"]

_JOINED = 65536
"""Bodies up to this size are copied behind the head to go out in one write; larger ones are written as they are."""

_WITHOUT_BODY = frozenset((b"DELETE", b"GET", b"HEAD", b"OPTIONS"))
"""Methods for which an empty body is not announced."""

_KEPT = 256
"""Heads of requests, their beginnings, and header names that are remembered as sound; callers can invent more."""

_REMEMBERED = 4096
"""Bytes of a head that is remembered whole, at most."""

Fixed = tuple[tuple[bytes, bytes], ...]


@cache
def user_agent() -> bytes:
    """What requests are signed with unless they bring a user-agent of their own."""
    try:
        return b"asgi-llm/" + version("asgi-llm").encode()
    except PackageNotFoundError:  # run from a source tree
        return b"asgi-llm/0"


class RequestHead:
    """Writes the requests for one base URL."""

    __slots__ = ("_base", "_good_names", "_heads", "_line_end", "_starts", "_user_agent")

    def __init__(self, address: Address) -> None:
        self._base = address.path
        self._line_end = b" HTTP/1.1\r\nhost: " + address.authority + b"\r\n"
        self._user_agent = b"user-agent: " + user_agent() + b"\r\n"
        self._heads: dict[tuple[object, ...], bytes] = {}
        self._starts: dict[tuple[bytes, bytes, Fixed], tuple[bytes, bytes]] = {}
        self._good_names: set[bytes] = set()

    def announce(self, request: UpstreamRequest, length: int | None) -> bytes:
        """All but the body, for one that follows in pieces: of ``length`` bytes, or in chunks.

        Raises:
            ClientError: see ``write``.
        """
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        return b"%b%b\r\n\r\n" % (self._new_head(request), framing)

    def write(self, request: UpstreamRequest) -> tuple[bytes, bytes]:
        """The first write, and what is left of the body for a second one (b"" when the first holds it all).

        Raises:
            ClientError: bytes in method, path or headers that could end a line early.
        """
        body = request.body
        key = (request.method, request.path, request.fixed, *request.headers)
        try:
            head = self._heads.get(key) or self._new_head(request, key)
        except TypeError:  # lists for pairs, as some servers write the caller's
            head = self._new_head(request)
        if not body and request.method in _WITHOUT_BODY:
            return head + b"\r\n", b""
        size = len(body)
        if size > _JOINED:
            return b"%bcontent-length: %d\r\n\r\n" % (head, size), body
        return b"%bcontent-length: %d\r\n\r\n%b" % (head, size, body), b""

    def _new_head(self, request: UpstreamRequest, key: tuple[object, ...] | None = None) -> bytes:
        """All but the framing and the body; remembered by ``key``."""
        kind = (request.method, request.path, request.fixed)
        start, agent = self._starts.get(kind) or self._new_start(kind)
        said, signed = self._written(request.headers)
        head = start + said if signed else start + said + agent
        if key is not None and len(head) <= _REMEMBERED:
            if len(self._heads) >= _KEPT:
                self._heads.clear()
            self._heads[key] = head
        return head

    def _written(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
        """The headers' lines, and whether one of them is a user-agent."""
        good, signed = self._good_names, False
        lines: list[bytes] = []
        for name, value in headers:
            if name not in good:
                self._learn(name)
            if name == b"user-agent":
                signed = True
            lines += (name, b": ", value, b"\r\n")
        said = b"".join(lines)
        # One look at all values together: the only control characters may be the line ends written here.
        if len(said) - len(said.translate(None, ILLEGAL_IN_HEADERS)) != len(lines) // 2:
            raise ClientError("A header value contains control characters.")
        return said, signed

    def _new_start(self, key: tuple[bytes, bytes, Fixed]) -> tuple[bytes, bytes]:
        """What requests of this kind begin with, and the signature of those that bring none of their own."""
        method, path, fixed = key
        check_target(method, path)
        target = joined(self._base, path)
        line = b"%b %b%b%b" % (method, b"" if target[:1] == b"/" else b"/", target, self._line_end)
        said, signed = self._written(fixed)
        if len(self._starts) >= _KEPT:
            self._starts.clear()
        start = self._starts[key] = (line + said, b"" if signed else self._user_agent)
        return start

    def _learn(self, name: bytes) -> None:
        check_name(name)
        if len(self._good_names) >= _KEPT:
            self._good_names.clear()
        self._good_names.add(name)
