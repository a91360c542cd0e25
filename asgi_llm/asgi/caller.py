"""The caller behind an ASGI connection: reads its body, sends its answer, hears it leave."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from asgi_llm.errors import ClientError, Kind
from asgi_llm.exchange import CallerGone, HostRefusal
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers, Message, Receive, Scope, Send

from .compression import decompressed

__all__ = ["ASGICaller"]

_LEFT = 499
"""What access logs have for it, by nginx's custom."""
_PAUSE = 0.05
"""Seconds between two looks at a host that does not wait in ``receive``."""


class ASGICaller:
    """Implements ``exchange.Caller``.

    Once the body is read the runtime's lookout is asked to say when the answer takes long (most JSON answers do not);
    then a task waits in ``receive()`` for ``http.disconnect``. Servers differ in whether ``send()`` fails after a
    disconnect, so this watch is the only way to know. What follows is the settings' choice: ``cancel`` cancels the
    task that serves the request; ``drain`` lets it go on for ``drain_timeout``, with sends that go nowhere.
    """

    __slots__ = (
        "_breaking_off",
        "_receive",
        "_runtime",
        "_send",
        "_sending",
        "_task",
        "_watch",
        "fields",
        "gone",
        "headers",
        "missed",
        "queued",
        "scope",
        "started",
    )

    def __init__(self, runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
        self._runtime = runtime
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task(runtime.loop)
        self._watch: asyncio.Task[None] | None = None
        self.scope = scope
        self.headers: Headers = scope["headers"]
        self.fields: dict[bytes, bytes] = dict(self.headers)
        self.started = False
        self.gone = False
        self.missed = False
        self.queued = False
        self._sending = False
        self._breaking_off = False

    async def body(self, limit: int) -> bytes:
        declared = self.fields.get(b"content-length")
        if declared is not None and len(declared) >= self._runtime.long_body:  # one of fewer digits is below it
            _check_declared(declared, limit)
        try:  # as in `_piece`, without its coroutine: nearly all bodies come at once
            message = await self._receive()
        except Exception as error:
            raise HostRefusal(error) from error
        if message["type"] == "http.disconnect":
            self.gone = True
            raise CallerGone
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._rest(body, limit)
        elif len(body) > limit:
            raise _too_large(limit)
        if encoding := self.fields.get(b"content-encoding"):
            body = await decompressed(body, encoding, limit)
        self._runtime.lookout.add(self)
        return body

    async def _rest(self, first: bytes, limit: int) -> bytes:
        pieces, size, more = [first], len(first), True
        while more:
            if size > limit:
                raise _too_large(limit)
            body, more = await self._piece()
            pieces.append(body)
            size += len(body)
        if size > limit:
            raise _too_large(limit)
        return b"".join(pieces)

    async def piece(self) -> tuple[bytes, bool]:
        body, more = await self._piece()
        if not more:
            self._runtime.lookout.add(self)
        return body, more

    async def _piece(self) -> tuple[bytes, bool]:
        try:
            message = await self._receive()
        except Exception as error:
            raise HostRefusal(error) from error
        if message["type"] == "http.disconnect":
            self.gone = True
            raise CallerGone
        return message.get("body", b""), message.get("more_body", False)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.started = True
        if self.gone:
            self.missed = True
            return
        self._sending = True
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
        except (asyncio.CancelledError, OSError) as error:
            self._not_sent(error)
        finally:
            self._sending = False

    def start(self, status: int, headers: Headers) -> Coroutine[Any, Any, None]:
        self.started = True
        return self._tell({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, data: bytes) -> None:
        if self.gone:
            self.missed = self.missed or bool(data)
            return
        self._sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except (asyncio.CancelledError, OSError) as error:
            self._not_sent(error)
        finally:
            self._sending = False

    def finish(self, data: bytes = b"") -> Coroutine[Any, Any, None]:
        return self._tell({"type": "http.response.body", "body": data, "more_body": False})

    async def _tell(self, message: Message) -> None:
        if self.gone:
            self.missed = self.missed or bool(message.get("body"))
            return
        self._sending = True
        try:
            await self._send(message)
        except (asyncio.CancelledError, OSError) as error:
            self._not_sent(error)
        finally:
            self._sending = False

    def _not_sent(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            # ASGI 2.4: a send after a disconnect raises, perhaps before receive() was heard to say so.
            self.gone = self.missed = True
            if self._runtime.blueprint.settings.stream.on_disconnect == "cancel":
                raise CallerGone from None
            return
        # A send that nobody takes any more was broken off, so that draining can go on.
        if not self._breaking_off:
            raise error
        self._breaking_off = False
        self.missed = True
        asyncio.current_task().uncancel()  # type: ignore[union-attr]  # this runs in a task

    def close(self) -> None:
        """Ends the watch. After this the serving task is not cancelled any more."""
        self._runtime.lookout.remove(self)
        if self._watch is not None:
            self._watch.cancel()
        self._task = None

    async def part(self) -> None:
        """Ends the answer to a caller that left before it began. Nobody hears it; but middleware that waits for one
        (all that builds upon Starlette's ``BaseHTTPMiddleware``) calls an application broken that gives none."""
        with suppress(Exception):  # what servers raise where nobody is left to send to is theirs to choose
            await self._send({"type": "http.response.start", "status": _LEFT, "headers": [(b"content-length", b"0")]})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def is_taking_long(self) -> None:
        """Told by the lookout: from now on it pays to listen for the caller's leaving."""
        self._watch = self._runtime.spawn(self._await_disconnect(), "disconnect watch")

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110  # it is no polling
            # Nothing else can come after the body; a host that keeps saying so must not keep the loop busy.
            await asyncio.sleep(_PAUSE)
        self.gone = True
        stream = self._runtime.blueprint.settings.stream
        if stream.on_disconnect == "drain" and not self.queued:
            self._breaking_off = self._sending
            if self._sending:
                self._cancel()
            await asyncio.sleep(stream.drain_timeout)
            self._breaking_off = False
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _check_declared(declared: bytes, limit: int) -> None:
    # An absurdly long number must not be parsed at all: that takes quadratic time.
    if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)


def _too_large(limit: int) -> ClientError:
    return ClientError(f"the body is larger than {limit} bytes", code="request_too_large", kind=Kind.TOO_LARGE)
