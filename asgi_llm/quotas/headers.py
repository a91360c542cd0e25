"""How quotas stand, in the headers that each dialect's clients read.

Sources: OpenAI, "Rate limits: headers"; Anthropic, "Rate limits: response headers". Google's API has none. Of several
quotas on the same thing the one is told of which least is left; money and concurrency have no headers.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from asgi_llm.neutral.request import DialectName
from asgi_llm.types import Headers

from .tab import Standing

__all__ = ["PREFIXES", "rate_headers"]

PREFIXES: dict[DialectName, bytes] = {
    "chat": b"x-ratelimit-",
    "responses": b"x-ratelimit-",
    "messages": b"anthropic-ratelimit-",
}
"""What these headers begin with: an upstream's own, which tell of the gateway's account there, give way to them."""
_OPENAI = {"requests": b"requests", "tokens": b"tokens", "input_tokens": b"tokens", "output_tokens": b"tokens"}
_ANTHROPIC = {
    "requests": b"requests",
    "tokens": b"tokens",
    "input_tokens": b"input-tokens",
    "output_tokens": b"output-tokens",
}


def rate_headers(dialect: DialectName, standings: Iterable[Standing], now: float) -> Headers:
    """``now`` is seconds since the epoch."""
    if dialect == "gemini":
        return []
    nouns = _ANTHROPIC if dialect == "messages" else _OPENAI
    tightest: dict[bytes, Standing] = {}
    for standing in standings:
        noun = nouns.get(standing.rule.resource)
        if noun is not None and (noun not in tightest or standing.left < tightest[noun].left):
            tightest[noun] = standing
    headers: Headers = []
    for noun, standing in tightest.items():
        headers += _anthropic(noun, standing, now) if dialect == "messages" else _openai(noun, standing)
    return headers


def _openai(noun: bytes, standing: Standing) -> Headers:
    headers: Headers = [
        (b"x-ratelimit-limit-%b" % noun, b"%d" % standing.rule.settings.limit),
        (b"x-ratelimit-remaining-%b" % noun, b"%d" % standing.left),
    ]
    if standing.reset is not None:
        headers.append((b"x-ratelimit-reset-%b" % noun, _duration(standing.reset)))
    return headers


def _duration(seconds: float) -> bytes:
    """As in ``6m0s``."""
    if seconds < 60:
        return f"{max(seconds, 0):.3g}s".encode()
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s".encode() if hours else f"{minutes}m{rest}s".encode()


def _anthropic(noun: bytes, standing: Standing, now: float) -> Headers:
    start = b"anthropic-ratelimit-%b-" % noun
    headers: Headers = [
        (start + b"limit", b"%d" % standing.rule.settings.limit),
        (start + b"remaining", b"%d" % standing.left),
    ]
    if standing.reset is not None:
        moment = datetime.fromtimestamp(now + standing.reset, UTC)
        headers.append((start + b"reset", moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()))
    return headers
