"""Can a usage be true? What cannot is left out and flagged, so that one absurd number spoils no sum."""

from typing import Any

import msgspec
from msgspec import Struct, field, structs

from asgi_llm.neutral.usage import Usage

from .row import COUNTS, LARGEST

__all__ = ["adds_up", "sane"]


class _Total(Struct):
    total: Any = field(name="total_tokens", default=None)
    gemini: Any = field(name="totalTokenCount", default=None)


_total = msgspec.json.Decoder(_Total)


def sane(usage: Usage) -> tuple[Usage, bool]:
    """The usage without numbers that cannot be, and whether there were any."""
    absurd: dict[str, Any] = {
        name: None for name in (*COUNTS, "cost", "market") if not 0 <= (getattr(usage, name) or 0) <= LARGEST
    }
    tools = usage.server_tools
    if tools and any(not 0 <= count <= LARGEST for count in tools.values()):
        absurd["server_tools"] = {name: count for name, count in tools.items() if 0 <= count <= LARGEST} or None
    if usage.rounds is not None:
        checked = [sane(each) for each in usage.rounds]
        if any(odd for _, odd in checked):
            absurd["rounds"] = tuple(each for each, _ in checked)
    return (structs.replace(usage, **absurd), True) if absurd else (usage, False)


def adds_up(usage: Usage) -> bool:
    """Whether the counts make the total that the provider said, where it said one."""
    if usage.rounds is not None:
        return all(adds_up(each) for each in usage.rounds)
    if usage.raw is None:
        return True
    try:
        told = _total.decode(usage.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    total = told.total if told.total is not None else told.gemini
    if type(total) not in (int, float):
        return True
    return bool(total == usage.input + usage.output)
