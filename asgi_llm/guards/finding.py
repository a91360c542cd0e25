"""Places in a text that a guard is about, and what becomes of them; also of a text that comes in pieces."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["Edit", "Find", "Finding", "Forbidden", "Window", "edit_json", "edit_values", "redact"]


class Forbidden(Exception):  # noqa: N818  # an event, not an error of anybody's
    """Something was found that must not be there at all."""


class Finding(Struct, frozen=True, gc=False):
    """``start`` and ``end`` of what was found; ``replacement`` stands in its place, or with None nothing may."""

    start: int
    end: int
    replacement: str | None


Find = Callable[[str], Sequence[Finding]]
"""All that is in a text, by where it begins. What is found must be the same in a longer text, if enough of what
surrounds it is."""
Edit = Callable[[str], str]


def redact(find: Find, text: str) -> str:
    """``text`` with all that was found replaced; the same object if nothing was.

    Raises:
        Forbidden: something may not be replaced.
    """
    findings = find(text)
    if not findings:
        return text
    out, at = [], 0
    for finding in findings:
        if finding.replacement is None:
            raise Forbidden
        if finding.end <= at:
            continue
        out += [text[at : finding.start], finding.replacement]
        at = finding.end
    return "".join((*out, text[at:]))


class Window:
    """A text in pieces. What is found is the same as in the whole of it, as long as it is no longer than ``width``
    characters: so many wait until it is certain what they belong to.

    Attributes:
        changed: something was replaced.
    """

    __slots__ = ("_at", "_enough", "_find", "_last", "_text", "_width", "changed")

    def __init__(self, find: Find, width: int) -> None:
        self._find = find
        self._width = width
        # Pieces are a few characters each; what waits is looked at once for several of them.
        self._enough = width + width // 4
        self._text = ""
        """What is not out yet, behind some of what is: matches look at what stands before them."""
        self._at = 0
        """Where that begins which is not out yet."""
        self._last = -1
        """Where that begins which was replaced last: it may go on."""
        self.changed = False

    def feed(self, piece: str) -> str:
        """What is certain by now.

        Raises:
            Forbidden: something was found that may not be replaced.
        """
        self._text += piece
        if len(self._text) - self._at < self._enough:
            return ""
        return self._advance(len(self._text) - self._width)

    def end(self) -> str:
        """All that is left."""
        return self._advance(len(self._text))

    def _advance(self, sure: int) -> str:
        if sure <= self._at:
            return ""
        text, begun, at, out = self._text, self._at, self._at, []
        for finding in self._find(text):
            if finding.start >= sure:
                break
            if finding.end <= begun:
                continue
            if finding.replacement is None:
                raise Forbidden
            if finding.end <= at:
                continue
            out.append(text[at : max(at, finding.start)])
            if finding.start != self._last:
                out.append(finding.replacement)
            self._last, self.changed, at = finding.start, True, finding.end
        if at < sure:
            out.append(text[at:sure])
            at = sure
        cut = max(0, at - self._width)
        self._text, self._at, self._last = text[cut:], at - cut, self._last - cut
        return "".join(out)


def edit_json(text: str, edit: Edit) -> str:
    """JSON with its texts edited, escapes undone; what is no JSON is edited as it is."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return edit(text)
    told = edit_values(value, edit)
    return text if told is value else msgspec.json.encode(told).decode()


def edit_values(value: Any, edit: Edit) -> Any:
    """JSON values with their texts edited, names of members included; the same object if nothing changed."""
    match value:
        case str():
            return edit(value)
        case list():
            items = [edit_values(item, edit) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        case dict():
            fields = {edit(name): edit_values(item, edit) for name, item in value.items()}
            same = fields.keys() == value.keys() and all(fields[name] is value[name] for name in value)
            return value if same else fields
    return value
