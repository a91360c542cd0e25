"""What an answer of a forwarded endpoint used, wherever its server says so; and whether it is one at all.

``usage`` of OpenAI's endpoints counts prompt and completion, or input and output; of rerankers only a total. Cohere
counts in ``meta``, SGLang in ``meta_info``, Gemini in ``usageMetadata``.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from asgi_llm.dialects.money import reported
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.usage import Usage

__all__ = ["check_answer", "read_usage"]

_MOST = 2**53


class _Outside(Struct, gc=False):
    error: Raw = Raw()
    usage: Raw = Raw()
    meta: Raw = Raw()
    meta_info: Raw = Raw()
    usage_metadata: Raw = field(name="usageMetadata", default=Raw())


_outside = msgspec.json.Decoder(_Outside)
_list = msgspec.json.Decoder(list[Raw])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def check_answer(body: bytes) -> Usage | None:
    """What a JSON answer says that it used.

    Raises:
        UpstreamError: cause ``content``: neither an object nor a list; ``in_band``: it reports an error.
    """
    try:
        outside = _outside.decode(body)
    except _BROKEN:
        if body.lstrip()[:1] == b"[":
            return _usage_of_list(body)
        raise _not_an_answer() from None
    if bytes(outside.error) not in (b"", b"null"):
        raise UpstreamError("the upstream reported an error", cause=Cause.IN_BAND)
    return _usage_of(outside)


def _usage_of(outside: _Outside) -> Usage | None:
    said = outside.usage or outside.meta_info or outside.usage_metadata or outside.meta
    return read_usage(said) if said else None


def _usage_of_list(body: bytes) -> Usage | None:
    try:
        items = _list.decode(body)
        found = [_usage_of(_outside.decode(item)) for item in items[:256] if bytes(memoryview(item)[:1]) == b"{"]
    except _BROKEN:
        raise _not_an_answer() from None
    counts = [usage for usage in found if usage is not None]
    if not counts:
        return None
    return Usage(
        fresh=sum(usage.fresh or 0 for usage in counts),
        cache_read=sum(usage.cache_read or 0 for usage in counts),
        visible=sum(usage.visible or 0 for usage in counts),
    )


def _not_an_answer() -> UpstreamError:
    return UpstreamError("the upstream did not answer with JSON", cause=Cause.CONTENT, code="upstream_invalid_answer")


def read_usage(raw: Raw | bytes) -> Usage | None:
    """The counts of a usage object of any of the endpoints, or None where it says nothing; never raises."""
    try:
        said = msgspec.json.decode(raw)
    except _BROKEN:
        return None
    if not isinstance(said, dict):
        return None
    tokens = said.get("tokens")
    said = tokens if isinstance(tokens, dict) else said
    given = _count(said, "prompt_tokens", "input_tokens", "promptTokenCount")
    made = _count(said, "completion_tokens", "output_tokens", "candidatesTokenCount")
    if given is None and made is None:
        given = _count(said, "total_tokens", "totalTokenCount")
    details = _object(said, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    cached = _count(details, "cached_tokens")
    if cached is None:
        cached = _count(said, "cached_tokens")
    costs = reported(said)
    if given is None and made is None:
        # Seconds of speech or units of a search are kept as they were told.
        told = costs.cost is not None or any(name in said for name in ("seconds", "billed_units"))
        return Usage(cost=costs.cost, market=costs.market, raw=Raw(bytes(raw))) if told else None
    if given is not None and cached:
        cached = min(cached, given)
        given -= cached
    return Usage(
        fresh=given,
        cache_read=cached,
        visible=made,
        audio_in=_count(details, "audio_tokens"),
        cost=costs.cost,
        market=costs.market,
        raw=Raw(bytes(raw)),
    )


def _count(said: Any, *names: str) -> int | None:
    for name in names:
        value = said.get(name) if isinstance(said, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
            return int(value)
    return None


def _object(said: dict[str, Any], *names: str) -> Any:
    return next((said[name] for name in names if isinstance(said.get(name), dict)), None)
