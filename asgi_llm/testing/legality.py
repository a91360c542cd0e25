"""What an ASGI app may send, and in which order.

Spec: ASGI, "HTTP & WebSocket ASGI Message Format" (HTTP part, version 2.5) and "Lifespan Protocol".
"""

from collections.abc import Iterable
from typing import Any

from asgi_llm.types import Headers, Message, Scope

__all__ = ["Legality", "headers_of"]

_EXTENSIONS = ("http.response.early_hint", "http.response.push", "http.response.debug")


class Legality:
    """Follows one answer. ``feed`` every message, ``end`` when the app has returned.

    Both raise ``AssertionError`` with the broken rule in words.
    """

    __slots__ = (
        "_body_ended",
        "_extensions",
        "_length",
        "_method",
        "_sent",
        "_status",
        "_trailers",
        "complete",
        "started",
    )

    def __init__(self, scope: Scope) -> None:
        self._method: str = scope["method"]
        self._extensions: Any = scope.get("extensions") or {}
        self._length: int | None = None
        self._sent = 0
        self._status = 0
        self._trailers = False
        self._body_ended = False
        self.started = False
        self.complete = False

    def feed(self, message: Message) -> None:
        kind = message.get("type")
        _require(isinstance(kind, str), f"a message needs a type: {message!r:.200}")
        _require(not self.complete, f"{kind} after the last piece of the body")
        match kind:
            case "http.response.start":
                self._start(message)
            case "http.response.body":
                self._body(message)
            case "http.response.trailers":
                self._end_with_trailers(message)
            case _:
                _require(kind in _EXTENSIONS and kind in self._extensions, f"{kind} is not offered by this server")
                _require(kind == "http.response.debug" or not self.started, f"{kind} after http.response.start")

    def end(self) -> None:
        _require(self.started, "the app returned without http.response.start")
        _require(self.complete, "the app returned before the last piece of the body (more_body was true)")

    def _start(self, message: Message) -> None:
        _require(not self.started, "a second http.response.start")
        status = message.get("status")
        _require(isinstance(status, int) and 200 <= status <= 599, f"status must be an int of 200 to 599: {status!r}")
        headers = headers_of(message)
        lengths = {value for name, value in headers if name == b"content-length"}
        _require(len(lengths) <= 1, f"several content-length headers: {sorted(lengths)}")
        for length in lengths:
            _require(length.isdigit(), f"content-length is not a number: {length!r}")
            self._length = int(length)
        self._trailers = message.get("trailers", False)
        self._status = int(str(status))
        self.started = True

    def _body(self, message: Message) -> None:
        _require(self.started, "http.response.body before http.response.start")
        _require(not self._body_ended, "http.response.body after the last piece of the body")
        body = message.get("body", b"")
        _require(isinstance(body, bytes), f"body must be bytes, not {type(body).__name__}")
        more = message.get("more_body", False)
        _require(isinstance(more, bool), f"more_body must be a bool: {more!r}")
        self._sent += len(body)
        if self._bodyless and self._method != "HEAD":
            _require(not self._sent, f"a body with status {self._status}")
        elif self._length is not None and not self._bodyless:
            _require(self._sent <= self._length, f"more body ({self._sent} bytes) than content-length {self._length}")
            _require(more or self._sent == self._length, f"{self._sent} bytes of body, content-length {self._length}")
        self._body_ended = not more
        self.complete = not more and not self._trailers

    def _end_with_trailers(self, message: Message) -> None:
        _require(self._trailers, "http.response.trailers that http.response.start did not announce")
        _require(self._body_ended, "http.response.trailers before the last piece of the body")
        headers_of(message)
        self.complete = not message.get("more_trailers", False)

    @property
    def _bodyless(self) -> bool:
        return self._method == "HEAD" or self._status in (204, 304)


def headers_of(message: Message) -> Headers:
    """The headers of a message as pairs of bytes."""
    headers = message.get("headers", ())
    _require(isinstance(headers, Iterable), f"headers must be iterable: {headers!r:.200}")
    pairs: Headers = []
    for pair in headers:
        name, value = pair
        _require(isinstance(name, bytes) and isinstance(value, bytes), f"header pairs must be bytes: {pair!r}")
        _require(name == name.lower() and name != b"", f"header names must be in lower case: {name!r}")
        _require(not any(end in name + value for end in (b"\r", b"\n", b"\0")), f"a line end in a header: {pair!r}")
        pairs.append((name, value))
    return pairs


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise AssertionError(f"illegal ASGI: {rule}")
