"""What a connection makes of the bytes of an answer (RFC 9112; parsed by llhttp).

llhttp, in its strict mode, refuses bare CR or LF, folded lines, control characters, both or several
Content-Lengths, Content-Length beside Transfer-Encoding and bad chunks. This module adds what it leaves open: limits,
versions, interim answers, codings other than ``chunked``, answers to HEAD, and bytes after the end.

Nearly all exchanges are alike: what makes one differ is a bit in ``_odd``, and the common way tests them all at once.
"""

import asyncio
from collections import deque
from typing import cast

import httptools

from asgi_llm.types import Headers

from .answer import Answer

__all__ = ["DRIPS", "HEAD", "LARGE", "LAST", "PAUSED", "UNFINISHED", "UNSENT", "Parsing"]

_MAX_HEADERS = 256
_NOWHERE = cast("Headers", deque(maxlen=0))
"""Where trailers are kept."""

# What can be odd about an exchange. Plain numbers, because arithmetic on enumerations is slow.
HEAD = 1
"""Its request was a HEAD: the answer has no body, whatever it says."""
LARGE = 2
"""Its request is written in two parts."""
UNSENT = 4
"""Part of the request is still ours to send."""
UNFINISHED = 8
"""Part of the request is still to come."""
DRIPS = 16
"""The head of its answer did not come in one piece, or not alone."""
LAST = 32
"""The connection ends with it."""
PAUSED = 64
"""Reading is paused."""


class _Refused(Exception):  # noqa: N818 - says why the parser was stopped; never leaves this module
    """Raised inside the parser's callbacks."""


class Parsing:
    """The half of a connection that the parser calls; the other half is ``on_message_complete``.

    Attributes:
        pieces: the body that has arrived and was not read yet.
        waiter: done, with what has arrived of the body, when there is any, and with b"" at the head and at the end.
    """

    __slots__ = (
        "_answer",
        "_codings",
        "_feed",
        "_head",
        "_headers",
        "_keeps_alive",
        "_max_head",
        "_odd",
        "_parser",
        "_room",
        "_status",
        "on_body",
        "pieces",
        "waiter",
    )

    def __init__(self, max_head: int) -> None:
        self._max_head = self._room = max_head
        self._odd = self._codings = 0
        self._answer: Answer | None = None
        self._head: bytes | None = b""  # its first bytes; None in bodies
        self._headers: Headers = _NOWHERE
        self.waiter: asyncio.Future[bytes] | None = None
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # the parser calls this for every piece: the list itself is fastest
        self._renew_parser()

    def on_message_begin(self) -> None:
        """A second answer was not asked for: it is neither more of this one's body nor the next request's answer."""
        if not self._head:
            raise _Refused("The upstream answered twice.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also called for trailers, which are left out."""
        name = name.lower()
        if name == b"transfer-encoding" and self._head is not None:
            self._codings += 1 if value.strip().lower() == b"chunked" else 2
        self._headers.append((name, value.strip()))

    def on_headers_complete(self) -> None:
        """The head is whole: interim, or the answer's own."""
        status = self._status()
        plain = self._head.startswith(b"HTTP/1.1 ")  # type: ignore[union-attr]  # it is None in bodies only
        if (self._codings or status < 200 or not plain) and self._is_interim(status, plain):
            return
        if len(self._headers) > _MAX_HEADERS:
            raise _Refused("The upstream's answer has too many headers.")
        self._head = None
        self._headers = _NOWHERE
        self._answer.status = status  # type: ignore[union-attr]  # nothing is parsed without an answer to fill
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(b"")

    # Inside

    def _renew_parser(self) -> None:
        parser = self._parser = httptools.HttpResponseParser(self)
        self._feed = parser.feed_data
        self._status = parser.get_status_code
        self._keeps_alive = parser.should_keep_alive

    def _is_interim(self, status: int, plain: bool) -> bool:
        """A closer look at a head that is not like most."""
        recent = plain or self._parser.get_http_version() == "1.1"
        if not recent:
            if self._parser.get_http_version() != "1.0":
                raise _Refused("The upstream's answer is of another version of HTTP.")
            self._odd |= LAST
        codings, self._codings = self._codings, 0
        if codings > (1 if recent and status >= 200 else 0):
            raise _Refused("The upstream's answer has a transfer coding that was not asked for.")
        if status >= 200:
            return False
        if status < 100 or status == 101:
            raise _Refused("The upstream's answer has a status that was not asked for.")
        self._headers.clear()
        self._head = b"interim"
        self._odd |= DRIPS
        return True

    def _feed_limited(self, data: bytes) -> None:
        """At most ``max_head`` bytes are parsed before the head must be whole, however they are cut."""
        view, room = memoryview(data), self._room
        self._feed(view[:room])
        if self._answer is not None and self._head is not None:
            raise httptools.HttpParserError("the head is too large")
        self._feed(view[room:])

    def _reason(self, error: Exception) -> str | None:
        """Why it was this module that refused, if it was."""
        refused = error.__context__
        return str(refused) if isinstance(refused, _Refused) else None
