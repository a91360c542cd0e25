"""What was said in an exchange, in the form that the conventions for generative AI give it; only for spans, and only
where the settings ask for it."""

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from asgi_llm.dialects.interface import Restore
from asgi_llm.errors import AsgiLLMError
from asgi_llm.exchange import Exchange
from asgi_llm.neutral.fold import Folder
from asgi_llm.neutral.grammar import GrammarError
from asgi_llm.neutral.request import (
    Audio,
    Compaction,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from asgi_llm.neutral.response import Response

from .prepare import decoded

__all__ = ["transcript"]

_LONGEST = 256 * 1024
"""Bytes of a body that is looked at."""


def transcript(exchange: Exchange, streamed: bytes | None) -> dict[str, str]:
    """Attributes; ``streamed`` is what was kept of the upstream's stream. What cannot be read is left out."""
    if exchange.forward is not None or len(exchange.body) > _LONGEST:
        return {}
    try:
        found = _asked(decoded(exchange)) if exchange.body else {}
        answer = _answer(exchange, streamed)
    except (AsgiLLMError, GrammarError):
        return {}
    if answer is not None:
        said = [
            {"role": "assistant", "parts": _parts(one.parts), "finish_reason": one.finish.reason}
            for one in answer.candidates
        ]
        found["gen_ai.output.messages"] = _json(said)
    return found


def _asked(request: Request) -> dict[str, str]:
    found = {
        "gen_ai.input.messages": _json([{"role": turn.role, "parts": _parts(turn.parts)} for turn in request.turns])
    }
    if request.instructions:
        told = [part for instruction in request.instructions for part in _parts(instruction.parts)]
        found["gen_ai.system_instructions"] = _json(told)
    return found


def _answer(exchange: Exchange, streamed: bytes | None) -> Response | None:
    leg, answered = exchange.leg, exchange.answered
    if leg is None:
        return None
    if isinstance(answered, bytes):
        return leg.dialect.decode_response(answered, Restore()) if len(answered) <= _LONGEST else None
    if not streamed:
        return None
    decoder, folder = leg.dialect.stream_decoder(Restore()), Folder()
    for event in (*decoder.feed(streamed), *decoder.end()):
        folder.feed(event)
    return folder.response()


def _parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text() | Refusal():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text or "\n".join(part.summary)}
        case ToolCall():
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
        case ToolResult():
            return {"type": "tool_call_response", "id": part.call_id, "response": _parts(part.parts)}
        case ServerCall():
            return {"type": "tool_call", "id": part.id, "name": part.name or part.kind, "arguments": part.arguments}
        case ServerResult():
            return {"type": "tool_call_response", "id": part.call_id, "response": part.text}
        case Compaction():
            return {"type": "text", "content": part.text}
        case Image() | Document() | Audio() | Video():
            # Named, never copied: media would fill any store of traces.
            return {"type": type(part).__name__.lower()}
        case Opaque():
            return {"type": part.kind}
    assert_never(part)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8")
