"""A head that is sent again: clients that keep a connection send the same head with each request, but for the digits
of its content-length.

Here is decided whether bytes are such a request, and that is all the framing of requests that is not httptools' own.
What is remembered is a head that httptools has accepted, and only if it has no other way to say where its request ends
than one content-length or none. Bytes that differ from it in anything but those digits are left to httptools.
"""

from asgi_llm.types import Headers, Scope

__all__ = ["Head"]

_LONGEST = 8192
"""Bytes of a head that are kept for each connection."""

_DIGITS = 10
"""So many, and what they say cannot overflow anywhere."""

_OTHER_WAYS = (b"transfer-encoding", b"upgrade", b"expect")
"""Headers that make a request end, or go on, otherwise than its content-length says."""


class Head:
    """A head, and the request that it made."""

    __slots__ = ("_after", "_at", "_before", "_headers", "_scope", "_size", "_tail")

    def __init__(self, head: bytes, digits: slice | None, at: int, scope: Scope) -> None:
        """``digits`` are those of the content-length, which is the header number ``at``; a head may have none."""
        self._before = head if digits is None else head[: digits.start]
        self._after = b"" if digits is None else head[digits.stop :]
        self._size = len(self._before)
        self._tail = len(self._after)
        self._at = at
        # The application may change what it is given, so a copy is kept, and copies of that are given away.
        self._headers: Headers = scope["headers"].copy()
        self._scope = dict(scope)

    @classmethod
    def remembered(cls, head: bytes, url: bytes, scope: Scope) -> "Head | None":
        """``head`` if it is worth it. httptools has read ``url`` and ``scope`` from it, for a request of HTTP/1.1 after
        which the connection goes on."""
        headers: Headers = scope["headers"]
        names = [name for name, _ in headers]
        if len(head) > _LONGEST or any(name in _OTHER_WAYS for name in names):
            return None
        lines = [b"%b %b HTTP/1.1\r\n" % (scope["method"].encode("ascii"), url), *map(b"%b: %b\r\n".__mod__, headers)]
        # Written as everybody writes it, so that there is no doubt where the digits stand.
        if head.lower() != b"".join((*lines, b"\r\n")).lower():
            return None
        count = names.count(b"content-length")
        if not count:
            return cls(head, None, -1, scope)
        at = names.index(b"content-length")
        stop = sum(map(len, lines[: at + 2])) - 2
        digits = slice(stop - len(headers[at][1]), stop)
        return cls(head, digits, at, scope) if count == 1 else None

    def again(self, data: bytes) -> tuple[Scope, int, int] | None:
        """If ``data`` begins with this head: the scope of the request, where its body begins, and how long that is.

        Of the scope, ``asgi`` and ``state`` are to be made anew for each request.
        """
        if not data.startswith(self._before):
            return None
        size, digits = self._size, b"0"
        end = size
        if self._at >= 0:
            end = data.find(b"\r", size, size + _DIGITS + 1)
            digits = data[size:end]
            if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
                return None
        scope = self._scope.copy()
        headers = scope["headers"] = self._headers.copy()
        if self._at >= 0:
            headers[self._at] = (b"content-length", digits)
        return scope, end + self._tail, int(digits)
