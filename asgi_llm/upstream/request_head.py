"""The bytes of a request: line, headers and, where it is small, the body behind them (RFC 9112 sections 2 to 6).

Framing is always ``content-length``; the client alone writes ``host`` and ``content-length``.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from asgi_llm.errors import ClientError

from .address import Address, check_name, check_target, illegal_in_headers, illegal_in_target
from .interface import UpstreamRequest

__all__ = ["RequestHead", "user_agent"]

_JOINED = 65536
"""Bodies up to this size are copied behind the head to go out in one write; larger ones are written as they are."""

_METHODS = frozenset((b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT"))
_WITHOUT_BODY = frozenset((b"DELETE", b"GET", b"HEAD", b"OPTIONS"))
"""Methods for which an empty body is not announced."""

_NAMES_KEPT = 256


@cache
def user_agent() -> bytes:
    """What requests are signed with unless they bring a user-agent of their own."""
    try:
        return b"asgi-llm/" + version("asgi-llm").encode()
    except PackageNotFoundError:  # run from a source tree
        return b"asgi-llm/0"


class RequestHead:
    """Writes the requests for one base URL."""

    __slots__ = ("_base", "_good_names", "_line_end", "_user_agent")

    def __init__(self, address: Address) -> None:
        self._base = address.path
        self._line_end = b" HTTP/1.1\r\nhost: " + address.authority + b"\r\n"
        self._user_agent = b"user-agent: " + user_agent() + b"\r\n"
        self._good_names: set[bytes] = set()

    def write(self, request: UpstreamRequest) -> tuple[bytes, bytes]:
        """The first write, and what is left of the body for a second one (b"" when the first holds it all).

        Raises:
            ClientError: bytes in method, path or headers that could end a line early.
        """
        body = request.body
        head = self._head(request, len(body))
        if not body:
            return head, b""
        if len(body) <= _JOINED:
            return head + body, b""
        return head, body

    def _head(self, request: UpstreamRequest, length: int) -> bytes:
        method, path, headers = request.method, request.path, request.headers
        target = self._base + path
        if method not in _METHODS or path[:1] != b"/" or target.translate(None, illegal_in_target) != target:
            check_target(method, path)
            if target[:1] != b"/":
                target = b"/" + target
        parts = [method, b" ", target, self._line_end]
        good, agent = self._good_names, self._user_agent
        for name, value in headers:
            if name not in good:
                self._learn(name)
            if name == b"user-agent":
                agent = b""
            parts += (name, b": ", value, b"\r\n")
        parts.append(agent)
        if length or method not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % length)
        parts.append(b"\r\n")
        head = b"".join(parts)
        # One look at all values together: the only control characters may be the line ends written here.
        lines = len(headers) + 3 + (agent != b"") + (length > 0 or method not in _WITHOUT_BODY)
        if len(head) - len(head.translate(None, illegal_in_headers)) != 2 * lines:
            raise ClientError("A header value contains control characters.")
        return head

    def _learn(self, name: bytes) -> None:
        check_name(name)
        if len(self._good_names) >= _NAMES_KEPT:
            self._good_names.clear()
        self._good_names.add(name)
