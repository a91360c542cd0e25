"""One HTTP/1.1 connection: bytes in, an ``Answer`` out, one exchange at a time.

How answers are parsed is in ``parsing.py``; here are the transport, the beginnings and ends of exchanges, ends by
closing, and time.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

import httptools

from asgi_llm.errors import Cause, UpstreamError

from . import failures
from .alarm import Alarm
from .answer import Answer
from .interface import Timeouts
from .parsing import DRIPS, HEAD, LARGE, LAST, PAUSED, UNFINISHED, UNSENT, Parsing

__all__ = ["Connection", "Owner"]

_BUFFERED = 256 * 1024
"""Reading pauses when so many bytes wait for a reader, beside those that woke it."""

_WRITTEN_AT_ONCE = 256 * 1024
"""Above any request without a second part, for which the protocol is then never paused. For requests with a large body
the limits are set so that ``resume_writing`` means that the last byte has left."""

_UNFIT = UNSENT | UNFINISHED | LAST
"""What no other request can follow on."""


class Owner(Protocol):
    """Whose places the connections fill."""

    def left(self, connection: "Connection") -> None: ...
    def release(self, connection: "Connection") -> None: ...
    def vacate(self) -> None: ...
    def drop(self, connection: "Connection") -> None: ...


class Connection(Parsing, asyncio.Protocol):
    """Created by dialling; ``begin`` starts an exchange, whose parts the answer's ``read`` awaits.

    Attributes:
        idle_since: loop time of the end of the last exchange; 0: there was none yet.
        is_closing: the transport's.
        since: loop time since which what is awaited has been awaited.
    """

    __slots__ = (
        "_alarm",
        "_buffered",
        "_loop",
        "_lost",
        "_mute",
        "_mute_since",
        "_owner",
        "_sent",
        "_timeouts",
        "_transport",
        "_unsent",
        "_write",
        "idle_since",
        "is_closing",
        "new_waiter",
        "since",
        "time",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, max_head: int) -> None:
        super().__init__(max_head)
        self._owner = owner
        self._loop = loop
        self._transport = cast("asyncio.Transport", None)
        self._lost = False
        self._unsent = self._buffered = self._mute = 0
        self._sent: asyncio.Future[None] | None = None
        self._timeouts: Timeouts | None = None  # those that the alarm was set by
        self._alarm = Alarm(loop, self._look)
        self.time = loop.time
        self.new_waiter: Callable[[], asyncio.Future[bytes]] = loop.create_future
        self.since = self.idle_since = self._mute_since = 0.0

    def __repr__(self) -> str:
        state = "lost" if self._lost else "idle" if self._answer is None else "busy"
        return f"<Connection {state}>"

    # What the client and the answer ask of it

    def usable(self) -> bool:
        """Whether a request can still be sent on it."""
        return not (self._lost or self.is_closing())

    def ask_head(self) -> None:
        """The next request is a HEAD: its answer has no body, whatever it says."""
        self._odd |= HEAD

    def begin(self, answer: Answer, first: bytes, rest: bytes, timeouts: Timeouts) -> "asyncio.Future[bytes]":
        """Send a request. The future is done when the answer has its head or its error.

        The time to the first byte is counted from the request's last.
        """
        self._answer = answer
        self._headers = answer.headers
        if rest:
            self._write_large(first, rest)
        else:
            self._write(first)
        self.since = self.time()
        if timeouts is not self._timeouts:
            self._set_alarm(timeouts)
        waiter = self.waiter = self.new_waiter()
        return waiter

    # A body that is still arriving: after ``begin`` with none.

    def rest(self) -> None:
        """The next piece of the request's body is awaited: time runs for nobody but the whole exchange."""
        self._odd |= UNFINISHED

    def send_piece(self, data: bytes) -> "asyncio.Future[None] | None":
        """A piece of the request's body. Where the upstream is slow to take it, what is done when it has taken it."""
        self._write(data)
        if not self._odd & UNSENT:
            return None
        self._unsent = self._transport.get_write_buffer_size()
        self.since = self.time()
        self._sent = self._loop.create_future()
        return self._sent

    def all_sent(self) -> None:
        """The body is whole: from here the upstream's time runs."""
        self._odd &= ~UNFINISHED
        self.since = self.time()

    def take_body(self) -> bytes:
        """All that has arrived, as one piece."""
        data = b"".join(self.pieces)
        self.pieces.clear()
        self._buffered = 0
        if self._odd & PAUSED:
            self._odd &= ~PAUSED
            self._transport.resume_reading()
        return data

    def fail(self, error: UpstreamError) -> None:
        """End the exchange and the connection."""
        if self._answer is not None:
            self.end(error)

    def abort(self) -> None:
        """Close at once; nothing is flushed."""
        self._lost = True
        self._alarm.stop()
        self._transport.abort()

    # What the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITTEN_AT_ONCE)
        self._write = self._transport.write
        self.is_closing = transport.is_closing

    def data_received(self, data: bytes) -> None:
        """Parse; then hand over what has arrived of a body."""
        try:
            if self._head is None:
                self._feed(data)
            elif self._answer is None:
                self._unasked()
                return
            else:
                self._head = self._head or data
                if len(data) <= self._room:
                    self._feed(data)
                else:
                    self._feed_limited(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken(error)
            return
        waiter = self.waiter
        if waiter is None:
            if self._answer is not None:
                self._not_awaited(len(data))
        elif pieces := self.pieces:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(b"".join(pieces))
            pieces.clear()
        else:
            self._count_mute(len(data))

    def eof_received(self) -> None:
        """The peer has said all: the end of a body without a length, a cut in any other."""
        if self._answer is None:
            self._unasked()
        elif self._answer.status and _ends_by_closing(self._answer):
            self._odd |= LAST
            self.end()
        else:
            self._cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever the reason, an exchange that is still open was cut off."""
        self._lost = True
        self._alarm.stop()
        if self._answer is not None:
            self._cut_off()
        else:
            self._owner.drop(self)
        self._owner.left(self)

    def pause_writing(self) -> None:
        """Part of the request is still ours to send."""
        self._odd |= UNSENT

    def resume_writing(self) -> None:
        """The request is out: from here the upstream's time runs."""
        self._odd &= ~UNSENT
        if self._head is not None:
            self.since = self.time()
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def end(self, error: UpstreamError | None = None) -> None:
        """The exchange is over: all has come, or ``error`` is behind what has."""
        answer: Answer = self._answer  # type: ignore[assignment]  # nothing ends, nor is parsed, without one
        if self._odd and error is None and self._goes_on(answer):
            return
        self._answer = answer.connection = None
        self._head = b""
        if error is not None:
            answer.error = error
        if pieces := self.pieces:
            answer.rest = b"".join(pieces)
            pieces.clear()
            self._buffered = 0
        else:
            answer.ended = error is None
        if self.waiter is not None:
            self._wake()
        if error is None and self._keeps_alive() and not (self._odd and self._is_unfit()):
            self._owner.release(self)
        else:
            self.abort()
            self._owner.vacate()

    on_message_complete = end

    # Inside

    def _write_large(self, first: bytes, rest: bytes) -> None:
        self._odd |= LARGE
        self._transport.set_write_buffer_limits(1, 0)  # over TLS, 0 would pause an empty buffer
        # Not writelines: some versions of asyncio do not pause the protocol in it.
        self._write(first)
        self._write(rest)
        self._unsent = self._transport.get_write_buffer_size()

    def _not_awaited(self, size: int) -> None:
        """Some of an answer has come whose head is whole, and that nobody is reading just now."""
        if self._odd & HEAD:
            self.end()
        elif self.pieces:
            self._mute = 0
            self._buffered += size
            if self._buffered > _BUFFERED and not self._odd & PAUSED:
                self._odd |= PAUSED
                self._transport.pause_reading()
        else:
            self._count_mute(size)

    def _count_mute(self, size: int) -> None:
        """Chunk extensions and trailers are not kept, but a flood of them is no body either."""
        if self._head is not None:
            self._odd |= DRIPS
            self._room -= size
            return
        if self.since != self._mute_since:  # some content has come since the last time
            self._mute_since = self.since
            self._mute = 0
        self._mute += size
        if self._mute > self._max_head:
            self.fail(failures.protocol("The upstream's answer has framing without content."))

    def _goes_on(self, answer: Answer) -> bool:
        """Whether what has ended is only an interim answer."""
        if self._odd & HEAD and self.pieces:
            self.pieces.clear()  # that body was not asked for
            self._odd |= LAST
        return not answer.status

    def _is_unfit(self) -> bool:
        """Whether no other request can follow on this; what it would not expect is put right."""
        odd = self._odd
        if odd & _UNFIT:
            return True
        if odd & HEAD:
            self._renew_parser()
        if odd & LARGE:
            self._transport.set_write_buffer_limits(high=_WRITTEN_AT_ONCE)
        if odd & PAUSED:
            self._transport.resume_reading()
        self._room = self._max_head
        self._odd = 0
        return False

    def _broken(self, error: Exception) -> None:
        if self._answer is None:
            # The answer is whole; what follows it is not, and is nobody's.
            self._unasked()
        elif self._odd & HEAD and self._head is None:
            self._odd |= LAST
            self.end()
        else:
            reason = self._reason(error)
            self.fail(failures.protocol(reason) if reason else failures.protocol())

    def _unasked(self) -> None:
        """Data or an end between exchanges."""
        self.abort()
        self._owner.drop(self)

    def _cut_off(self) -> None:
        answer, silent = self._answer, self._head == b"" and not self._odd & DRIPS
        if answer is None or not self.idle_since or not silent:
            self.fail(failures.reset())
            return
        # The peer gave up the idle connection while the request was under way. The place stays with the request.
        self._answer = answer.connection = None
        answer.stale = True
        answer.error = failures.reset()
        self._wake()
        self.abort()

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(b"")

    # Time

    def _set_alarm(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._alarm.set(self._next_look(self.since))

    def _next_look(self, now: float) -> float:
        """Before it, nothing that begins now, in this exchange or the next one, has to be over."""
        limits, answer = self._timeouts, self._answer
        if limits is None or answer is None:
            return inf
        return min(now + (limits.first_byte or inf), now + (limits.idle or inf), answer.total_at)

    def _look(self, now: float) -> float:
        """Whether something is overdue. Returns when to look again."""
        answer = self._answer
        if answer is None:
            self._timeouts = None
            return inf
        if now >= answer.total_at:
            self.fail(failures.timed_out(Cause.TOTAL_TIMEOUT))
            return inf
        limit, cause = self._limit()
        if limit and now >= self.since + limit:
            if not (self._odd & UNSENT and self._is_sending()):
                self.fail(failures.timed_out(cause))
                return inf
            self.since = now
        return min(self.since + limit if limit else inf, self._next_look(now))

    def _limit(self) -> tuple[float, Cause]:
        """How long what is awaited may take; 0: any time."""
        limits, odd = self._timeouts, self._odd
        if limits is None or self.waiter is None or odd & (UNSENT | UNFINISHED) == UNFINISHED:
            return 0, Cause.TOTAL_TIMEOUT
        if self._head is not None and not odd & UNSENT:
            return limits.first_byte, Cause.FIRST_BYTE_TIMEOUT
        return limits.idle, Cause.IDLE_TIMEOUT

    def _is_sending(self) -> bool:
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before


def _ends_by_closing(answer: Answer) -> bool:
    return not any(name in (b"content-length", b"transfer-encoding") for name, _ in answer.headers)
