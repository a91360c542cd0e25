"""What makes two requests the same, for a cache: all that is asked, of whom, whatever the words it is asked in.

Whether an answer is streamed is no part of it, nor who asks. What the neutral form says counts in that form, so that
callers of different dialects may ask the same; where it does not say all of a body, the body itself counts, too.
"""

import hashlib
from collections.abc import Iterator

import msgspec
from msgspec import structs

from asgi_llm.dialects.restate import SPELLINGS, spoken
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.request import (
    Blocks,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    HostedTool,
    Part,
    Request,
    StreamOptions,
    ToolCall,
    ToolResult,
    TypedTool,
    Url,
)
from asgi_llm.settings import CacheSettings

from .plan import Leg

__all__ = ["fingerprint", "may_repeat"]

_NOISE = (b"x-stainless-", b"x-claude-code-", b"x-codex-", b"anthropic-dangerous-")
_NO_MATTER = frozenset(
    {b"traceparent", b"tracestate", b"baggage", b"user-agent", b"originator", b"session-id", b"session_id",
     b"thread-id", b"x-client-request-id", b"x-session-affinity", b"x-session-id", b"x-app", b"x-goog-api-client",
     b"anthropic-version"}
)  # fmt: skip
"""Headers that go upstream and change no answer."""
_UNSAID = ("stream", "stream_options", "model")


def may_repeat(request: Request, settings: CacheSettings) -> bool:
    """Whether an answer to this may be given again."""
    state = request.state
    if state.previous_response_id or state.conversation or state.background or state.thread is not None:
        return False
    if settings.sampling != "any":
        temperature = request.sampling.temperature
        if temperature != 0 and not (temperature is None and settings.sampling == "unset"):
            return False
    for tool in request.tools:
        match tool:
            case FunctionTool() | CustomTool() | TypedTool():
                if not settings.tools:
                    return False
            case HostedTool():
                return False
    return all(_may_repeat(part, settings) for turn in request.turns for part in _all(turn.parts))


def _may_repeat(part: Part, settings: CacheSettings) -> bool:
    """What stands behind an address or an id may be another thing tomorrow."""
    if isinstance(part, ToolCall | ToolResult):
        return settings.tools
    return not isinstance(getattr(part, "source", None), Url | FileId)


def _all(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, ToolResult):
            yield from _all(part.parts)
        elif isinstance(part, Document) and isinstance(part.source, Blocks):
            yield from _all(part.source.parts)


def fingerprint(exchange: Exchange, caller: Caller, request: Request) -> str:
    """A digest of what is asked, and of whom: the targets of the plan, their models and limits."""
    plan = exchange.plan
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    digest = hashlib.sha256(b"1")
    for piece in (
        _neutral(request),
        _rest(exchange, request),
        *map(_asked, plan.legs),
        *_headers(plan.legs[0], caller),
    ):
        digest.update(b"%d:" % len(piece))
        digest.update(piece)
    return digest.hexdigest()


def _neutral(request: Request) -> bytes:
    dialect = request.dialect if request.ext else "chat"
    plain = structs.replace(request, model="", stream=StreamOptions(), dialect=dialect)
    said = msgspec.json.decode(msgspec.json.encode(plain))
    # Knobs that were all left alone and knobs that were not touched are the same.
    return msgspec.json.encode({name: value for name, value in said.items() if value != {}}, order="deterministic")


def _rest(exchange: Exchange, request: Request) -> bytes:
    """The body, if it says anything that the neutral form does not."""
    dialect = exchange.dialect
    body = {name: value for name, value in msgspec.json.decode(exchange.body).items() if name not in _UNSAID}
    try:
        said = {name: msgspec.json.decode(raw) for name, raw in spoken(dialect, request).items()}
    except ClientError:
        said = {}
    said |= {other: said[name] for other, name in SPELLINGS.items() if name in said and other not in said}
    if all(_plain(said.get(name, _NOTHING)) == _plain(value) for name, value in body.items()):
        return b""
    return dialect.name.encode() + msgspec.json.encode(body, order="deterministic")


_NOTHING = object()


def _plain(value: object) -> object:
    """Without the choice between two spellings: a text, or a list of parts with that one text in it."""
    match value:
        case dict():
            fields = {name: _plain(item) for name, item in value.items()}
            kind = fields.get("type")
            if kind in ("text", "input_text", "output_text") and fields.keys() == {"type", "text"}:
                return fields["text"]
            if kind == "message" and "role" in fields:
                del fields["type"]
            return fields["content"] if fields.keys() == {"role", "content"} and fields["role"] == "user" else fields
        case list():
            items = [_plain(item) for item in value]
            return items[0] if len(items) == 1 and isinstance(items[0], str) else items
    return value


def _asked(leg: Leg) -> bytes:
    asked = (leg.crew.target.name, leg.model, leg.cap, [value.hex() for _, value in leg.credentials])
    return msgspec.json.encode(asked)


def _headers(leg: Leg, caller: Caller) -> Iterator[bytes]:
    for name, value in sorted(leg.allowed.passing(caller.headers)):
        if name not in _NO_MATTER and not name.startswith(_NOISE):
            yield name + b":" + value
