"""A head that is sent again: clients that keep a connection send the same head with each request, but for the digits
of its content-length.

Here is decided whether bytes are such a request, and that is all the framing of requests that is not httptools' own.
What is remembered is a head that httptools has accepted, and only if it has no other way to say where its request ends
than one content-length or none. Bytes that differ from it in anything but those digits are left to httptools.
"""

from asgi_llm.types import Headers, Scope

__all__ = ["Head", "remembered"]

_LONGEST = 8192
"""Bytes of a head that are kept for each connection."""

_DIGITS = 10
"""So many, and what they say cannot overflow anywhere."""

_OTHER_WAYS = (b"transfer-encoding", b"upgrade", b"expect")
"""Headers that make a request end, or go on, otherwise than its content-length says."""


class Head:
    """A head with one content-length, and the request that it made; ``again`` of its subclass, of one with none."""

    __slots__ = ("_after", "_before", "_left", "_reach", "_right", "_scope", "_size", "_tail")

    def __init__(self, before: bytes, after: bytes, at: int, scope: Scope) -> None:
        """What stands before the digits and behind them, and the number of their header."""
        self._before = before
        self._after = after
        self._size = len(before)
        self._reach = len(before) + _DIGITS + 1
        self._tail = len(after)
        # The application may change what it is given, so each request gets dicts and lists of its own.
        self._scope = dict(scope)
        self._left: Headers = scope["headers"][:at]
        self._right: Headers = scope["headers"][at + 1 :]

    def again(self, data: bytes) -> tuple[Scope, int, int] | None:
        """If ``data`` begins with this head: the scope of the request, where its body begins, and how long that is.

        Of the scope, ``asgi`` and ``state`` are to be made anew for each request.
        """
        if not data.startswith(self._before):
            return None
        size = self._size
        end = data.find(b"\r", size, self._reach)
        digits = data[size:end]
        # Where nothing was found, ``end`` is the last byte, and too little for what follows the digits.
        if not (digits.isdigit() and data.startswith(self._after, end)):
            return None
        scope = self._scope.copy()
        scope["headers"] = [*self._left, (b"content-length", digits), *self._right]
        return scope, end + self._tail, int(digits)


class _Bare(Head):
    """A head without a content-length, which is the whole request."""

    __slots__ = ()

    def again(self, data: bytes) -> tuple[Scope, int, int] | None:
        if not data.startswith(self._before):
            return None
        scope = self._scope.copy()
        scope["headers"] = self._left.copy()
        return scope, self._size, 0


def remembered(head: bytes, url: bytes, scope: Scope) -> Head | None:
    """``head`` if it is worth it. httptools has read ``url`` and ``scope`` from it, for a request of HTTP/1.1 after
    which the connection goes on."""
    headers: Headers = scope["headers"]
    names = [name for name, _ in headers]
    count = names.count(b"content-length")
    if len(head) > _LONGEST or count > 1 or any(name in _OTHER_WAYS for name in names):
        return None
    lines = [b"%b %b HTTP/1.1\r\n" % (scope["method"].encode("ascii"), url), *map(b"%b: %b\r\n".__mod__, headers)]
    # Written as everybody writes it, so that there is no doubt where the digits stand.
    if head.lower() != b"".join((*lines, b"\r\n")).lower():
        return None
    if not count:
        return _Bare(head, b"", len(headers), scope)
    at = names.index(b"content-length")
    stop = sum(map(len, lines[: at + 2])) - 2
    return Head(head[: stop - len(headers[at][1])], head[stop:], at, scope)
