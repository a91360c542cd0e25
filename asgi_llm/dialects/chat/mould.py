"""What the events of one stream that bring more text have in common: all but the text.

Servers write them one after the other from the same pieces. Where an event is, byte for byte, what an earlier one was
but for its text, it says the same but for its text, and need not be read.
"""

import re

import msgspec

__all__ = ["Mould"]

_KEY = b'"content":'
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_text = msgspec.json.Decoder(str)


class Mould:
    """What stands before and behind the text."""

    __slots__ = ("_after", "_before", "_behind", "_until")

    def __init__(self, before: bytes, behind: bytes) -> None:
        self._before = before
        self._behind = behind
        self._after = len(before)
        self._until = -len(behind)

    @classmethod
    def of(cls, event: bytes, text: str) -> "Mould | None":
        """Of an event that says ``text``, and nothing else that changes; None where that stands in no one place."""
        if event.count(_KEY) != 1:
            return None
        # Inside a text quotes are escaped: this can only be a member of that name.
        found = _STRING.match(event, event.index(_KEY) + len(_KEY))
        if found is None or _decoded(found.group()) != text:
            return None
        return cls(event[: found.start()], event[found.end() :])

    def text(self, event: bytes) -> str | None:
        """What an event says; None if it is not out of this mould."""
        if event.startswith(self._before) and event.endswith(self._behind):
            return _decoded(event[self._after : self._until])
        return None


def _decoded(string: bytes) -> str | None:
    try:
        return _text.decode(string)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
