"""What answers pass on their way to the caller where hooks look at them: whole, or event by event.

A stream's events pass one stage for each hook. What the caller gets is what has left the last of them, in order; when
a hook says no, the answer is brought to a legal end right there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import structs

from asgi_llm.dialects.interface import StreamDecoder
from asgi_llm.errors import Kind, UpstreamError
from asgi_llm.exchange import Exchange
from asgi_llm.hooks import Ask, Hook, Refused, overrides
from asgi_llm.neutral.events import BlockStart, BlockStop, Event, Failure, Finished, Start, UsageUpdate
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.grammar import Grammar, GrammarError
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage, merge

from .attempt import Reply
from .calling import call
from .plan import Leg
from .stages import Stage, open_stage

__all__ = ["Inspection", "Sieve", "Source", "answer_hooks", "inspected", "open_sieve"]


_LAST_WORDS = 1.0
"""Seconds to wait for what an upstream says behind the end of an answer that is withheld."""


class Source(StreamDecoder, Protocol):
    """Where the bytes of an answer come from, and their decoder."""

    async def read(self) -> bytes: ...


def answer_hooks(hooks: Sequence[Hook], forwarded: bool) -> tuple[Hook, ...]:
    """Those that want to see answers, in the order in which answers pass them."""
    names = ("on_payload",) if forwarded else ("on_response", "on_event")
    return tuple(hook for hook in reversed(hooks) if any(overrides(hook, name) for name in names))


class Inspection:
    """The hooks that one answer must pass.

    Attributes:
        ask: what they are told of its request.
        refusal: what one of them said when it withheld the answer, or None.
    """

    __slots__ = ("_hooks", "ask", "refusal")

    def __init__(self, ask: Ask, hooks: tuple[Hook, ...]) -> None:
        self.ask = ask
        self._hooks = hooks
        self.refusal: Refused | None = None

    def begin(self, exchange: Exchange, leg: Leg) -> None:
        """The answer comes from ``leg``."""
        self.ask = structs.replace(self.ask, target=leg.crew.target.name, served=leg.model)
        if exchange.request is None and exchange.forward is None:
            exchange.request = self.ask.request  # some dialects repeat it in their answers

    async def whole(self, response: Response) -> Response:
        """The answer that is sent: the same object where no hook changed it.

        Raises:
            Refused: a hook failed and may not be passed over.
        """
        try:
            for hook in self._hooks:
                if overrides(hook, "on_response"):
                    changed = await call(hook, hook.on_response(self.ask, response))
                    response = response if changed is None else changed
                else:
                    response = await _by_events(hook, self.ask, response)
        except Refused as refusal:
            self._withhold(refusal)
            return _withheld(response, refusal)
        return response

    async def document(self, body: bytes) -> bytes:
        """The answer that is sent by an endpoint that is no dialect's: the same bytes where no hook changed it.

        Raises:
            Refused: the answer is withheld.
        """
        payload = told = msgspec.json.decode(body)
        for hook in self._hooks:
            changed = await call(hook, hook.on_payload(self.ask, told))
            told = told if changed is None else changed
        return body if told is payload else msgspec.json.encode(told)

    def refuse_unseen(self) -> None:
        """The answer cannot be shown to hooks: it is a stream of an endpoint that is no dialect's, or no JSON.

        Raises:
            Refused: one of them does not let such pass.
        """
        if any(hook.unseen == "refuse" and hook.concerns(self.ask) for hook in self._hooks):
            raise Refused(
                "answers must be looked at here, which is not done with this kind of answer", code="answer_not_seen"
            )

    def sieve(self, decoder: StreamDecoder, read: Callable[[], Awaitable[bytes]], limit: int) -> "Sieve":
        """For a stream. ``limit`` is how many characters of it may be collected."""
        stages = [open_stage(hook, self.ask, limit) for hook in self._hooks]
        asked = self.ask.request.n if self.ask.request is not None else None
        return Sieve(stages, decoder, read, asked or 1, self._withhold_stream)

    def _withhold(self, refusal: Refused) -> None:
        if refusal.kind is Kind.OVERLOADED:
            raise refusal  # nothing was said about the answer, and a status can still tell
        self.refusal = refusal

    def _withhold_stream(self, refusal: Refused) -> None:
        self.refusal = refusal


async def inspected(exchange: Exchange, leg: Leg, reply: Reply, whole: Response | None) -> Response | None:
    """The answer that is sent in place of ``whole``, which is None where the upstream's bytes would pass as they are;
    None where they still may.

    Raises:
        UpstreamError: the answer cannot be read.
        Refused: see ``Inspection.whole``.
    """
    assert exchange.inspection is not None  # noqa: S101  # asked by the caller
    response = whole or leg.dialect.decode_response(reply.first, reply.outgoing.restore)
    told = await exchange.inspection.whole(response)
    return whole if told is response else told


async def open_sieve(exchange: Exchange, reply: Reply, leg: Leg, source: Source | None, limit: int) -> "Sieve":
    """For a stream that the caller gets as one; ``source`` is where its bytes come from if not from the reply."""
    assert exchange.inspection is not None  # noqa: S101  # asked by the caller
    decoder = source or leg.dialect.stream_decoder(reply.outgoing.restore)
    sieve = exchange.inspection.sieve(decoder, reply.response.read if source is None else source.read, limit)
    await sieve.begin(reply.first)
    return sieve


class Sieve:
    """One stream. ``read`` reads on and shows what comes to the hooks; ``feed`` and ``end`` then give what they let
    through, so that it can stand in place of the stream's own decoder."""

    __slots__ = ("_asked", "_decoder", "_finished", "_grammar", "_open", "_over", "_read", "_ready", "_stages",
                 "_started", "_used", "_withhold")  # fmt: skip

    def __init__(
        self,
        stages: list[Stage],
        decoder: StreamDecoder,
        read: Callable[[], Awaitable[bytes]],
        asked: int,
        withhold: Callable[[Refused], None],
    ) -> None:
        self._stages = stages
        self._decoder = decoder
        self._read = read
        self._asked = asked
        self._withhold = withhold
        self._grammar = Grammar(asked)
        self._ready: list[Event] = []
        self._open: dict[int, int] = {}
        self._finished: set[int] = set()
        self._started = False
        self._over = False
        self._used: Usage | None = None

    @property
    def told(self) -> Usage | None:
        """What the upstream said that it used, whatever the hooks let through."""
        return merge(self._used, self._decoder.told)

    async def begin(self, first: bytes) -> None:
        """``first`` is what was read already."""
        await self._pass(self._decoder.feed(first))

    async def read(self) -> bytes:
        """
        Raises:
            UpstreamError: the stream broke off.
        """
        if self._over:
            return b""
        data = await self._read()
        await self._pass(self._decoder.feed(data) if data else self._decoder.end())
        return data

    def feed(self, _data: bytes) -> list[Event]:
        ready, self._ready = self._ready, []
        return ready

    def end(self) -> list[Event]:
        return self.feed(b"")

    async def _pass(self, events: list[Event]) -> None:
        self._note(events)
        for event in events:
            if self._over:
                return
            try:
                told = [event]
                for stage in self._stages:
                    told = [out for each in told for out in await stage.feed(each)]
                for each in told:
                    self._tell(each)
            except Refused as refusal:
                self._end_with(refusal)
                if isinstance(event, Finished):
                    await self._hear_out()
            except GrammarError as error:
                self._end_with(_disorder(error))

    def _note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Start | UsageUpdate):
                self._used = merge(self._used, event.usage)

    async def _hear_out(self) -> None:
        """The answer is withheld when all of it is there: what it used is often told behind its end."""
        try:
            async with asyncio.timeout(_LAST_WORDS):
                while data := await self._read():
                    self._note(self._decoder.feed(data))
            self._note(self._decoder.end())
        except (TimeoutError, UpstreamError):
            return

    def _tell(self, event: Event) -> None:
        try:
            self._grammar.feed(event)
        except GrammarError:
            if any(stage.changed for stage in self._stages):
                raise
        match event:
            case Start():
                self._started = True
            case BlockStart():
                self._open[event.candidate] = event.index
            case BlockStop():
                self._open.pop(event.candidate, None)
            case Finished():
                self._finished.add(event.candidate)
            case Failure():
                self._over = True
            case _:
                pass
        self._ready.append(event)

    def _end_with(self, refusal: Refused) -> None:
        self._over = True
        if not self._started:
            self._ready.append(Start("", ""))
        waiting = [number for number in range(self._most()) if number not in self._finished]
        for number in waiting:
            if (index := self._open.get(number)) is not None:
                self._ready.append(BlockStop(index, number))
            self._ready.append(Finished(_filtered(refusal), number))
        if waiting:
            self._withhold(refusal)

    def _most(self) -> int:
        return max([self._asked, *(number + 1 for number in (*self._open, *self._finished))])


async def _by_events(hook: Hook, ask: Ask, response: Response) -> Response:
    """A whole answer to a hook that wants events."""
    stage = open_stage(hook, ask, 0)
    events = [told for event in unfold(response) for told in await stage.feed(event)]
    if not stage.changed:
        return response
    try:
        return structs.replace(fold(events), ext=response.ext)
    except GrammarError as error:
        raise _disorder(error) from error


def _withheld(response: Response, refusal: Refused) -> Response:
    finish = _filtered(refusal)
    candidates = tuple(Candidate((), finish, candidate.index) for candidate in response.candidates)
    return structs.replace(response, candidates=candidates, ext={})


def _filtered(refusal: Refused) -> Finish:
    return Finish("filtered", detail=refusal.message)


def _disorder(error: GrammarError) -> Refused:
    return Refused(f"a hook of this gateway broke the order of events: {error}", code="hook_failed")
