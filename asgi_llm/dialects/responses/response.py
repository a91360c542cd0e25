"""A whole Responses answer, read and written.

OpenAI Responses API reference, "The response object". Writing goes through the encoder of streams, so that an answer
and the sum of its stream are the same thing.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.errors import Cause, ClientError, UpstreamError
from asgi_llm.neutral.events import Finished
from asgi_llm.neutral.fold import unfold
from asgi_llm.neutral.request import Opaque, Part, Refusal, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, Response

from . import items, wire
from .blocks import Items
from .encoder import Encoder
from .errors import failure_from
from .restoring import restored
from .usage import decode_usage, is_search, with_searches
from .wire import given

__all__ = ["Body", "decode_response", "encode_response", "finish_of", "item_parts"]

_CALLS = {"function_call", "custom_tool_call", *items.TYPED_CALLS}
_OUTPUTS = {"function_call_output", "custom_tool_call_output", *items.TYPED_OUTPUTS}


class _Incomplete(Struct):
    reason: str | None = None


class Body(Struct):
    """The response object, as far as it is looked at."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: Raw = wire.NOTHING
    error: Raw = wire.NOTHING
    incomplete_details: _Incomplete | None = None
    service_tier: str | None = None


_body = msgspec.json.Decoder(Body)


def decode_response(body: bytes, restore: Restore) -> Response:
    """An upstream's JSON answer -> neutral.

    Raises:
        UpstreamError: it reports a failure (cause in_band), or it is not an answer of this API (cause content).
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # raw members are passed on without being looked at
        wired = _body.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _not_an_answer() from None
    if wired.status in ("failed", "cancelled") or _truthy(wired.error):
        raise failure_from(_value(wired.error))
    if wired.output is None:
        raise _not_an_answer()
    try:
        parts = [part for raw in wired.output for part in item_parts(raw, restore)]
    except ClientError:
        raise _not_an_answer() from None
    usage = with_searches(with_gateway(decode_usage(wired.usage), body), sum(map(is_search, parts)))
    return Response(
        id=wired.id or "",
        model=wired.model or "",
        candidates=(Candidate(tuple(parts), finish_of(wired, parts)),),
        usage=usage,
        created=None if wired.created_at is None else int(wired.created_at),
        service_tier=wired.service_tier,
    )


def item_parts(raw: Raw, restore: Restore) -> list[Part]:
    """The parts that one output item stands for.

    Raises:
        ClientError: the item is malformed; the caller of this knows whose fault that is.
    """
    item = items.read_item(raw, "output")
    match item.type:
        case "message" | None:
            return list(items.output_parts(item.content, "output.content"))
        case "reasoning":
            return [items.thought(item, "output")]
        case kind if kind in _CALLS:
            return [restored(items.call(item, "output"), restore)]
        case kind if kind in _OUTPUTS:
            return [Opaque("responses", kind, raw)]
        case "compaction":
            return [items.compaction(item)]
        case kind:
            return [items.hosted(item, raw) or Opaque("responses", kind, raw)]


def finish_of(wired: Body, parts: list[Part]) -> Finish:
    """Why the answer ended, by what it holds rather than by its word alone."""
    if wired.status == "incomplete":
        reason = wired.incomplete_details.reason if wired.incomplete_details else None
        match reason:
            case "max_output_tokens":
                return Finish("max_tokens")
            case "content_filter":
                return Finish("filtered", category=reason)
            case _:
                return Finish("other", category=reason)
    if any(isinstance(part, ToolCall) for part in parts):
        return Finish("tool_calls")
    if any(isinstance(part, Refusal) for part in parts):
        return Finish("refusal")
    return Finish("end" if wired.status in ("completed", None) else "other")


def encode_response(response: Response, answer: Answer) -> bytes:
    """Neutral -> the caller's JSON answer. Of several candidates the first is written: the API knows only one."""
    encoder = Encoder(answer, Items())
    encoder.feed(unfold(response))
    if not encoder.final:
        encoder.feed([Finished(Finish("end"))])
    return encoder.final


def _truthy(raw: Raw) -> bool:
    return given(raw) and bytes(raw) not in (b"false", b'""', b"{}")


def _value(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _not_an_answer() -> UpstreamError:
    return UpstreamError(
        "the upstream's answer is not a response of this API", cause=Cause.CONTENT, code="upstream_invalid_answer"
    )
