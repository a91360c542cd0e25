"""What a scripted upstream says, down to the bytes on the wire.

An ``Answer`` is a list of steps: bytes to send and things to do between them. The class methods write correct HTTP
(RFC 9112) unless they are told to lie; ``Answer.raw`` writes whatever it is given.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Self, assert_never

from .headers import Pairs, merge

__all__ = ["Answer", "Close", "Delay", "Reset", "SSEItem", "Stall", "Step", "Wait"]

Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Delay:
    """Send nothing for so many seconds. Where a test can say what it waits for, ``Wait`` is better."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing until the test sets the event."""

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection off with a TCP reset. Nothing after it is sent."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in good order. Nothing after it is sent."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing more until the peer goes away."""


Step = bytes | Delay | Wait | Reset | Close | Stall
SSEItem = Step | str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer.

    ``split`` cuts the bytes, head and framing included, into pieces of so many bytes that are sent one by one
    (0: each step in one piece). Without a ``Close``, ``Reset`` or ``Stall`` the connection is kept open for the next
    request, unless the request asked to close it.
    """

    steps: tuple[Step, ...]
    split: int = 0

    def __post_init__(self) -> None:
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"a step must be bytes, Delay, Wait, Reset, Close or Stall, not {step!r:.100}")

    @classmethod
    def raw(cls, steps: Iterable[Step], *, split: int = 0) -> Self:
        """Exactly these steps; the bytes are the whole of what is sent, status line included."""
        return cls(tuple(steps), split)

    @classmethod
    def http(
        cls,
        body: Iterable[Step],
        *,
        status: int = 200,
        headers: Pairs = (),
        framing: Framing = "length",
        content_length: int | None = None,
        truncated: bool = False,
        split: int = 0,
    ) -> Self:
        """An HTTP answer with a body in steps. The body is sent whatever the method, to HEAD as well.

        ``framing`` says how its end is told: a content length, chunks (one per step of bytes), or closing the
        connection. ``content_length`` replaces the true length by a lie. ``truncated`` closes the connection where
        the end belongs: before the last chunk, or after half of a body with a length.
        """
        body = list(body)
        steps: list[Step]
        match framing:
            case "length":
                length = content_length
                if length is None:
                    length = sum(len(step) for step in body if isinstance(step, bytes))
                told = {"content-length": str(length)}
                steps = [*_half(body), Close()] if truncated else body
            case "chunked":
                told = {"transfer-encoding": "chunked"}
                steps = [_chunk(step) if isinstance(step, bytes) else step for step in body if step != b""]
                steps.append(Close() if truncated else b"0\r\n\r\n")
            case "close":
                told = {"connection": "close"}
                steps = [*body, Close()]
            case _:
                assert_never(framing)
        return cls((_head(status, merge(told, headers)), *steps), split)

    @classmethod
    def json(
        cls,
        value: Any,
        status: int = 200,
        headers: Pairs = (),
        *,
        framing: Framing = "length",
        content_length: int | None = None,
        truncated: bool = False,
        split: int = 0,
    ) -> Self:
        """A JSON value as the body. The options are those of ``http``."""
        return cls.http(
            [json.dumps(value, separators=(",", ":")).encode()],
            status=status,
            headers=merge({"content-type": "application/json"}, headers),
            framing=framing,
            content_length=content_length,
            truncated=truncated,
            split=split,
        )

    @classmethod
    def html(cls, status: int = 502, body: str | None = None, headers: Pairs = ()) -> Self:
        """An error page, as proxies between here and the provider like to send."""
        reason = _reason(status)
        page = f"<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>\n"
        return cls.http(
            [(page if body is None else body).encode()],
            status=status,
            headers=merge({"content-type": "text/html; charset=utf-8"}, headers),
        )

    @classmethod
    def sse(
        cls,
        events: Iterable[SSEItem],
        status: int = 200,
        headers: Pairs = (),
        *,
        framing: Framing = "chunked",
        truncated: bool = False,
        split: int = 0,
    ) -> Self:
        """A stream of server-sent events.

        A mapping becomes one event with the mapping as JSON data, named by its ``type`` if that is a string. A ``str``
        becomes one event with that text as data. Bytes are sent as they are, to be framed (or not) by the caller.
        The other steps happen in their place. The options are those of ``http``.
        """
        return cls.http(
            [_event(item) for item in events],
            status=status,
            headers=merge({"content-type": "text/event-stream"}, headers),
            framing=framing,
            truncated=truncated,
            split=split,
        )

    @classmethod
    def silence(cls) -> Self:
        """Take the request and never answer."""
        return cls((Stall(),))

    @classmethod
    def hang_up(cls) -> Self:
        """Take the request and close the connection without a word."""
        return cls((Close(),))

    @classmethod
    def reset(cls) -> Self:
        """Take the request and reset the connection without a word."""
        return cls((Reset(),))

    def pieces(self) -> Iterator[Step]:
        """The steps as they are played, bytes cut as ``split`` says."""
        if self.split <= 0:
            yield from self.steps
            return
        held = b""
        for step in self.steps:
            if isinstance(step, bytes):
                held += step
                whole = len(held) - len(held) % self.split
                yield from (held[start : start + self.split] for start in range(0, whole, self.split))
                held = held[whole:]
                continue
            if held:
                yield held
                held = b""
            yield step
        if held:
            yield held


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_reason(status)}", *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _half(body: list[Step]) -> list[Step]:
    """The steps up to the middle of the bytes."""
    left = sum(len(step) for step in body if isinstance(step, bytes)) // 2
    steps: list[Step] = []
    for step in body:
        if isinstance(step, bytes):
            steps.append(step[:left])
            left -= len(step)
            if left <= 0:
                break
        else:
            steps.append(step)
    return steps


def _event(item: SSEItem) -> Step:
    if isinstance(item, str):
        return f"data: {item}\n\n".encode()
    if isinstance(item, Mapping):
        name = item.get("type")
        data = json.dumps(item, separators=(",", ":"))
        return (f"event: {name}\ndata: {data}\n\n" if isinstance(name, str) else f"data: {data}\n\n").encode()
    return item
