"""The answer to a request of the Responses API on its way out: its ids become the gateway's, and it is kept before its
last event is sent. Whoever has read that event finds the response, in any process.

Stands between the pipeline and the caller, so that it sees what the caller is about to see, however it came about:
passed on, translated, whole or in events.
"""

import re
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Warned
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.types import Headers

from .edit import edit_event, edited, listed
from .passing import PassingCaller

__all__ = ["Ending", "Keeper"]

_BLANK = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_WARNINGS = b"x-llm-warnings"
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Ending(Protocol):
    """What is done to an answer."""

    def members(self, response: bytes) -> Mapping[str, bytes]:
        """Members of a response object, as encoded JSON, besides those that it has or in place of them."""
        ...

    async def keep(self, response: bytes, upstream_id: str) -> Mapping[str, bytes]:
        """Told of the last response object, with those members, and of what the upstream calls it. Further members of
        it.

        Raises:
            AsgiLLMError: it cannot be kept, and is not to be sent without.
        """
        ...

    def warnings(self) -> tuple[tuple[Warned, ...], Headers]:
        """What is to be said in the head of the answer."""
        ...


class _Event(Struct):
    type: str = ""
    response: Raw = Raw()
    item: Raw = Raw()


class _Response(Struct):
    id: Raw = Raw()
    output: list[Raw] | None = None


_event = msgspec.json.Decoder(_Event)
_response = msgspec.json.Decoder(_Response)


class Keeper(PassingCaller):
    """``limit`` is bytes of one event; a larger one passes as it is, and nothing is kept."""

    __slots__ = ("_ending", "_exchange", "_held", "_items", "_limit", "_over", "_size")

    def __init__(self, exchange: Exchange, caller: Caller, ending: Ending, limit: int) -> None:
        super().__init__(caller)
        self._exchange = exchange
        self._ending = ending
        self._limit = limit
        self._held = b""
        self._items: list[bytes] = []
        self._size = 0
        self._over = False

    async def piece(self) -> tuple[bytes, bool]:
        return await self._caller.piece()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        if 200 <= status < 300:
            body = await self._end(body)
            headers = self._headed(headers, len(body))
        await self._caller.answer(status, headers, body)

    async def start(self, status: int, headers: Headers) -> None:
        await self._caller.start(status, self._headed(headers, None))

    async def send(self, data: bytes) -> None:
        if (data := await self._passing(data)) or self._caller.gone:
            await self._caller.send(data)

    async def finish(self, data: bytes = b"") -> None:
        data = await self._passing(data)
        rest, self._held = self._held, b""
        await self._caller.finish(data + (await self._frame(rest) if rest else b""))

    def _headed(self, headers: Headers, length: int | None) -> Headers:
        warned, more = self._ending.warnings()
        if warned:
            self._exchange.warnings += warned
            said = [value for name, value in headers if name == _WARNINGS]
            said += [f"{one.field};{one.action}".encode() for one in warned]
            headers = [pair for pair in headers if pair[0] != _WARNINGS]
            more = [*more, (_WARNINGS, b", ".join(said))]
        if length is not None:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            more = [*more, (b"content-length", b"%d" % length)]
        return headers + more

    async def _passing(self, data: bytes) -> bytes:
        """The events that are whole by now, as they are to be sent."""
        if not self._held and b'"response' not in data and data.endswith(b"\n\n"):
            return data
        data = self._held + data
        if len(data) > self._limit:
            self._over, self._held = True, b""
            return data
        sent, at = [], 0
        for blank in _BLANK.finditer(data):
            sent.append(await self._frame(data[at : blank.end()]))
            at = blank.end()
        self._held = data[at:]
        return b"".join(sent)

    async def _frame(self, frame: bytes) -> bytes:
        done = b'"response.output_item.done"' in frame
        if (not done and b'"response"' not in frame) or self._over:
            return frame
        try:
            event = _event.decode(b"".join(line[5:] for line in frame.splitlines() if line.startswith(b"data:")))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return frame
        if event.item and event.type == "response.output_item.done":
            self._size += len(bytes(event.item))
            if self._size <= self._limit:
                self._items.append(bytes(event.item))
        if not event.response or not event.type.startswith("response."):
            return frame
        response = bytes(event.response)
        if event.type in _TERMINAL:
            response = await self._end(response)
        else:
            response = edited(response, self._ending.members(response))
        return edit_event(frame, lambda data: edited(data, {"response": response}))

    async def _end(self, response: bytes) -> bytes:
        try:
            said = _response.decode(response)
            known = msgspec.json.decode(said.id, type=str) if said.id else ""
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return response  # not what the API says; the caller gets what there is
        values = dict(self._ending.members(response))
        if self._items and not said.output:
            # Some servers do not repeat at the end what they told before.
            values["output"] = listed(self._items)
        response = edited(response, values)
        self._over = True
        return edited(response, await self._ending.keep(response, known))
