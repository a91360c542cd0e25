"""One HTTP/1.1 connection: bytes in, an ``Answer`` out, one exchange at a time (RFC 9112; parsed by llhttp).

llhttp, in its strict mode, refuses bare CR or LF, folded lines, control characters, both or several
Content-Lengths, Content-Length beside Transfer-Encoding and bad chunks. This module adds what it leaves open: limits,
versions, interim answers, codings other than ``chunked``, answers to HEAD, ends by closing, and bytes after the end.
"""

import asyncio
from typing import Protocol, cast

import httptools

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.types import Headers

from . import failures
from .alarm import Alarm
from .answer import Answer
from .interface import Timeouts

__all__ = ["Connection", "Owner"]

_BUFFERED = 256 * 1024
"""Reading pauses when so many bytes wait for a reader, beside those that woke it."""

_WRITTEN_AT_ONCE = 256 * 1024
"""Above any request without a second part, for which the protocol is then never paused. For requests with a large body
the limits are set so that ``resume_writing`` means that the last byte has left."""

_MAX_HEADERS = 256
_IDLE = Cause.IDLE_TIMEOUT


class Owner(Protocol):
    """Whose places the connections fill."""

    def left(self, connection: "Connection") -> None: ...
    def release(self, connection: "Connection") -> None: ...
    def vacate(self) -> None: ...
    def drop(self, connection: "Connection") -> None: ...


class _Refused(Exception):  # noqa: N818 - says why the parser was stopped; never leaves this module
    """Raised inside the parser's callbacks."""


