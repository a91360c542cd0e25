"""Identifiers as the Gemini API takes them, by pure functions: the same name gives the same name, always.

Function names match ``[A-Za-z_][A-Za-z0-9_.:-]{0,127}``; ids of calls are free text. No table has to survive between
requests, so that a conversation of many turns is encoded to the same bytes every time.
"""

import re
from hashlib import sha256

__all__ = ["call_id", "flat_name", "minted_id", "tool_name"]

_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}\Z")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.:-]")


def tool_name(original: str) -> str:
    """A legal function name: the original, or what is legal of it with eight digits of its hash."""
    if _LEGAL.match(original):
        return original
    legal = _ILLEGAL.sub("_", original)
    head = legal if _LEGAL.match(legal[:1]) else f"_{legal}"
    return f"{head[:119]}_{_digest(original)[:8]}"


def flat_name(name: str, namespace: str | None) -> str:
    """The legal name of a tool that may live in a namespace."""
    return tool_name(f"{namespace}__{name}" if namespace else name)


def minted_id(turn: int, part: int, name: str) -> str:
    """The id of a call that came without one. It depends on the call's place only, so that it is the same again when
    the conversation comes back longer."""
    return "call_" + _digest(f"{turn}\x00{part}\x00{name}")[:24]


def call_id(original: str, occurrence: int) -> str:
    """The id of a call as it is sent. ``occurrence`` counts earlier calls under the same id, which must be unique."""
    return original if occurrence == 0 else "call_" + _digest(f"{original}\x00{occurrence}")[:24]


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
