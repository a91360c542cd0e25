"""Answers in the words of OpenAI's Chat Completions API."""

from collections.abc import Sequence
from typing import Any, Unpack

from .answer import Answer, SSEItem
from .headers import Pairs
from .reply import CREATED, Call, Options, Piece, Reply, Tokens, cut

__all__ = ["chat_completion", "chat_error", "chat_events", "chat_stream", "chat_text"]


def chat_text(text: str = "Hello!", **options: Unpack[Options]) -> Answer:
    """A ``chat.completion``."""
    return Answer.json(chat_completion(text, **options))


def chat_stream(pieces: Sequence[Piece] = ("Hel", "lo!"), *, split: int = 0, **options: Unpack[Options]) -> Answer:
    """A stream of ``chat.completion.chunk``, one for each piece of text; other steps happen in their place."""
    return Answer.sse(chat_events(pieces, **options), split=split)


def chat_completion(text: str = "Hello!", **options: Unpack[Options]) -> dict[str, Any]:
    """The JSON of ``chat_text``."""
    reply = Reply(pieces=(text,), **options)
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}
    completion = {**_frame(reply), "object": "chat.completion", "choices": [choice]}
    if reply.tokens is not None:
        completion["usage"] = _usage(reply.tokens)
    return completion


def chat_events(pieces: Sequence[Piece] = ("Hel", "lo!"), **options: Unpack[Options]) -> list[SSEItem]:
    """The events of ``chat_stream``, to be changed before ``Answer.sse`` sends them."""
    reply = Reply(pieces=tuple(pieces), **options)

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        frame = {**_frame(reply), "object": "chat.completion.chunk", "choices": [choice]}
        return frame if reply.tokens is None else {**frame, "usage": None}

    events: list[SSEItem] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": piece}) for piece in cut(reply.reasoning)]
    events += [chunk({"content": piece}) if isinstance(piece, str) else piece for piece in reply.pieces]
    for index, call in enumerate(reply.calls):
        events.append(chunk({"tool_calls": [{"index": index, **_call(call, arguments="")}]}))
        for piece in cut(call.arguments):
            events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    events.append(chunk({}, _finish(reply)))
    if reply.tokens is not None:
        events.append({**chunk({}), "choices": [], "usage": _usage(reply.tokens)})
    return [*events, "[DONE]"]


def chat_error(
    status: int = 500,
    message: str = "The server had an error.",
    *,
    kind: str = "server_error",
    code: str | None = None,
    param: str | None = None,
    headers: Pairs = (),
) -> Answer:
    """An error in OpenAI's shape, for Chat Completions and Responses."""
    return Answer.json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)


def _frame(reply: Reply) -> dict[str, Any]:
    return {"id": reply.id or "chatcmpl-test", "created": CREATED, "model": reply.model}


def _call(call: Call, arguments: str | None = None) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments if arguments is None else arguments}
    return {"id": call.id, "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
