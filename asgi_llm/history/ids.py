"""Ids of what is kept: a prefix and a UUID of version 7, which sorts by time and cannot be guessed."""

import secrets

__all__ = ["item_id", "new_id"]

_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fc_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctc_",
    "compaction": "cmp_",
}


def new_id(prefix: str, now: float) -> str:
    """``now`` is seconds since the epoch."""
    value = int(now * 1000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return f"{prefix}{value:032x}"


def item_id(kind: str, now: float) -> str:
    """An id for an item of that type that has none."""
    return new_id(_PREFIXES.get(kind, "item_"), now)