class Connection(asyncio.Protocol):
    """Created by dialling; ``begin`` starts an exchange, whose parts the answer's ``read`` awaits.

    Attributes:
        alarm: its sense of time.
        idle: it lies in the pool.
        idle_since: loop time.
        pieces: the body that has arrived and was not read yet.
    """

    __slots__ = (
        "_answer",
        "_buffered",
        "_codings",
        "_complete",
        "_first_byte",
        "_head_pending",
        "_headers",
        "_idle_limit",
        "_is_head",
        "_keep_alive",
        "_loop",
        "_lost",
        "_max_head",
        "_overhead",
        "_owner",
        "_parser",
        "_reading_paused",
        "_room",
        "_silent",
        "_starts_with_http11",
        "_tells_when_sent",
        "_transport",
        "_unfinished",
        "_unsent",
        "_used",
        "_waiter",
        "_writing_paused",
        "alarm",
        "idle",
        "idle_since",
        "on_body",
        "pieces",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, max_head: int) -> None:
        self._owner = owner
        self._loop = loop
        self._max_head = max_head
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self._used = False
        self._first_byte = self._idle_limit = 0.0
        self._writing_paused = self._reading_paused = False
        self._tells_when_sent = False
        self._unfinished = False
        self._room: asyncio.Future[None] | None = None
        self._unsent = 0
        self._buffered = self._overhead = self._codings = 0
        self._head_pending = self._complete = self._keep_alive = self._is_head = self._silent = False
        self._starts_with_http11 = False
        self._headers: Headers = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # the parser calls this for every piece: the list itself is fastest
        self.alarm = Alarm(loop, self._ring)
        self.idle = False
        self.idle_since = 0.0
        self._parser = self._new_parser()

    def __repr__(self) -> str:
        state = "lost" if self._lost else "idle" if self._answer is None else "busy"
        return f"<Connection {state}>"

    # What the client and the answer ask of it

    def usable(self) -> bool:
        """Whether a request can still be sent on it."""
        return not (self._lost or self._transport.is_closing())

    def begin(
        self, first: bytes, rest: bytes, is_head: bool, timeouts: Timeouts, total_at: float
    ) -> "tuple[Answer, asyncio.Future[None]]":
        """Send a request. The future is done when the answer has its head or its error.

        ``total_at`` is the loop time at which the exchange must be over (inf: never). The time to the first byte is
        counted from the request's last.
        """
        answer = self._answer = Answer(self)
        self._headers = answer.headers
        self._head_pending = self._silent = True
        self._complete = False
        self._is_head = is_head
        self._overhead = self._buffered = self._codings = 0
        self._first_byte = timeouts.first_byte
        self._idle_limit = timeouts.idle
        self.alarm.total_at = total_at
        if self._tells_when_sent is not bool(rest):
            self._tells_when_sent = bool(rest)
            limits = (1, 0) if rest else (_WRITTEN_AT_ONCE, None)  # over TLS, 0 would pause an empty buffer
            self._transport.set_write_buffer_limits(*limits)
        self._transport.write(first)
        if rest:
            # Not writelines: some versions of asyncio do not pause the protocol in it.
            self._transport.write(rest)
        if self._writing_paused:
            self._unsent = self._transport.get_write_buffer_size()
            self.alarm.expect(self._idle_limit, Cause.IDLE_TIMEOUT)
        else:
            self.alarm.expect(self._first_byte, Cause.FIRST_BYTE_TIMEOUT)
        waiter = self._waiter = self._loop.create_future()
        return answer, waiter

    # A body that is still arriving: after ``begin`` with none.

    def rest(self) -> None:
        """The next piece of the request's body is awaited: time runs for nobody but the whole exchange."""
        self._unfinished = True
        self.alarm.expect(0, Cause.TOTAL_TIMEOUT)

    def send_piece(self, data: bytes) -> "asyncio.Future[None] | None":
        """A piece of the request's body. Where the upstream is slow to take it, what is done when it has taken it."""
        self._transport.write(data)
        if not self._writing_paused:
            return None
        self._unsent = self._transport.get_write_buffer_size()
        self.alarm.expect(self._idle_limit, Cause.IDLE_TIMEOUT)
        self._room = self._loop.create_future()
        return self._room

    def all_sent(self) -> None:
        """The body is whole: from here the upstream's time runs."""
        self._unfinished = False
        if self._writing_paused:
            self._unsent = self._transport.get_write_buffer_size()
            self.alarm.expect(self._idle_limit, Cause.IDLE_TIMEOUT)
        else:
            self.alarm.expect(self._first_byte, Cause.FIRST_BYTE_TIMEOUT)

    def wait_for_body(self) -> "asyncio.Future[None]":
        """Done when there are pieces, or the answer has ended."""
        self.alarm.expect(self._idle_limit, _IDLE)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def take_body(self) -> bytes:
        """All that has arrived, as one piece."""
        pieces = self.pieces
        data = pieces.pop()
        if pieces:
            data = b"".join((*pieces, data))
            pieces.clear()
        self._buffered = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def fail(self, error: UpstreamError) -> None:
        """End the exchange and the connection."""
        self._end(error, reusable=False)

    def time_out(self, cause: Cause) -> None:
        """End the exchange because of a time-out."""
        self._end(failures.timed_out(cause), reusable=False)

    def abort(self) -> None:
        """Close at once; nothing is flushed."""
        self._lost = True
        self.alarm.stop()
        self._transport.abort()

    # What the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITTEN_AT_ONCE)

    def data_received(self, data: bytes) -> None:
        """Parse; then hand over what has become complete."""
        if self._answer is None:
            self._unasked()
            return
        try:
            if self._head_pending:
                self._feed_head(data)
            else:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken(error)
            return
        if self._complete:
            unasked_body = self._is_head and self.pieces
            sent = not (self._writing_paused or self._unfinished)
            self._end(None, reusable=self._keep_alive and sent and not unasked_body)
        elif self.pieces:
            self._overhead = 0
            if (waiter := self._waiter) is not None:
                self._waiter = None
                if not waiter.done():
                    waiter.set_result(None)
                return
            self._buffered += len(data)
            if self._buffered > _BUFFERED and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
        else:
            self._count_overhead(len(data))

    def eof_received(self) -> None:
        """The peer has said all: the end of a body without a length, a cut in any other."""
        if self._answer is None:
            self._unasked()
        elif not self._head_pending and _ends_by_closing(self._answer):
            self._end(None, reusable=False)
        else:
            self._cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever the reason, an exchange that is still open was cut off."""
        self._lost = True
        self.alarm.stop()
        if self._answer is not None:
            self._cut_off()
        elif self.idle:
            self._owner.drop(self)
        self._owner.left(self)

    def pause_writing(self) -> None:
        """Part of the request is still ours to send."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The request is out: from here the upstream's time runs."""
        self._writing_paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._head_pending and self._waiter is not None and not self._unfinished:
            self.alarm.expect(self._first_byte, Cause.FIRST_BYTE_TIMEOUT)

    # What the parser tells it

    def on_message_begin(self) -> None:
        """A second answer was not asked for: it is neither more of this one's body nor the next request's answer."""
        if self._complete:
            raise _Refused("The upstream answered twice.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also called for trailers, which are left out."""
        if self._head_pending:
            name = name.lower()
            if name == b"transfer-encoding":
                self._codings += 1 if value.strip().lower() == b"chunked" else 2
            self._headers.append((name, value.strip()))

    def on_headers_complete(self) -> None:
        """The head is whole: interim, or the answer's own."""
        parser = self._parser
        status = parser.get_status_code()
        recent = self._starts_with_http11 or parser.get_http_version() == "1.1"
        if not recent and parser.get_http_version() != "1.0":
            raise _Refused("The upstream's answer is of another version of HTTP.")
        if len(self._headers) > _MAX_HEADERS:
            raise _Refused("The upstream's answer has too many headers.")
        if self._codings > (1 if recent and status >= 200 else 0):
            raise _Refused("The upstream's answer has a transfer coding that was not asked for.")
        if status < 200:
            self._interim(status)
            return
        self._keep_alive = recent and parser.should_keep_alive()
        self._head_pending = False
        self._answer.status = status  # type: ignore[union-attr]  # nothing is parsed without an answer to fill
        if self._is_head:
            self._complete = True

    def on_message_complete(self) -> None:
        """Interim answers complete too, with their head still pending."""
        if not self._head_pending:
            self._complete = True

    # Inside

    def _new_parser(self) -> httptools.HttpResponseParser:
        return httptools.HttpResponseParser(self)

    def _interim(self, status: int) -> None:
        if status < 100 or status == 101:
            raise _Refused("The upstream's answer has a status that was not asked for.")
        self._headers.clear()
        self._starts_with_http11 = False

    def _feed_head(self, data: bytes) -> None:
        """At most ``max_head`` bytes are parsed before the head must be whole, however they are cut."""
        room = self._max_head - self._overhead
        if self._silent:
            self._silent = False
            self._starts_with_http11 = data.startswith(b"HTTP/1.1 ")
        if len(data) <= room:
            self._overhead += len(data)
            self._parser.feed_data(data)
        else:
            view = memoryview(data)
            self._overhead = self._max_head
            self._parser.feed_data(view[:room])
            if self._head_pending:
                raise httptools.HttpParserError("the head is too large")
            self._parser.feed_data(view[room:])
        if not self._head_pending:
            self._overhead = 0
            self._wake()

    def _count_overhead(self, size: int) -> None:
        """Chunk extensions and trailers are not kept, but a flood of them is no body either."""
        if self._head_pending:
            return
        self._overhead += size
        if self._overhead > self._max_head:
            self.fail(failures.protocol("The upstream's answer has framing without content."))

    def _broken(self, error: Exception) -> None:
        if self._complete:
            # The answer is whole; what follows it is not, and is nobody's.
            self._end(None, reusable=False)
            return
        refused = error.__context__
        self.fail(failures.protocol(str(refused)) if isinstance(refused, _Refused) else failures.protocol())

    def _unasked(self) -> None:
        """Data or an end between exchanges."""
        self.abort()
        if self.idle:
            self._owner.drop(self)

    def _cut_off(self) -> None:
        answer = self._answer
        if answer is None or not self._used or not self._silent:
            self.fail(failures.reset())
            return
        # The peer gave up the idle connection while the request was under way. The place stays with the request.
        self._answer = None
        answer.stale = True
        answer.end(b"", failures.reset())
        self._wake()
        self.abort()

    def _end(self, error: UpstreamError | None, *, reusable: bool) -> None:
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        answer.end(self._rest() if self.pieces else b"", error)
        if self._waiter is not None:
            self._wake()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if reusable:
            if self._is_head:
                self._parser = self._new_parser()
            self._used = True
            self._owner.release(self)
            return
        self.abort()
        self._owner.vacate()

    def _rest(self) -> bytes:
        pieces = self.pieces
        data = b"" if self._is_head else pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _ring(self, cause: Cause) -> None:
        if self._waiter is None:
            return
        if self._writing_paused and cause is Cause.IDLE_TIMEOUT and self._still_sending():
            self.alarm.expect(self._idle_limit, Cause.IDLE_TIMEOUT)
        else:
            self.time_out(cause)

    def _still_sending(self) -> bool:
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before


def _ends_by_closing(answer: Answer) -> bool:
    return not any(name in (b"content-length", b"transfer-encoding") for name, _ in answer.headers)
