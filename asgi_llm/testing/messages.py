"""Answers in the words of Anthropic's Messages API."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

from .answer import Answer, SSEItem
from .headers import Pairs
from .reply import Call, Options, Piece, Reply, Tokens, cut

__all__ = ["messages_error", "messages_events", "messages_message", "messages_stream", "messages_text"]

_SIGNATURE = "c2lnbmVkIGJ5IG5vYm9keQ=="


def messages_text(text: str = "Hello!", **options: Unpack[Options]) -> Answer:
    """A ``message``."""
    return Answer.json(messages_message(text, **options))


def messages_stream(pieces: Sequence[Piece] = ("Hel", "lo!"), *, split: int = 0, **options: Unpack[Options]) -> Answer:
    """A message's events, one text delta for each piece; other steps happen in their place."""
    return Answer.sse(messages_events(pieces, **options), split=split)


def messages_message(text: str = "Hello!", **options: Unpack[Options]) -> dict[str, Any]:
    """The JSON of ``messages_text``."""
    reply = Reply(pieces=(text,), **options)
    content: list[dict[str, Any]] = []
    if reply.reasoning:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": _SIGNATURE})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    content += [{**_tool_use(call), "input": json.loads(call.arguments or "{}")} for call in reply.calls]
    message = {**_frame(reply), "content": content, "stop_reason": _stop_reason(reply)}
    if reply.tokens is not None:
        message["usage"] = _usage(reply.tokens)
    return message


def messages_events(pieces: Sequence[Piece] = ("Hel", "lo!"), **options: Unpack[Options]) -> list[SSEItem]:
    """The events of ``messages_stream``, to be changed before ``Answer.sse`` sends them."""
    reply = Reply(pieces=tuple(pieces), **options)
    tokens = reply.tokens
    message = {**_frame(reply), "content": [], "stop_reason": None}
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None},
    }
    if tokens is not None:
        message["usage"] = {**_usage(tokens), "output_tokens": 1}
        end["usage"] = {"output_tokens": tokens.output}
    events: list[SSEItem] = [{"type": "message_start", "message": message}]
    for index, (start, deltas) in enumerate(_blocks(reply)):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} if isinstance(delta, dict) else delta
            for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    return [*events, end, {"type": "message_stop"}]


def messages_error(
    status: int = 500, message: str = "Internal server error", *, kind: str = "api_error", headers: Pairs = ()
) -> Answer:
    """An error in Anthropic's shape; ``kind`` is its type (``overloaded_error``, ``rate_limit_error``, ...)."""
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_test"}
    return Answer.json(error, status, headers)


def _blocks(reply: Reply) -> Iterable[tuple[dict[str, Any], list[SSEItem]]]:
    """Each block's start and its deltas."""
    if reply.reasoning:
        thoughts: list[SSEItem] = [{"type": "thinking_delta", "thinking": piece} for piece in cut(reply.reasoning)]
        signature = {"type": "signature_delta", "signature": _SIGNATURE}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signature]
    if reply.pieces:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} if isinstance(piece, str) else piece for piece in reply.pieces],
        )
    for call in reply.calls:
        pieces = ["", *cut(call.arguments)]
        yield _tool_use(call), [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _frame(reply: Reply) -> dict[str, Any]:
    return {
        "id": reply.id or "msg_test",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "stop_sequence": None,
    }


def _tool_use(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}


def _stop_reason(reply: Reply) -> str:
    return reply.finish or ("tool_use" if reply.calls else "end_turn")


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input - tokens.cached - tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.written,
        "output_tokens": tokens.output,
    }
