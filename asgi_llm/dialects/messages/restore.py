"""Undoing, in the answer, what encoding the request changed: names, namespaces, free-text tools."""

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


class FreeText:
    """The same from fragments. The text is handed out once it is whole."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[str] = []

    def feed(self, text: str) -> str:
        self._parts.append(text)
        return ""

    def end(self) -> str:
        return free_text("".join(self._parts))
