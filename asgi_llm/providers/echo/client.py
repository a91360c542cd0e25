"""The echo as a client: takes the bytes of a request, gives an answer as a worker on a socket would."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from msgspec import structs

from asgi_llm.dialects.interface import Answer, Dialect, mint
from asgi_llm.dialects.registry import COUNTS, DIALECTS
from asgi_llm.errors import AsgiLLMError, Cause, Kind, UpstreamError
from asgi_llm.neutral.events import ArgumentsDelta, Event, Failure, ReasoningDelta, TextDelta
from asgi_llm.neutral.fold import unfold
from asgi_llm.neutral.request import DialectName, StreamOptions
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamRequest

from .forwarded import ECHOED, echo_forwarded
from .script import Script, pieces, write_script

__all__ = ["EchoClient"]

_JSON: Headers = [(b"content-type", b"application/json")]
_SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
_DIALECT: dict[bytes, DialectName] = {
    b"/chat/completions": "chat",
    b"/messages": "messages",
    b"/responses": "responses",
}
_COUNTED: dict[bytes, DialectName] = {b"/messages/count_tokens": "messages", b"/responses/input_tokens": "responses"}


class EchoResponse:
    """An answer whose pieces are made as they are read."""

    __slots__ = ("_pieces", "headers", "resent", "status")

    def __init__(self, status: int, headers: Headers, pieces: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.resent = False
        self._pieces = pieces

    @property
    def ended(self) -> bool:
        return False

    def whole(self) -> None:
        return None

    async def read(self) -> bytes:
        return await anext(self._pieces, b"")

    def close(self) -> None:
        self._pieces = _whole(b"")


class EchoClient:
    """Has no connections, so there is nothing to open, to run out of, or to close."""

    async def send(self, request: UpstreamRequest) -> EchoResponse:
        if (endpoint := ECHOED.get(request.path)) is not None:
            return await _send_forwarded(endpoint, request)
        dialect = _dialect(request.path)
        try:
            asked = dialect.decode_request(request.body)
            if not dialect.names_model:
                asked = structs.replace(asked, **_named(request.path))
        except AsgiLLMError as error:
            return _refusal(dialect, error)
        script = write_script(asked, mint(_ID_PREFIX[dialect.name]))
        await asyncio.sleep(script.wait)
        if script.error is not None:
            status, message = script.error
            kind = Kind.of_status(status)
            return _refusal(dialect, AsgiLLMError(message, kind=kind, code="echo_error"), status)
        answer = Answer(model=asked.model, include_usage=asked.stream.include_usage is not False, request=asked)
        if asked.stream.on:
            return EchoResponse(200, _SSE, _stream(dialect, script, answer))
        await asyncio.sleep(script.delay)
        return EchoResponse(200, _JSON, _whole(dialect.encode_response(script.response, answer)))

    async def aclose(self) -> None:
        pass

    def __repr__(self) -> str:
        return "<EchoClient>"


async def _send_forwarded(endpoint: str, request: UpstreamRequest) -> EchoResponse:
    body = request.body
    if (source := request.source) is not None:
        source.begin()
        pieces_read = []
        while piece := await source.read():
            pieces_read.append(piece)
        body = b"".join(pieces_read)
    try:
        said = echo_forwarded(endpoint, body)
    except AsgiLLMError as error:
        return _refusal(DIALECTS["chat"], error)
    return EchoResponse(200, [(b"content-type", said.content_type)], _several(said.pieces))


async def _several(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def _dialect(path: bytes) -> Dialect:
    if (counted := _COUNTED.get(path)) is not None:
        return COUNTS[counted]
    if path.endswith(b":countTokens"):
        return COUNTS["gemini"]
    return DIALECTS[_DIALECT.get(path, "gemini")]


_ID_PREFIX: dict[DialectName, str] = {"chat": "chatcmpl-", "messages": "msg_", "responses": "resp_", "gemini": ""}


def _named(path: bytes) -> dict[str, Any]:
    """What a path says in place of the body: ``/models/{model}:{verb}``."""
    model, _, verb = path.removeprefix(b"/models/").rpartition(b":")
    return {"model": unquote(model.decode("ascii")), "stream": StreamOptions(on=verb.startswith(b"stream"))}


def _refusal(dialect: Dialect, error: AsgiLLMError, status: int | None = None) -> EchoResponse:
    said, body = dialect.encode_error(error, mint("req_"))
    return EchoResponse(status or said, _JSON, _whole(body))


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _stream(dialect: Dialect, script: Script, answer: Answer) -> AsyncIterator[bytes]:
    encoder = dialect.stream_encoder(answer)
    for count, event in enumerate(_events(script)):
        data = encoder.feed([event])
        if data:
            await asyncio.sleep(script.delay)
            yield data
        if count and isinstance(event, TextDelta | ReasoningDelta | ArgumentsDelta):
            if script.cut:
                return
            if script.fail is not None:
                yield encoder.feed([Failure(_failure(script.fail))])
                return


def _failure(message: str) -> UpstreamError:
    return UpstreamError(message, cause=Cause.IN_BAND, kind=Kind.SERVER, code="echo_error")


def _events(script: Script) -> Iterator[Event]:
    """The answer's events, its texts cut into words."""
    for event in unfold(script.response):
        match event:
            case TextDelta() | ReasoningDelta():
                for piece in pieces(event.text) or [event.text]:
                    yield structs.replace(event, text=piece)
            case ArgumentsDelta():
                yield from (structs.replace(event, text=part) for part in _halves(event.text))
            case _:
                yield event


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part] or [text]
