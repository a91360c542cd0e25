"""The head of an answer as it is sent, and how what follows it is framed (RFC 9112, 6).

An application gives its answers few sets of names, so what depends on names and status alone is decided once.
"""

import http
import re
from collections.abc import Iterable

from asgi_llm.types import Headers, Scope

__all__ = ["CHUNKED", "CLOSED", "NOTHING", "begin", "plain_answer"]

CHUNKED = -1
"""The body comes in chunks."""
CLOSED = -2
"""The end of the connection is the end of the body."""
NOTHING = -3
"""There is no body, whatever the head says."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_CONTROLS = bytes(byte for byte in (*range(32), 127) if byte != ord("\t"))
_KEPT = 1000
"""Forms that are remembered."""


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


def _written(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])


class Form:
    """What the answers of one status with headers of the same names have in common.

    Attributes:
        length_at: which header is the content-length; -1 for none.
        bodiless: answers of this status have no body.
        framed: further headers say how the body is sent, or whether the connection goes on.
    """

    __slots__ = ("_controls", "_given", "_lines", "_names", "_start", "_text", "bodiless", "framed", "length_at")

    def __init__(self, status: int, names: tuple[bytes, ...]) -> None:
        """
        Raises:
            RuntimeError: one of the names cannot be one.
        """
        if not all(map(_TOKEN.fullmatch, names)):
            raise RuntimeError("Invalid HTTP header name.")
        self._names = tuple([name.lower() for name in names])
        self._start = _STATUS_LINES[status]
        self._lines = b"".join([b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in self._names])
        self._given: Headers | None = None
        self._text = b""
        self._controls = 0
        self.length_at = self._names.index(b"content-length") if b"content-length" in self._names else -1
        self.bodiless = status in (204, 304)
        self.framed = b"transfer-encoding" in self._names or b"connection" in self._names

    def write(self, values: tuple[bytes, ...], given: Headers) -> bytes:
        """The head, but for its last line. ``given`` are the server's own headers: a list that is never changed, but
        made anew when they change, every second.

        Raises:
            RuntimeError: a value has a control character in it, which could end its line.
        """
        if self._given is not given:
            self._stamp(given)
        head = self._text % values
        if len(head) - len(head.translate(None, _CONTROLS)) != self._controls:
            raise RuntimeError("Invalid HTTP header value.")
        return head

    def _stamp(self, given: Headers) -> None:
        self._text = b"".join((self._start, _written(given).replace(b"%", b"%%"), self._lines))
        self._controls = len(self._text) - len(self._text.translate(None, _CONTROLS))
        self._given = given

    def says(self, name: bytes, token: bytes, values: tuple[bytes, ...]) -> bool:
        """Whether ``token`` is in the list that the headers ``name`` are."""
        said = [value for known, value in zip(self._names, values, strict=True) if known == name]
        return token in [one.strip() for one in b",".join(said).lower().split(b",")]


_forms: dict[tuple[int, tuple[bytes, ...]], Form] = {}


def _new_form(status: int, names: tuple[bytes, ...]) -> Form:
    if len(_forms) >= _KEPT:
        _forms.clear()  # somebody makes names up; those that are used come again
    made = _forms[status, names] = Form(status, names)
    return made


def begin(
    status: int, headers: Iterable[tuple[bytes, bytes]], given: Headers, scope: Scope, keep_alive: bool
) -> tuple[bytes, int, bool]:
    """The head of an answer to the request of ``scope``; how many bytes follow it, or how else they end; and whether
    the connection goes on then, which it may if ``keep_alive``. ``given``: see ``Form.write``.

    Raises:
        KeyError: there is no such status.
        RuntimeError: one of the headers cannot be sent.
    """
    names, values = tuple(zip(*headers, strict=False)) or ((), ())
    form = _forms.get((status, names)) or _new_form(status, names)
    head = form.write(values, given)
    left, end, at = CLOSED, b"\r\n", form.length_at
    if at >= 0:
        length = values[at]
        if not length.isdigit():
            raise RuntimeError("The Content-Length is no number.")
        left = int(length)
    closes = False
    if form.framed:
        closes = form.says(b"connection", b"close", values)
        if form.says(b"transfer-encoding", b"chunked", values):
            left = CHUNKED
    if form.bodiless or scope["method"] == "HEAD":
        left = NOTHING
    elif left == CLOSED and scope["http_version"] == "1.1":
        left, end = CHUNKED, b"transfer-encoding: chunked\r\n\r\n"
    if closes or left == CLOSED or not keep_alive:
        keep_alive = False
        if not closes:
            end = b"connection: close\r\n" + end
    return head + end, left, keep_alive


def plain_answer(status: int, text: str, given: Headers) -> bytes:
    """A whole answer in plain text, after which the connection closes."""
    length = b"%d" % len(text)
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length), (b"connection", b"close")]
    return b"%b%b\r\n%b" % (_STATUS_LINES[status], _written([*given, *own]), text.encode())
