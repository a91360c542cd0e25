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
        names: of the headers, in lower case.
        given: the server's own headers that it is written with: a list that is never changed, but made anew when they
            change, every second.
        text: the whole head, with a place for each value.
        length_at: which header is the content-length; -1 for none.
        bodiless: there is no body.
        framed: other headers may say more of how the answer ends, or whether the connection does.
    """

    __slots__ = ("_status", "bodiless", "framed", "given", "length_at", "names", "text")

    def __init__(self, status: int, names: tuple[bytes, ...]) -> None:
        """
        Raises:
            KeyError: there is no such status.
            RuntimeError: one of the names cannot be one.
        """
        if not all(map(_TOKEN.fullmatch, names)):
            raise RuntimeError("Invalid HTTP header name.")
        self._status = _STATUS_LINES[status]
        self.names = tuple([name.lower() for name in names])
        self.length_at = self.names.index(b"content-length") if b"content-length" in self.names else -1
        self.bodiless = status in (204, 304)
        self.framed = b"transfer-encoding" in self.names or b"connection" in self.names
        self.given: Headers | None = None
        self.text = b""

    def stamp(self, given: Headers) -> None:
        """Writes it with these headers of the server's own."""
        lines = [b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in self.names]
        self.text = b"".join((self._status, _written(given).replace(b"%", b"%%"), *lines, b"\r\n"))
        self.given = given

    def says(self, name: bytes, token: bytes, values: tuple[bytes, ...]) -> bool:
        """Whether ``token`` is in the list that the headers ``name`` are."""
        said = [value for known, value in zip(self.names, values, strict=True) if known == name]
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
    the connection goes on then, which it may if ``keep_alive``. ``given``: see ``Form``.

    Raises:
        KeyError: there is no such status.
        RuntimeError: one of the headers cannot be sent.
    """
    if type(headers) is not list:
        headers = list(headers)
    names = tuple([name for name, _ in headers])
    values = tuple([value for _, value in headers])
    form = _forms.get((status, names)) or _new_form(status, names)
    if form.given is not given:
        form.stamp(given)
    text = b"".join(values)
    if len(text) != len(text.translate(None, _CONTROLS)):
        raise RuntimeError("Invalid HTTP header value.")
    left = CLOSED
    if form.length_at >= 0:
        length = values[form.length_at]
        if not length.isdigit():
            raise RuntimeError("The Content-Length is no number.")
        left = int(length)
    head = form.text % values
    closes = False
    if form.framed:
        closes = form.says(b"connection", b"close", values)
        if form.says(b"transfer-encoding", b"chunked", values):
            left = CHUNKED
    if form.bodiless or scope["method"] == "HEAD":
        left = NOTHING
    elif left >= 0 and keep_alive and not closes:
        return head, left, True
    more = b""
    if left == CLOSED and scope["http_version"] == "1.1":
        left, more = CHUNKED, b"transfer-encoding: chunked\r\n"
    if closes or left == CLOSED:
        keep_alive = False
    if not (keep_alive or closes):
        more = b"connection: close\r\n" + more
    return b"%b%b\r\n" % (head[:-2], more), left, keep_alive


def plain_answer(status: int, text: str, given: Headers) -> bytes:
    """A whole answer in plain text, after which the connection closes."""
    length = b"%d" % len(text)
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length), (b"connection", b"close")]
    return b"%b%b\r\n%b" % (_STATUS_LINES[status], _written([*given, *own]), text.encode())
