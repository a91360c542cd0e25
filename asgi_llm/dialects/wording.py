"""What upstreams say in their errors, as callers may read it: short, without markup, addresses and keys."""

import re
from typing import Any

import msgspec

__all__ = ["line", "readable", "shown"]

_SECRET = re.compile(
    r"(?:https?|wss?)://\S+|\b(?:sk|pk|key|gsk|xai)-[\w*-]{6,}|\bAIza[\w-]{20,}|Bearer\s+\S+", re.IGNORECASE
)
_MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_LONGEST = 400


def shown(text: str) -> str:
    """``text`` without addresses and keys: a server behind the gateway may name itself, or what it was shown."""
    return _SECRET.sub("[removed]", text)


def line(value: Any) -> str:
    """What a member of an error's JSON says, whatever it is."""
    if value is None:
        return ""
    text = shown(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if len(text) <= 4 * _LONGEST else text[: 4 * _LONGEST] + "..."


def readable(body: bytes) -> str:
    """A body that is not JSON, as a short line without markup."""
    text = body[:65536].decode("utf-8", "replace")
    if title := _TITLE.search(text):
        text = title.group(1)
    text = shown(" ".join(_MARKUP.sub(" ", text).split()))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
