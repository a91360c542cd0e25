"""Goes on with an answer whose model calls tools that the gateway runs for its upstream.

Every round is a call of its own, to the worker that gave the first one, with what was said and what the tools said. To
the caller they are one answer: calls of the gateway's tools are told in its dialect's own words, what was used is added
up, and a round that fails breaks the answer off. When the model calls a tool of the caller's, too, or one that the
caller must approve, the answer ends and it is the caller's turn.
"""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from msgspec import structs

from asgi_llm.dialects.interface import StreamDecoder
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Exchange, Hosted, HostedJob
from asgi_llm.fleet.worker import Worker
from asgi_llm.neutral.events import BlockStart, BlockStop, Event, Failure, Finished, Start, UsageUpdate
from asgi_llm.neutral.fold import Folder, GrammarError, unfold
from asgi_llm.neutral.request import Part, Request, ToolCall, ToolChoice, ToolResult, Turn
from asgi_llm.neutral.response import Finish, Response
from asgi_llm.neutral.stops import cut
from asgi_llm.neutral.usage import Usage, merge, plus
from asgi_llm.runtime import Runtime
from asgi_llm.upstream.interface import UpstreamResponse

from .again import ask_again, read_rest, streams
from .attempt import Reply
from .inspect import told_usage
from .plan import Leg

__all__ = ["AnyRounds", "ToolRounds"]

_NEWS = b":\n\n"
"""Read in place of bytes of the upstream's where there is something to tell that did not come from it."""


class AnyRounds(StreamDecoder, Protocol):
    """Several rounds of an answer as one. ``read`` gives their bytes one after the other, and ``complete`` does all of
    it for an answer that came whole."""

    async def read(self) -> bytes: ...

    async def complete(self, response: Response) -> Response: ...

    def close(self) -> None: ...


