"""Answers in the words of Google's Gemini API (generateContent, streamGenerateContent)."""

import json
from collections.abc import Sequence
from typing import Any, Unpack

from .answer import Answer, SSEItem
from .headers import Pairs
from .reply import Call, Options, Piece, Reply, Tokens, cut

__all__ = ["gemini_error", "gemini_events", "gemini_response", "gemini_stream", "gemini_text"]

_SIGNATURE = "c2lnbmVkIGJ5IG5vYm9keQ=="


def gemini_text(text: str = "Hello!", **options: Unpack[Options]) -> Answer:
    """A ``GenerateContentResponse``."""
    return Answer.json(gemini_response(text, **options))


def gemini_stream(pieces: Sequence[Piece] = ("Hel", "lo!"), *, split: int = 0, **options: Unpack[Options]) -> Answer:
    """A response in pieces (``alt=sse``), one for each piece of text; other steps happen in their place."""
    return Answer.sse(gemini_events(pieces, **options), split=split)


def gemini_response(text: str = "Hello!", **options: Unpack[Options]) -> dict[str, Any]:
    """The JSON of ``gemini_text``."""
    reply = Reply(pieces=(text,), **options)
    parts: list[dict[str, Any]] = []
    if reply.reasoning:
        parts.append({"text": reply.reasoning, "thought": True})
    if reply.text:
        parts.append({"text": reply.text})
    parts += _calls(reply)
    return _response(reply, parts, reply.finish or "STOP", usage=True)


def gemini_events(pieces: Sequence[Piece] = ("Hel", "lo!"), **options: Unpack[Options]) -> list[SSEItem]:
    """The events of ``gemini_stream``, to be changed before ``Answer.sse`` sends them."""
    reply = Reply(pieces=tuple(pieces), **options)
    events: list[SSEItem] = [_response(reply, [{"text": text, "thought": True}]) for text in cut(reply.reasoning)]
    events += [_response(reply, [{"text": piece}]) if isinstance(piece, str) else piece for piece in reply.pieces]
    if calls := _calls(reply):
        events.append(_response(reply, calls))
    return [*events, _response(reply, [{"text": ""}], reply.finish or "STOP", usage=True)]


def gemini_error(
    status: int = 500,
    message: str = "An internal error has occurred.",
    *,
    kind: str = "INTERNAL",
    headers: Pairs = (),
) -> Answer:
    """An error in Google's shape; ``kind`` is its status word (``RESOURCE_EXHAUSTED``, ``UNAVAILABLE``, ...)."""
    return Answer.json({"error": {"code": status, "message": message, "status": kind}}, status, headers)


def _response(
    reply: Reply, parts: list[dict[str, Any]], finish: str | None = None, *, usage: bool = False
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    response: dict[str, Any] = {"candidates": [candidate]}
    if usage and reply.tokens is not None:
        response["usageMetadata"] = _usage(reply.tokens)
    return {**response, "modelVersion": reply.model, "responseId": reply.id or "response-test"}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    """The calls as parts; of parallel ones the first is signed."""
    parts: list[dict[str, Any]] = [{"functionCall": _call(call)} for call in reply.calls]
    if parts:
        parts[0]["thoughtSignature"] = _SIGNATURE
    return parts


def _call(call: Call) -> Any:
    return {"id": call.id, "name": call.name, "args": json.loads(call.arguments or "{}")}


def _usage(tokens: Tokens) -> dict[str, Any]:
    usage = {
        "promptTokenCount": tokens.input,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": tokens.input + tokens.output,
    }
    if tokens.cached:
        usage["cachedContentTokenCount"] = tokens.cached
    if tokens.reasoning:
        usage["thoughtsTokenCount"] = tokens.reasoning
    return usage
