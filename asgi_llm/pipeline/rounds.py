"""Goes on with an answer that its provider paused, where the caller's dialect knows no pause.

Every round is a call of its own, to the worker that gave the first one. To the caller they are one answer: the stream
does not end in between, what was used is added up, and a round that fails breaks the answer off.
"""

from msgspec import structs

from asgi_llm.dialects.interface import StreamDecoder
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.neutral.events import Event
from asgi_llm.neutral.fold import GrammarError, fold
from asgi_llm.neutral.joint import Joint, joined, pause_of
from asgi_llm.neutral.request import Part
from asgi_llm.neutral.response import Finish, Response
from asgi_llm.neutral.stops import cut
from asgi_llm.neutral.usage import Usage, plus
from asgi_llm.runtime import Runtime
from asgi_llm.upstream.interface import UpstreamResponse

from .again import ask_again, read_rest, streams
from .attempt import Reply
from .inspect import told_usage
from .plan import Leg

__all__ = ["Rounds", "open_rounds"]


def open_rounds(runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply) -> "Rounds | None":
    """What goes on with the answer when it pauses; None where the settings let it end there."""
    if not runtime.blueprint.settings.limits.continuations:
        return None
    return Rounds(runtime, exchange, caller, reply)


class Rounds:
    """One answer. ``read`` gives the bytes of its rounds one after the other; ``feed`` and ``end`` decode them, as a
    ``StreamDecoder`` of the upstream's dialect does; ``complete`` does all of it for an answer that came whole."""

    __slots__ = (
        "_body",
        "_caller",
        "_decoder",
        "_exchange",
        "_held",
        "_joint",
        "_kept",
        "_left",
        "_leg",
        "_limit",
        "_reply",
        "_response",
        "_runtime",
        "_worker",
    )

    def __init__(self, runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply) -> None:
        leg, worker = exchange.leg, exchange.worker
        assert leg is not None  # noqa: S101  # attempt() filled in both
        assert worker is not None  # noqa: S101
        limits = runtime.blueprint.settings.limits
        self._runtime = runtime
        self._exchange = exchange
        self._caller = caller
        self._reply = reply
        self._leg: Leg = leg
        self._worker: Worker = worker
        self._left = limits.continuations
        self._limit = limits.answer
        self._kept = 0
        self._held: list[Event] = []
        self._body = reply.outgoing.request.body
        self._response: UpstreamResponse = reply.response
        self._decoder: StreamDecoder = leg.dialect.stream_decoder(reply.outgoing.restore)
        self._joint = Joint(keep=reply.outgoing.restore.pauses == "content")

    def close(self) -> None:
        self._response.close()

    async def read(self) -> bytes:
        """The next piece of the answer; of the next round's where this one paused.

        Raises:
            UpstreamError: the round broke off, or the next one could not be had.
        """
        while not (data := await self._response.read()):
            # Some dialects tell how it ended only here; what else they tell goes with the next piece.
            self._held += self._joint.feed(self._decoder.end())
            if self._joint.paused is None or not await self._next(self._joint.parts(), self._joint.paused):
                break
            if not streams(self._response):
                raise UpstreamError("the upstream stopped streaming midway", cause=Cause.CONTENT)
            self._decoder = self._leg.dialect.stream_decoder(self._reply.outgoing.restore)
            self._joint.go_on()
        return data

    def feed(self, data: bytes) -> list[Event]:
        self._kept += len(data)
        if self._kept > self._limit:
            self._joint.forget()
        events = self._joint.feed(self._decoder.feed(data))
        return [*self._taken(), *events] if self._held else events

    def end(self) -> list[Event]:
        return [*self._taken(), *self._joint.feed(self._decoder.end()), *self._joint.end()]

    @property
    def told(self) -> Usage | None:
        # Of a later round it would not be all, and who can pause tells nothing late but for a few pieces.
        return self._decoder.told if self._body is self._reply.outgoing.request.body else None

    def _taken(self) -> list[Event]:
        held, self._held = self._held, []
        return held

    async def complete(self, response: Response) -> Response:
        """The answer with the rounds that follow it.

        Raises:
            UpstreamError: a round could not be had.
        """
        last = response
        self._exchange.usage = response.usage
        while (paused := pause_of(last)) is not None and await self._next(last.candidates[0].parts, paused):
            last = await self._whole()
            response = joined(response, last)
            self._exchange.usage = response.usage
        return response

    async def _next(self, parts: tuple[Part, ...] | None, paused: Finish) -> bool:
        """Asks for the next round; whether there is one."""
        resume = self._leg.dialect.resume
        if not self._left or parts is None or resume is None or self._caller.gone:
            return False
        body = resume(self._body, parts, paused)
        if body is None:
            return False
        self._left -= 1
        self._body = body
        self._response.close()
        request = structs.replace(self._reply.outgoing.request, body=body)
        self._response = await ask_again(self._runtime, self._exchange, self._leg, self._worker, request)
        return True

    async def _whole(self) -> Response:
        """The round that was asked for last, in whichever form it comes."""
        restore, dialect = self._reply.outgoing.restore, self._leg.dialect
        streaming = streams(self._response)
        body = await read_rest(self._response, self._limit - self._kept)
        self._kept += len(body)
        if streaming:
            decoder = dialect.stream_decoder(restore)
            try:
                whole = fold([*decoder.feed(body), *decoder.end()])
            except GrammarError as error:
                raise UpstreamError("the upstream's stream makes no whole answer", cause=Cause.CONTENT) from error
        else:
            try:
                whole = dialect.decode_response(body, restore)
            except UpstreamError:
                self._exchange.usage = plus(self._exchange.usage, told_usage(dialect, body))
                raise
        return cut(whole, restore.stops) if restore.stops else whole
