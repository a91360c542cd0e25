"""Answers in the words of OpenAI's Responses API."""

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from .answer import Answer, SSEItem
from .chat import chat_error as responses_error
from .reply import CREATED, Call, Options, Piece, Reply, Tokens, cut

__all__ = ["responses_error", "responses_events", "responses_response", "responses_stream", "responses_text"]

_Fields = dict[str, Any]


def responses_text(text: str = "Hello!", **options: Unpack[Options]) -> Answer:
    """A ``response``."""
    return Answer.json(responses_response(text, **options))


def responses_stream(pieces: Sequence[Piece] = ("Hel", "lo!"), *, split: int = 0, **options: Unpack[Options]) -> Answer:
    """A response's events, one text delta for each piece; other steps happen in their place."""
    return Answer.sse(responses_events(pieces, **options), split=split)


def responses_response(text: str = "Hello!", **options: Unpack[Options]) -> _Fields:
    """The JSON of ``responses_text``. ``finish`` is the status (completed, incomplete, failed)."""
    reply = Reply(pieces=(text,) if text else (), **options)
    return _response(reply, _final_status(reply), _items(reply))


def responses_events(pieces: Sequence[Piece] = ("Hel", "lo!"), **options: Unpack[Options]) -> list[SSEItem]:
    """The events of ``responses_stream``, to be changed before ``Answer.sse`` sends them."""
    reply = Reply(pieces=tuple(pieces), **options)
    return list(_numbered(_events(reply)))


def _events(reply: Reply) -> Iterator[SSEItem]:
    begun = {**_response(reply, "in_progress", []), "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    items = _items(reply)
    for position, item in enumerate(items):
        place = {"output_index": position}
        yield {"type": "response.output_item.added", **place, "item": {**item, **_EMPTY[item["type"]]}}
        match item["type"]:
            case "reasoning":
                yield from _reasoning(reply, {"item_id": item["id"], **place})
            case "message":
                yield from _message(reply, {"item_id": item["id"], **place})
            case "function_call":
                yield from _arguments(item["arguments"], {"item_id": item["id"], **place})
        yield {"type": "response.output_item.done", **place, "item": item}
    status = _final_status(reply)
    yield {"type": f"response.{status}", "response": _response(reply, status, items)}


_EMPTY: dict[str, _Fields] = {
    "reasoning": {"summary": []},
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
}
"""What an item lacks when it is added."""


def _numbered(events: Iterator[SSEItem]) -> Iterator[SSEItem]:
    number = 0
    for event in events:
        if isinstance(event, dict):
            yield {**event, "sequence_number": number}
            number += 1
        else:
            yield event


def _reasoning(reply: Reply, place: _Fields) -> Iterator[SSEItem]:
    place = {**place, "summary_index": 0}
    kind = "response.reasoning_summary"
    yield {"type": f"{kind}_part.added", **place, "part": {"type": "summary_text", "text": ""}}
    for piece in cut(reply.reasoning):
        yield {"type": f"{kind}_text.delta", **place, "delta": piece}
    yield {"type": f"{kind}_text.done", **place, "text": reply.reasoning}
    yield {"type": f"{kind}_part.done", **place, "part": {"type": "summary_text", "text": reply.reasoning}}


def _message(reply: Reply, place: _Fields) -> Iterator[SSEItem]:
    place = {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _part("")}
    for piece in reply.pieces:
        if isinstance(piece, str):
            yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        else:
            yield piece
    yield {"type": "response.output_text.done", **place, "text": reply.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _part(reply.text)}


def _arguments(arguments: str, place: _Fields) -> Iterator[SSEItem]:
    for piece in cut(arguments):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}


def _response(reply: Reply, status: str, items: list[_Fields]) -> _Fields:
    response: _Fields = {
        "id": reply.id or "resp_test",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": reply.model,
        "output": items,
        "error": {"code": "server_error", "message": "The model failed."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    if reply.tokens is not None:
        response["usage"] = _usage(reply.tokens)
    return response


def _items(reply: Reply) -> list[_Fields]:
    items: list[_Fields] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"id": "rs_test", "type": "reasoning", "summary": summary})
    if reply.pieces:
        message = {"id": "msg_test", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [_part(reply.text)]})
    return [*items, *(_call(call, number) for number, call in enumerate(reply.calls, 1))]


def _part(text: str) -> _Fields:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call: Call, number: int) -> _Fields:
    return {
        "id": f"fc_test_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _final_status(reply: Reply) -> str:
    return reply.finish or "completed"


def _usage(tokens: Tokens) -> _Fields:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
