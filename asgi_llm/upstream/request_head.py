"""The bytes of a request: line, headers and, where it is small, the body behind them (RFC 9112 sections 2 to 6).

Framing is always ``content-length``; the client alone writes ``host`` and ``content-length``.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from asgi_llm.errors import ClientError

from .address import ILLEGAL_IN_HEADERS, Address, check_name, check_target
from .interface import UpstreamRequest

__all__ = ["RequestHead", "user_agent"]

_JOINED = 65536
"""Bodies up to this size are copied behind the head to go out in one write; larger ones are written as they are."""

_WITHOUT_BODY = frozenset((b"DELETE", b"GET", b"HEAD", b"OPTIONS"))
"""Methods for which an empty body is not announced."""

_KEPT = 256
"""Request lines and header names that are remembered as sound; callers can invent more."""


@cache
def user_agent() -> bytes:
    """What requests are signed with unless they bring a user-agent of their own."""
    try:
        return b"asgi-llm/" + version("asgi-llm").encode()
    except PackageNotFoundError:  # run from a source tree
        return b"asgi-llm/0"


class RequestHead:
    """Writes the requests for one base URL."""

    __slots__ = ("_base", "_good_names", "_line_end", "_lines", "_user_agent")

    def __init__(self, address: Address) -> None:
        self._base = address.path
        self._line_end = b" HTTP/1.1\r\nhost: " + address.authority + b"\r\n"
        self._user_agent = b"user-agent: " + user_agent() + b"\r\n"
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        self._good_names: set[bytes] = set()

    def write(self, request: UpstreamRequest) -> tuple[bytes, bytes]:
        """The first write, and what is left of the body for a second one (b"" when the first holds it all).

        Raises:
            ClientError: bytes in method, path or headers that could end a line early.
        """
        method, headers, body = request.method, request.headers, request.body
        parts = [self._lines.get((method, request.path)) or self._new_line(method, request.path)]
        good, agent, lines = self._good_names, self._user_agent, 4 + len(headers)
        for name, value in headers:
            if name not in good:
                self._learn(name)
            if name == b"user-agent":
                agent = b""
                lines -= 1
            parts += (name, b": ", value, b"\r\n")
        parts.append(agent)
        if body or method not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n\r\n" % len(body))
            lines += 1
        else:
            parts.append(b"\r\n")
        head = b"".join(parts)
        # One look at all values together: the only control characters may be the line ends written here.
        if len(head) - len(head.translate(None, ILLEGAL_IN_HEADERS)) != 2 * lines:
            raise ClientError("A header value contains control characters.")
        if len(body) <= _JOINED:
            return head + body, b""
        return head, body

    def _new_line(self, method: bytes, path: bytes) -> bytes:
        check_target(method, path)
        target = self._base + path
        line = b"%b %b%b%b" % (method, b"" if target[:1] == b"/" else b"/", target, self._line_end)
        if len(self._lines) >= _KEPT:
            self._lines.clear()
        self._lines[method, path] = line
        return line

    def _learn(self, name: bytes) -> None:
        check_name(name)
        if len(self._good_names) >= _KEPT:
            self._good_names.clear()
        self._good_names.add(name)
