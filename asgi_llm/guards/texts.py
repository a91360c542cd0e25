"""All that can be read in a neutral request or answer, edited. What is not changed stays the same object.

What proves that a thought or a text is its maker's (signatures) goes when that is changed: it would be refused.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Raw, Struct, structs

from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    Compaction,
    Document,
    Instruction,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_llm.neutral.response import Candidate, Response

from .finding import Edit, edit_json

__all__ = ["edit_part", "edit_raw", "edit_request", "edit_response", "texts_of", "texts_of_answer"]

_S = TypeVar("_S", bound=Struct)


def edit_request(request: Request, edit: Edit) -> Request:
    """Instructions and turns; what tools are called with and answer, too."""
    instructions = tuple(_instruction(each, edit) for each in request.instructions)
    turns = tuple(_turn(each, edit) for each in request.turns)
    return _with(request, instructions=_kept(request.instructions, instructions), turns=_kept(request.turns, turns))


def edit_response(response: Response, edit: Edit) -> Response:
    """All candidates. Log probabilities, which repeat the text, go where it is changed."""
    candidates = tuple(_candidate(each, edit) for each in response.candidates)
    return _with(response, candidates=_kept(response.candidates, candidates))


def edit_part(part: Part, edit: Edit) -> Part:
    match part:
        case Text():
            told = edit(part.text)
            return part if told is part.text else Text(told, cache=part.cache)
        case Refusal():
            return _with(part, text=edit(part.text))
        case Audio() if part.transcript:
            return _with(part, transcript=edit(part.transcript))
        case Reasoning():
            said = _with(part, text=edit(part.text), summary=_kept(part.summary, tuple(map(edit, part.summary))))
            return part if said is part else structs.replace(said, carriers=(), id=None)
        case ToolCall():
            return _with(part, arguments=_arguments(part, edit))
        case ToolResult():
            return _with(part, parts=_parts(part.parts, edit))
        case Document(source=PlainText() | Blocks() as source):
            told_source: PlainText | Blocks
            if isinstance(source, PlainText):
                told_source = _with(source, text=edit(source.text))
            else:
                told_source = _with(source, parts=_parts(source.parts, edit))
            return _with(part, source=told_source)
        case ServerCall():
            return _with(part, arguments=edit_json(part.arguments, edit), raw=edit_raw(part.raw, edit))
        case ServerResult():
            return _with(part, text=edit(part.text), raw=edit_raw(part.raw, edit))
        case Opaque():
            return _with(part, raw=edit_raw(part.raw, edit))
        case Compaction():
            return _with(part, text=edit(part.text))
    return part


_R = TypeVar("_R", Raw, Raw | None)


def edit_raw(raw: _R, edit: Edit) -> _R:
    """JSON as some dialect wrote it."""
    if raw is None:
        return raw
    text = bytes(raw).decode()
    told = edit_json(text, edit)
    return raw if told is text else Raw(told.encode())


def texts_of(request: Request) -> Iterator[str]:
    """Everything that can be read in it, turn by turn."""
    for instruction in request.instructions:
        yield "".join(part.text for part in instruction.parts)
    for turn in request.turns:
        yield "".join(_read(turn.parts))


def texts_of_answer(response: Response) -> str:
    return "\n".join("".join(_read(candidate.parts)) for candidate in response.candidates)


def _read(parts: Iterable[Part]) -> list[str]:
    read: list[str] = []

    def take(text: str) -> str:
        read.append(text)
        return text

    for part in parts:
        edit_part(part, take)
    return read


def _arguments(call: ToolCall, edit: Edit) -> str:
    if not call.arguments:
        return call.arguments
    return edit_json(call.arguments, edit) if call.kind == "json" else edit(call.arguments)


def _instruction(instruction: Instruction, edit: Edit) -> Instruction:
    parts = tuple(_with(part, text=edit(part.text)) for part in instruction.parts)
    return _with(instruction, parts=_kept(instruction.parts, parts))


def _turn(turn: Turn, edit: Edit) -> Turn:
    return _with(turn, parts=_parts(turn.parts, edit))


def _candidate(candidate: Candidate, edit: Edit) -> Candidate:
    told = _with(candidate, parts=_parts(candidate.parts, edit))
    return told if told is candidate else structs.replace(told, logprobs=None)


def _parts(parts: tuple[Part, ...], edit: Edit) -> tuple[Part, ...]:
    return _kept(parts, tuple(edit_part(part, edit) for part in parts))


_T = TypeVar("_T")


def _kept(old: tuple[_T, ...], new: tuple[_T, ...]) -> tuple[_T, ...]:
    """``old`` where all of ``new`` is the same."""
    return old if all(one is other for one, other in zip(old, new, strict=True)) else new


def _with(value: _S, **fields: object) -> _S:
    """``value`` with these fields; itself where they are as they were."""
    changed = {name: new for name, new in fields.items() if new is not getattr(value, name)}
    return structs.replace(value, **changed) if changed else value
