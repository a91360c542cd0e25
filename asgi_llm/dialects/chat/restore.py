"""Undoing in an answer what encoding the request changed: tool names, and free text wrapped in JSON."""

import msgspec

from asgi_llm.dialects.interface import Restore
from asgi_llm.neutral.request import ToolCall

from .tools import WRAPPED_ARGUMENT

__all__ = ["Unwrapper", "restored", "unwrapped"]


def restored(restore: Restore, call_id: str, wire: str, *, custom: bool) -> tuple[ToolCall, bool]:
    """The call's header under its real name, and whether its arguments are wrapped free text."""
    shape = restore.tools.get(wire)
    if shape is None:
        return ToolCall(call_id, wire, kind="text" if custom else "json"), False
    header = ToolCall(
        call_id,
        shape.name,
        kind="text" if custom else shape.kind,
        namespace=shape.namespace,
        typed=shape.typed,
    )
    return header, shape.kind == "text" and not custom


def unwrapped(arguments: str) -> str:
    """The free text in the arguments of a wrapped tool; the arguments themselves where a model did not wrap."""
    try:
        said = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        unwrapper = Unwrapper()
        return unwrapper.feed(arguments) + unwrapper.end()
    text = said.get(WRAPPED_ARGUMENT) if isinstance(said, dict) else None
    return text if isinstance(text, str) else arguments


_PREFIX_LIMIT = 64
"""Characters within which the wrapped text must begin; arguments that start otherwise are not wrapped."""
_OPENING = "{" + f'"{WRAPPED_ARGUMENT}":"'
_LONGEST_ESCAPE = 12
"""Characters of the longest escape: a surrogate pair."""


class Unwrapper:
    r"""The same in pieces: ``{"input": "a\nb"}`` in any chunking -> the text, as it becomes certain."""

    __slots__ = ("_done", "_held", "_inside", "_raw")

    def __init__(self) -> None:
        self._held = ""
        self._inside: bool | None = None
        self._done = self._raw = False

    def feed(self, piece: str) -> str:
        if self._done:
            return ""
        if self._raw:
            return piece
        self._held += piece
        if not self._inside:
            self._inside = begun = self._open()
            if begun is None:
                return ""
            if not begun:
                self._raw = True
                text, self._held = self._held, ""
                return text
        return self._text()

    def end(self) -> str:
        """What is left: a text without its end, or arguments too short to tell."""
        rest, self._held = self._held, ""
        if self._done or self._raw:
            return ""
        self._done = True
        return "" if self._inside else rest

    def _open(self) -> bool | None:
        """Cut the opening off. False if the arguments begin otherwise, None if that is not certain yet."""
        wanted = 0
        for position, char in enumerate(self._held):
            if char == _OPENING[wanted]:
                wanted += 1
                if wanted == len(_OPENING):
                    self._held = self._held[position + 1 :]
                    return True
            elif char not in " \t\r\n" or position > _PREFIX_LIMIT:
                return False
        return None

    def _text(self) -> str:
        """The text up to the closing quote, or up to an escape that may be cut off."""
        held, end = self._held, 0
        while True:
            quote, slash = held.find('"', end), held.find("\\", end)
            if slash < 0 or 0 <= quote < slash:
                break
            length = _escape(held, slash)
            if length == 0:
                self._held = held[slash:]
                return _unescape(held[:slash])
            end = slash + length
        if quote >= 0:
            self._done, self._held = True, ""
            return _unescape(held[:quote])
        self._held = ""
        return _unescape(held)


def _escape(text: str, at: int) -> int:
    """Length of the escape at ``at``, surrogate pairs as one; 0 where its end has not come yet."""
    if text[at + 1 : at + 2] != "u":
        return 2 if len(text) > at + 1 else 0
    if len(text) < at + 6:
        return 0
    if text[at + 2 : at + 4].lower() not in ("d8", "d9", "da", "db"):
        return 6
    return _LONGEST_ESCAPE if len(text) >= at + _LONGEST_ESCAPE else 0


def _unescape(text: str) -> str:
    """Models write line ends as they are where JSON wants them escaped; those are let pass."""
    if "\\" not in text:
        return text
    try:
        return msgspec.json.decode(f'"{text}"'.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r"), type=str)
    except msgspec.DecodeError:
        return text
