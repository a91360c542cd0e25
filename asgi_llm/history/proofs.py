"""Proofs of thought for clients that drop them.

Models that think want the proof of a thought (a signature, encrypted reasoning) back with the tool call that it led
to. Many clients have no place for it and leave it out. So proofs are remembered by the id of the call, and put back
where the call comes back without one: for the same user and the same model only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from msgspec import Struct, structs

from asgi_llm.dialects.interface import Dialect, Restore, StreamDecoder
from asgi_llm.neutral.events import BlockStart, BlockStop, CarrierSet, Event, ReasoningDelta
from asgi_llm.neutral.request import Carrier, Part, Reasoning, Request, ToolCall, Turn
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.usage import Usage

__all__ = ["Proof", "Watch", "bare_calls", "proved"]


class Proof(Struct, frozen=True, omit_defaults=True):
    """``thoughts`` stand before the call, ``carriers`` are on it. ``maker`` is the model that can read them."""

    maker: str
    thoughts: tuple[Reasoning, ...] = ()
    carriers: tuple[Carrier, ...] = ()


class Watch:
    """Sees the answers of one leg. ``found`` are proofs that were not yet remembered, by the ids of their calls."""

    __slots__ = ("_open", "_thoughts", "_waiting", "found", "maker")

    def __init__(self, maker: str, found: dict[str, Proof]) -> None:
        self.maker = maker
        self.found = found
        self._waiting: list[Reasoning] = []
        self._open: dict[int, Reasoning | ToolCall] = {}
        self._thoughts: dict[int, list[str]] = {}

    def watched(self, dialect: Dialect) -> Dialect:
        """The dialect, with answers that are seen as they are read."""
        return replace(
            dialect,
            decode_response=lambda body, restore: self._whole(dialect.decode_response(body, restore)),
            stream_decoder=lambda restore: _Decoder(dialect, restore, self),
        )

    def event(self, event: Event) -> None:
        match event:
            case BlockStart(part=Reasoning() | ToolCall() as part, candidate=0):
                self._open[event.index] = part
                self._thoughts[event.index] = []
            case ReasoningDelta(candidate=0) if event.index in self._open and not event.summary:
                self._thoughts[event.index].append(event.text)
            case CarrierSet(candidate=0) if event.index in self._open:
                block = self._open[event.index]
                self._open[event.index] = structs.replace(block, carriers=(*block.carriers, event.carrier))
            case BlockStop(candidate=0) if event.index in self._open:
                block = self._open.pop(event.index)
                text = "".join(self._thoughts.pop(event.index))
                if isinstance(block, Reasoning) and text:
                    block = structs.replace(block, text=block.text + text)
                self._see(block)
            case _:
                pass

    def _whole(self, response: Response) -> Response:
        for candidate in response.candidates[:1]:
            for part in candidate.parts:
                self._see(part)
        return response

    def _see(self, part: Part) -> None:
        if isinstance(part, Reasoning) and part.carriers:
            self._waiting.append(part)
        elif isinstance(part, ToolCall) and part.id and (part.carriers or self._waiting):
            self.found[part.id] = Proof(self.maker, tuple(self._waiting), part.carriers)
            self._waiting.clear()


class _Decoder:
    """See ``StreamDecoder``."""

    __slots__ = ("_decoder", "_watch")

    def __init__(self, dialect: Dialect, restore: Restore, watch: Watch) -> None:
        self._decoder: StreamDecoder = dialect.stream_decoder(restore)
        self._watch = watch

    def feed(self, data: bytes) -> list[Event]:
        return self._seen(self._decoder.feed(data))

    def end(self) -> list[Event]:
        return self._seen(self._decoder.end())

    @property
    def told(self) -> Usage | None:
        return self._decoder.told

    def _seen(self, events: list[Event]) -> list[Event]:
        for event in events:
            self._watch.event(event)
        return events


def bare_calls(request: Request) -> list[str]:
    """The ids of the calls in the history that have no proof, and none before them in their turn."""
    return [part.id for turn in request.turns if _bare(turn) for part in turn.parts if isinstance(part, ToolCall)]


def proved(request: Request, proofs: Mapping[str, Proof], maker: str) -> Request:
    """The request with the proofs that ``maker`` can read where they belong."""
    known = {name: proof for name, proof in proofs.items() if proof.maker == maker}
    if not known:
        return request
    turns = tuple(
        structs.replace(turn, parts=tuple(_filled(turn.parts, known))) if _bare(turn) else turn
        for turn in request.turns
    )
    return structs.replace(request, turns=turns)


def _bare(turn: Turn) -> bool:
    return turn.role == "assistant" and not any(
        part.carriers for part in turn.parts if isinstance(part, Reasoning | ToolCall)
    )


def _filled(parts: Iterable[Part], known: Mapping[str, Proof]) -> Iterable[Part]:
    parts = list(parts)
    signed = any(isinstance(part, ToolCall) and part.id in known and known[part.id].thoughts for part in parts)
    for part in parts:
        if isinstance(part, Reasoning) and signed:
            continue  # the same thought without its proof
        if isinstance(part, ToolCall) and (proof := known.get(part.id)) is not None:
            yield from proof.thoughts
            yield structs.replace(part, carriers=proof.carriers)
        else:
            yield part