class ToolRounds:
    """See ``AnyRounds``. Of an answer with several candidates, the first."""

    __slots__ = (
        "_ask",
        "_decoder",
        "_ended",
        "_exchange",
        "_failed",
        "_finish",
        "_folder",
        "_held",
        "_hosted",
        "_jobs",
        "_kept",
        "_left",
        "_leg",
        "_limit",
        "_next",
        "_over",
        "_places",
        "_reply",
        "_request",
        "_response",
        "_results",
        "_runtime",
        "_said",
        "_started",
        "_stops",
        "_told_job",
        "_used",
        "_using",
        "_worker",
    )  # fmt: skip

    def __init__(self, runtime: Runtime, exchange: Exchange, reply: Reply, hosted: Hosted) -> None:
        leg, worker, request = exchange.leg, exchange.worker, exchange.request
        assert leg is not None  # noqa: S101  # attempt() filled in all of them
        assert worker is not None  # noqa: S101
        assert request is not None  # noqa: S101
        self._runtime = runtime
        self._exchange = exchange
        self._hosted = hosted
        self._reply = reply
        self._leg: Leg = leg
        self._worker: Worker = worker
        self._request: Request = request
        exchange.request = hosted.asked  # what the answer repeats
        self._left = hosted.rounds
        self._limit = runtime.blueprint.settings.limits.answer
        self._kept = 0
        self._response: UpstreamResponse = reply.response
        self._decoder: StreamDecoder = leg.dialect.stream_decoder(reply.outgoing.restore)
        self._held: list[Event] = []
        self._started = self._ended = self._failed = self._over = self._ask = self._told_job = False
        self._next = 0
        """The number of the next block that the caller is told."""
        self._places: dict[int, int] = {}
        """Numbers of this round's blocks -> theirs in the whole answer; those that are not there are not told."""
        self._folder = Folder()
        self._finish: Finish | None = None
        self._used: Usage | None = None
        self._using: Usage | None = None
        self._jobs: deque[HostedJob] = deque()
        self._said: tuple[Part, ...] = ()
        self._results: list[tuple[ToolCall, ToolResult]] = []
        self._stops: Finish | None = None

    def close(self) -> None:
        self._response.close()

    @property
    def told(self) -> Usage | None:
        """What all rounds used, as far as they said."""
        return plus(self._used, self._using)

    async def read(self) -> bytes:
        """
        Raises:
            UpstreamError: the round broke off, or the next one could not be had.
        """
        if self._over:
            return b""
        if self._jobs:
            await self._work()
        elif self._ask:
            await self._next_round()
        else:
            if not self._ended and (data := await self._response.read()):
                return data
            if not self._ended:
                self._held += self._told(self._decoder.end())
            self._turn()
        return _NEWS

    def feed(self, data: bytes) -> list[Event]:
        if data is _NEWS:
            return self._taken()
        self._kept += len(data)
        return [*self._taken(), *self._told(self._decoder.feed(data))]

    def end(self) -> list[Event]:
        return self._taken()

    async def complete(self, response: Response) -> Response:
        """
        Raises:
            UpstreamError: a round could not be had.
        """
        self._held += self._told(unfold(response))
        self._ended = True
        try:
            return await self._folded()
        except GrammarError as error:
            raise UpstreamError("the upstream's stream makes no whole answer", cause=Cause.CONTENT) from error
        finally:
            self._exchange.usage = self.told

    async def _folded(self) -> Response:
        folder = Folder()
        while True:
            for event in self._taken():
                folder.feed(event)
            if not (data := await self.read()):
                return folder.response()
            for event in self.feed(data):
                folder.feed(event)

    def _taken(self) -> list[Event]:
        held, self._held = self._held, []
        return held

    # A round

    def _told(self, events: Iterable[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, Finished):
                self._finish = self._finish or event.finish
                continue
            if not isinstance(event, Failure):
                self._folder.feed(event)
            match event:
                case Start():
                    self._using = merge(self._using, event.usage)
                    if not self._started:
                        self._started = True
                        out.append(event)
                        for part in self._hosted.prelude:
                            out += self._block(part)
                    elif event.usage is not None:
                        out.append(UsageUpdate(plus(self._used, self._using) or Usage()))
                case UsageUpdate():
                    self._using = merge(self._using, event.usage)
                    out.append(UsageUpdate(plus(self._used, self._using) or Usage()))
                case Failure():
                    self._failed = True
                    out.append(event)
                case _:
                    if (moved := self._moved(event)) is not None:
                        out.append(moved)
        return out

    def _moved(self, event: Event) -> Event | None:
        index = getattr(event, "index", None)
        if index is None:
            return event
        if isinstance(event, BlockStart) and not (isinstance(event.part, ToolCall) and self._owns(event.part)):
            self._places[index] = self._next
            self._next += 1
        place = self._places.get(index)
        return None if place is None else structs.replace(event, index=place)

    def _block(self, part: Part) -> list[Event]:
        place, self._next = self._next, self._next + 1
        return [BlockStart(place, part), BlockStop(place)]

    def _owns(self, call: ToolCall) -> bool:
        return call.namespace is None and self._hosted.owns(call.name)

    def _turn(self) -> None:
        """The round has ended: what comes now?"""
        if self._failed or self._finish is None:
            self._over = True
            return
        self._folder.feed(Finished(self._finish))
        parts = self._folder.response().candidates[0].parts
        calls = [part for part in parts if isinstance(part, ToolCall)]
        own = [call for call in calls if self._owns(call)]
        if not own or self._left <= 0 or self._finish.reason not in ("tool_calls", "end", "pause"):
            self._end(self._finish)
            return
        self._said = tuple(part for part in parts if not (isinstance(part, ToolCall) and self._owns(part)))
        self._stops = self._finish if len(own) < len(calls) else None
        self._results = []
        self._jobs.extend(self._hosted.begin(own))

    async def _work(self) -> None:
        job = self._jobs[0]
        if not self._told_job and job.begun is not None:
            self._told_job = True
            self._held += self._block(job.begun)
            return
        told, result = await job.wait()
        if told is not None:
            self._held += self._block(told)
        if job.stops:
            self._stops = self._stops or Finish("end")
        self._results.append((job.call, result))
        self._jobs.popleft()
        self._told_job = False
        if not self._jobs:
            if self._stops is not None:
                self._end(self._stops)
            else:
                self._ask = True

    def _end(self, finish: Finish) -> None:
        self._held.append(Finished(finish))
        self._over = True

    # The next round

    async def _next_round(self) -> None:
        if self._kept > self._limit:
            raise UpstreamError(f"the upstream's answers are larger than {self._limit} bytes", cause=Cause.CONTENT)
        self._ask = False
        self._left -= 1
        self._request = self._going_on()
        outgoing = self._reply.outgoing
        encoded = self._leg.dialect.encode_request(self._request, self._leg.crew.target.profile)
        self._response.close()
        request = structs.replace(outgoing.request, body=encoded.body)
        self._response = await ask_again(self._runtime, self._exchange, self._leg, self._worker, request)
        self._used, self._using = plus(self._used, self._using), None
        self._folder, self._finish, self._places = Folder(), None, {}
        self._ended = not streams(self._response)
        restore = encoded.restore
        if not self._ended:
            self._decoder = self._leg.dialect.stream_decoder(restore)
            return
        body = await read_rest(self._response, self._limit)
        try:
            whole = self._leg.dialect.decode_response(body, restore)
        except UpstreamError:
            self._using = told_usage(self._leg.dialect, body)
            raise
        self._held += self._told(unfold(cut(whole, restore.stops) if restore.stops else whole))

    def _going_on(self) -> Request:
        request, leg = self._request, self._leg
        calls = tuple(call for call, _ in self._results)
        results = tuple(result for _, result in self._results)
        turns = (*request.turns, Turn("assistant", (*self._said, *calls)), Turn("user", results))
        choice = request.tool_choice
        if self._left <= 0:
            choice = ToolChoice("none")
        elif choice is not None and choice.mode != "none" and (choice.mode != "allowed" or choice.required):
            # What was forced has been done; forced again it would never end.
            choice = structs.replace(choice, required=False) if choice.mode == "allowed" else None
        limit = request.max_output if leg.cap is None else min(request.max_output or leg.cap, leg.cap)
        return structs.replace(request, model=leg.model, turns=turns, tool_choice=choice, max_output=limit)
