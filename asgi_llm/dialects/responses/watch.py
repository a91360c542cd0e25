"""A look at a Responses stream that passes through unchanged.

No keep-alive that clients count as an event may be put in: it would need a number of the stream's own sequence.

Delta events are never parsed: an event is looked into only when it names one of the events that end a stream. The
last event repeats the whole answer and can be large, so beyond a limit only its beginning and end are held, which
is where its type and its usage are.
"""

import re

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import StreamWatcher
from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.errors import AsgiLLMError, UpstreamError
from asgi_llm.neutral.usage import Usage, merge

from .errors import LAST_NUMBER, encode_failure, failure_from
from .usage import decode_usage

__all__ = ["Watcher", "break_off"]

_LIMIT = 1024 * 1024
_HEAD = 4 * 1024
_TAIL = 64 * 1024

_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class _Incomplete(Struct):
    reason: str | None = None


class _Response(Struct):
    id: object = None
    created_at: object = None
    model: object = None
    status: str | None = None
    usage: Raw = Raw(b"null")
    error: Raw = Raw(b"null")
    incomplete_details: _Incomplete | None = None


class _Event(Struct):
    type: str = ""
    response: _Response | None = None
    error: Raw = Raw(b"null")
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})(?!\d)')
_event = msgspec.json.Decoder(_Event)


class Watcher:
    """See ``StreamWatcher``. Holds at most one unfinished event, of which at most about 1 MiB."""

    __slots__ = ("_bare", "_began", "_held", "_last", "_size", "_tail", "ended", "failure", "finish", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.ended = False
        self.failure: UpstreamError | None = None
        self.finish: str | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._tail = b"\n\n"
        self._bare = False
        self._began: _Response | None = None
        self._last = b""
        """The events that came last."""

    @property
    def over(self) -> bool:
        return self.ended

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes seen so far end with a whole event."""
        return _blank(self._tail)

    def feed(self, data: bytes) -> None:
        if not data:
            return
        size = len(data)
        self._tail = data[-4:] if size >= 4 else (self._tail + data)[-4:]
        if not self._held and data.endswith(b"\n\n"):
            self._last = data
            if _marked(data):
                self._look(data)
            return
        self._feed_part(data)

    def end(self) -> None:
        """No more bytes; an unfinished last event is looked at as if it were whole."""
        if self._held:
            last = self._last
            self._flush()
            self._last = last

    def _feed_part(self, data: bytes) -> None:
        end = max(data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n"), data.rfind(b"\r\r"))
        if end < 0:
            self._hold(data)
            if _blank(self._tail):
                # The blank line came in two pieces.
                self._flush()
            return
        # A cut just behind the first line end of the blank line is enough: the rest is blank and harmless.
        self._hold(data[: end + 2])
        self._flush()
        if rest := data[end + 2 :].lstrip(b"\r\n"):
            self._hold(rest)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > _LIMIT:
            joined = b"".join(self._held)
            self._held = [joined[:_HEAD], joined[-_TAIL:]]
            self._size = _HEAD + _TAIL
            self._bare = True

    def _flush(self) -> None:
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        self._last = data
        bare, self._bare = self._bare, False
        if not _marked(data):
            return
        if bare:
            self._glance(data)
        else:
            self._look(data)

    def _look(self, data: bytes) -> None:
        reader = SSEReader()
        for frame in (*reader.feed(data), *reader.end()):
            if frame.event != b"error" and not _marked(frame.data):
                continue
            try:
                event = _event.decode(frame.data)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue
            self._take(event.type or frame.event.decode("latin-1"), event)
            if self.ended:
                self.usage = with_gateway(self.usage, frame.data)

    def break_off(self, error: AsgiLLMError) -> bytes:
        """The event that ends the stream with ``error``: about the response it began with, numbered on."""
        # An event that was cut off is ended first, so that clients that can skip it see the one behind it.
        cut = b"" if self.at_boundary else b"\n\n"
        numbers = _NUMBER.findall(self._last)
        began = self._began or _Response()
        return cut + encode_failure(
            error,
            known_id=began.id if isinstance(began.id, str) else "",
            created=int(began.created_at) if isinstance(began.created_at, int | float) else None,
            model=began.model if isinstance(began.model, str) else "",
            number=int(numbers[-1]) + 1 if numbers else LAST_NUMBER,
        )

    def _take(self, kind: str, event: _Event) -> None:
        if self._began is None:
            self._began = event.response
        response = event.response or _Response()
        self.usage = merge(self.usage, decode_usage(response.usage))
        if kind in _TERMINAL:
            self.ended = True
            reason = response.incomplete_details.reason if response.incomplete_details else None
            self.finish = reason or kind.removeprefix("response.")
            if kind == "response.failed":
                self.failure = failure_from(_value(response.error))
        elif kind == "error" or (not kind and bytes(event.error) not in (b"null", b"false", b'""')):
            nested = _value(event.error)
            flat = {"code": event.code, "message": event.message, "param": event.param}
            self.failure = failure_from(nested or flat)

    def _glance(self, data: bytes) -> None:
        """The event was too large to hold: its type is near its beginning, its usage near its end."""
        head = data[:_HEAD]
        kind = next((name for name in _TERMINAL if name.encode() in head[:256]), None)
        if kind is None:
            return
        self.ended = True
        self.finish = kind.removeprefix("response.")
        if kind == "response.failed":
            self.failure = failure_from(None)
        start = data.rfind(b'"usage":')
        end = data.find(b"}", start)
        while start >= 0 and 0 <= end < start + 4096:
            if (usage := decode_usage(data[start + 8 : end + 1])) is not None:
                self.usage = merge(self.usage, usage)
                return
            end = data.find(b"}", end + 1)


def break_off(watcher: StreamWatcher, error: AsgiLLMError) -> bytes:
    """See ``Dialect.break_off``."""
    return watcher.break_off(error) if isinstance(watcher, Watcher) else encode_failure(error)


def _marked(data: bytes) -> bool:
    """Whether this may hold an event that ends a stream. Quotes inside a text are escaped, so that a text which
    speaks of responses or errors is seldom taken for one; a closer look decides."""
    # `in` makes, and drops, an exception before it looks for bytes: this is done for every piece.
    if data.find(b'"response"') >= 0:
        return True
    return data.find(b"error") >= 0 and (b'"error"' in data or b"event: error" in data)


def _value(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _blank(tail: bytes) -> bool:
    return tail.endswith((b"\n\n", b"\n\r\n", b"\r\r", b"\n\r"))
