"""The endpoint that ``asgi-llm doctor`` asks: a short stream of ticks, what arrived of a request, and whether a
caller's leaving was heard. It calls no model, takes a second or two, and answers those only who may call."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import msgspec

from asgi_llm.errors import AsgiLLMError, Kind, PolicyError
from asgi_llm.exchange import CallerGone
from asgi_llm.pipeline.admit import authenticate
from asgi_llm.pipeline.cancellation import forget_cancellation
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers

from .caller import ASGICaller

__all__ = ["HEADERS", "TICKS", "TICK_SECONDS", "answer_diagnose"]

TICKS = 5
TICK_SECONDS = 0.2
HEADERS = (
    b"authorization",
    b"x-api-key",
    b"anthropic-version",
    b"anthropic-beta",
    b"openai-organization",
    b"x-stainless-lang",
)
"""Headers of which is told whether they arrived; never what is in them."""

_HOLD = 3.0
"""Seconds that a stream to be left stays open."""
_STREAMS = 16
"""Streams at a time, in one event loop."""
_REMEMBERED = 64


class _Ward:
    """Of one event loop: how many streams there are, and whose callers left, the newest last."""

    def __init__(self) -> None:
        self.streams = 0
        self.left: dict[str, bool] = {}

    def note(self, token: str, left: bool) -> None:
        self.left[token[:64]] = left
        if len(self.left) > _REMEMBERED:
            del self.left[next(iter(self.left))]


_wards: WeakKeyDictionary[asyncio.AbstractEventLoop, _Ward] = WeakKeyDictionary()


async def answer_diagnose(runtime: Runtime, caller: ASGICaller) -> tuple[int, Any] | None:
    """The JSON answer, or None where a stream was the answer.

    Raises:
        AsgiLLMError: the caller may not call, the body is too large, or there are too many streams.
    """
    authenticate(runtime, caller)
    ward = _wards.setdefault(runtime.loop, _Ward())
    asked = dict(parse_qsl(caller.scope["query_string"].decode("latin-1")))
    if caller.scope["method"] == "POST":
        try:
            body = await caller.body(runtime.blueprint.settings.limits.body)
        except CallerGone:
            return 400, {}
        return 200, {"received": len(body)}
    if token := asked.get("left"):
        return 200, {"left": ward.left.get(token[:64])}
    if caller.scope["method"] == "HEAD":
        return 200, {}
    if ward.streams >= _STREAMS:
        raise PolicyError("too many diagnoses at once", kind=Kind.RATE_LIMIT, code="too_many_streams", retry_after=2)
    ward.streams += 1
    try:
        await _stream(runtime, caller, ward, asked.get("hold", ""))
    finally:
        ward.streams -= 1
    return None


async def _stream(runtime: Runtime, caller: ASGICaller, ward: _Ward, token: str) -> None:
    headers: Headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-llm-request-id", runtime.new_id().encode("ascii")),
    ]
    if token:
        ward.note(token, False)
    ticks = TICKS if not token else round(_HOLD / TICK_SECONDS)
    try:
        await caller.body(0)  # from now on its leaving is heard
        await caller.start(200, headers)
        await caller.send(_event("request", _request(runtime, caller)))
        for number in range(1, ticks + 1):
            await asyncio.sleep(TICK_SECONDS)
            if caller.gone:
                break
            await caller.send(_event("tick", number))
        await caller.finish(_event("end", ticks))
    except asyncio.CancelledError:
        if not caller.gone:
            raise
        forget_cancellation()
    except (CallerGone, AsgiLLMError):
        pass
    finally:
        if token and caller.gone:
            ward.note(token, True)
        caller.close()


def _request(runtime: Runtime, caller: ASGICaller) -> dict[str, Any]:
    return {
        "lifespan": runtime.users > 0,
        "http_version": caller.scope.get("http_version", ""),
        "headers": [name.decode("ascii") for name in HEADERS if name in caller.fields],
        "interval": TICK_SECONDS,
        "ticks": TICKS,
    }


def _event(name: str, value: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), msgspec.json.encode(value))
