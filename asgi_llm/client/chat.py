"""Short calls: a model's name and what is said to it in, plain values out. They are Chat Completions like any other, by
the same way, with errors as exceptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import AsgiLLMError, Cause, ClientError, Kind, PolicyError, UpstreamError
from asgi_llm.neutral.events import Failure, TextDelta
from asgi_llm.neutral.fold import Folder
from asgi_llm.neutral.grammar import GrammarError
from asgi_llm.neutral.request import Text, ToolCall
from asgi_llm.neutral.response import FinishReason, Response
from asgi_llm.neutral.usage import Usage
from asgi_llm.types import Headers

from .bridge import Bridge, BrokenOff
from .call import Door

__all__ = ["Messages", "Reply", "ReplyStream", "ask"]

Messages = str | Sequence[Mapping[str, Any]]
"""One thing said by the user, or a conversation as Chat Completions has it."""

_PATH = "/v1/chat/completions"
_DIALECT = DIALECTS["chat"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answered.

    Attributes:
        text: all that it said.
        calls: the tools that it wants run, each with ``id``, ``name`` and ``arguments`` (JSON text).
        finish: why it stopped: ``end``, ``max_tokens``, ``tool_calls``, ``filtered``, ...
        usage: tokens, where they are known; ``usage.input`` and ``usage.output`` are the sums.
        model: its name as the upstream said it.
        request_id: by which the gateway's log knows the request.
    """

    text: str
    calls: tuple[ToolCall, ...]
    finish: FinishReason
    usage: Usage | None
    model: str
    request_id: str


async def ask(door: Door, model: str, messages: Messages, fields: Mapping[str, Any]) -> Reply:
    """The whole answer.

    Raises:
        AsgiLLMError: it was refused, or failed.
    """
    bridge = await _call(door, model, messages, {**fields, "stream": False})
    try:
        body = await _all(bridge)
    finally:
        bridge.leave()
    return _reply(_DIALECT.decode_response(body, Restore()), _request_id(bridge))


class ReplyStream:
    """An answer as it comes: iterate over it for the pieces of the text. ``reply`` is there once it has ended.

    Nothing is asked before the first piece is wanted. Whoever stops early leaves the ``async with`` block, or calls
    ``aclose``; the upstream is then told to stop.
    """

    def __init__(self, door: Door, model: str, messages: Messages, fields: Mapping[str, Any]) -> None:
        self._asked = door, model, messages, {**fields, "stream": True, "stream_options": {"include_usage": True}}
        self._bridge: Bridge | None = None
        self._decoder = _DIALECT.stream_decoder(Restore())
        self._folder = Folder()
        self._texts: list[str] = []
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """All of it.

        Raises:
            RuntimeError: the stream has not ended.
        """
        if self._reply is None:
            raise RuntimeError("the answer is not whole yet: read the stream to its end")
        return self._reply

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """The next piece of the text.

        Raises:
            AsgiLLMError: it was refused, failed, or broke off.
        """
        if self._bridge is None:
            self._bridge = await _call(*self._asked)
        while not self._texts:
            if self._reply is not None:
                raise StopAsyncIteration
            await self._read(self._bridge)
        text = "".join(self._texts)
        self._texts.clear()
        return text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends it, wherever it is. It may be called any number of times."""
        self._leave()

    def __del__(self) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._bridge is not None and not self._bridge.ended and not self._bridge.loop.is_closed():
            self._bridge.loop.call_soon_threadsafe(self._bridge.leave)

    async def _read(self, bridge: Bridge) -> None:
        try:
            data = await bridge.take()
        except BrokenOff as error:
            raise _broken(str(error)) from None
        for event in self._decoder.feed(data) if data else self._decoder.end():
            if isinstance(event, Failure):
                self._leave()
                raise event.error
            self._folder.feed(event)
            if isinstance(event, TextDelta) and event.candidate == 0:
                self._texts.append(event.text)
        if not data:
            try:
                self._reply = _reply(self._folder.response(), _request_id(bridge))
            except GrammarError:
                raise _broken("the answer has no end") from None


async def _call(door: Door, model: str, messages: Messages, fields: Mapping[str, Any]) -> Bridge:
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    body = msgspec.json.encode({"model": model, "messages": said, **fields})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"accept", b"application/problem+json"),
    ]
    bridge = await door.call("POST", _PATH, headers, body)
    status, answered = bridge.head.result()
    if status >= 400:
        raise _told(answered, await _all(bridge))
    return bridge


async def _all(bridge: Bridge) -> bytes:
    pieces = []
    try:
        while data := await bridge.take():
            pieces.append(data)
    except BrokenOff as error:
        raise _broken(str(error)) from None
    return b"".join(pieces)


def _reply(response: Response, request_id: str) -> Reply:
    first = response.candidates[0]
    return Reply(
        text="".join(part.text for part in first.parts if isinstance(part, Text)),
        calls=tuple(part for part in first.parts if isinstance(part, ToolCall)),
        finish=first.finish.reason,
        usage=response.usage,
        model=response.model,
        request_id=request_id,
    )


def _request_id(bridge: Bridge) -> str:
    return dict(bridge.head.result()[1]).get(b"x-llm-request-id", b"").decode("latin-1")


def _told(headers: Headers, body: bytes) -> AsgiLLMError:
    """The error that an answer tells of, as RFC 9457 has it."""
    said: dict[str, Any] = msgspec.json.decode(body)
    wait = dict(headers).get(b"retry-after")
    message, code, param = said["detail"], said["code"], said.get("param")
    kind = Kind(said["title"].replace(" ", "_"))
    after = float(wait) if wait else None
    match said["origin"]:
        case "caller":
            return ClientError(message, kind=kind, code=code, param=param)
        case "policy":
            return PolicyError(message, kind=kind, code=code, param=param, retry_after=after)
        case "upstream":
            return UpstreamError(message, cause=Cause.STATUS, kind=kind, code=code, param=param, retry_after=after)
    return AsgiLLMError(message, kind=kind, code=code, param=param, retry_after=after)


def _broken(message: str) -> UpstreamError:
    return UpstreamError(message, cause=Cause.TRUNCATED, code="stream_interrupted")
