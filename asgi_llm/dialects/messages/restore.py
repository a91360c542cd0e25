"""Undoing, in the answer, what encoding the request changed: names, namespaces, free-text tools."""

import re
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Restore, ToolShape
from asgi_llm.neutral.request import ToolCall

__all__ = ["FreeText", "free_text", "restored"]


def restored(call: ToolCall, restore: Restore) -> ToolCall:
    """The call as the caller's request knows its tool. Arguments stay as they are."""
    shape = restore.tools.get(call.name)
    return call if shape is None else _shaped(call, shape)


def _shaped(call: ToolCall, shape: ToolShape) -> ToolCall:
    return msgspec.structs.replace(call, name=shape.name, kind=shape.kind, namespace=shape.namespace, typed=shape.typed)


def free_text(arguments: str) -> str:
    """The one string argument of a free-text tool's stand-in; all of the text where it is not that."""
    try:
        said: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    value = said.get("input") if isinstance(said, dict) else None
    return value if isinstance(value, str) else arguments


_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_LONGEST_OPENING = 64
_STRING = re.compile(r'(?:[^"\\]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


class FreeText:
    """The same from fragments: the text is handed out as it comes, escapes and all undone.

    Arguments that do not begin as the stand-in's do are held until they are whole.
    """

    __slots__ = ("_held", "_inside", "_over")

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._over = False

    def feed(self, text: str) -> str:
        """The text that became certain, maybe none."""
        if self._over:
            return ""
        self._held += text
        if not self._inside:
            if len(self._held) > _LONGEST_OPENING or (opening := _OPENING.match(self._held)) is None:
                return ""
            self._inside = True
            self._held = self._held[opening.end() :]
        return self._take()

    def end(self) -> str:
        """What was held back."""
        return "" if self._inside else free_text(self._held)

    def _take(self) -> str:
        found = _STRING.match(self._held)
        ready = found.group() if found else ""
        rest = self._held[len(ready) :]
        if (half := _HIGH_SURROGATE.search(ready)) and not rest.startswith('"'):
            # Half of a character; the other half is still to come.
            ready, rest = ready[: half.start()], half.group() + rest
        self._over = rest.startswith('"')
        self._held = "" if self._over else rest
        return _unescaped(ready)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return msgspec.json.decode(f'"{text}"', type=str)
    except msgspec.DecodeError:
        return text
