"""Reads a multipart form as it passes: which small fields it has, and where their values stand (RFC 7578, RFC 2046).

Push bytes in; nothing but the line that may be cut is kept. A form that names a field of interest twice, or in a way
that servers read differently, is refused: the gateway must judge the model that the upstream serves.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from asgi_llm.errors import ClientError, Kind

__all__ = ["Field", "FormReader", "boundary_of"]

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*(name\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition\s*:\s*form-data\b(.*)$", re.IGNORECASE | re.MULTILINE)
_HEAD_LIMIT = 16 * 1024
_VALUE_LIMIT = 1024
_PARTS = 1000
_SLICE = 64 * 1024


class Field(NamedTuple):
    """A field's value, and the bytes of the form that it takes."""

    value: bytes
    start: int
    end: int


def boundary_of(content_type: bytes) -> bytes:
    """
    Raises:
        ClientError: it is no multipart form, or one without a boundary.
    """
    media_type = content_type.partition(b";")[0].strip().lower()
    found = _BOUNDARY.search(content_type) if media_type == b"multipart/form-data" else None
    if found is None:
        said = media_type.decode("latin-1")[:100] or "missing"
        raise ClientError(
            f"the content type is {said}; multipart/form-data with a boundary is expected",
            code="unsupported_media_type",
            param="content-type",
            kind=Kind.UNSUPPORTED_MEDIA_TYPE,
        )
    return bytes(found[1] or found[2])


class FormReader:
    """Takes a form in any pieces.

    Attributes:
        fields: those of the ``wanted`` names that were whole so far.
        over: whether the last boundary has passed.
    """

    __slots__ = ("_at", "_delimiter", "_inside", "_name", "_parts", "_tail", "_value_at", "_wanted", "fields", "over")

    def __init__(self, boundary: bytes, wanted: Collection[str]) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._wanted = frozenset(wanted)
        # The first boundary may stand at the very beginning, without a line before it.
        self._tail = b"\r\n"
        self._at = -2
        self._inside: str = "preamble"
        self._name = ""
        self._value_at = 0
        self._parts = 0
        self.fields: dict[str, Field] = {}
        self.over = False

    def feed(self, data: bytes) -> None:
        """
        Raises:
            ClientError: it is no form, or one that could be understood in two ways.
        """
        # In slices, since what is left of one is copied at each of its parts.
        for at in range(0, len(data), _SLICE):
            self._tail += data[at : at + _SLICE]
            while not self.over and self._step():
                pass
            if self.over:
                self._tail = b""
                return

    def _step(self) -> bool:
        """Whether something was done, so that more may be."""
        match self._inside:
            case "boundary":
                return self._after_boundary()
            case "head":
                return self._head()
        return self._content()

    def _content(self) -> bool:
        found = self._tail.find(self._delimiter)
        if found < 0:
            keep = len(self._delimiter) - 1
            if self._inside == "value":
                if len(self._tail) > _VALUE_LIMIT + keep:
                    raise ClientError(f"{self._name} is too long", param=self._name)
            elif len(self._tail) > keep:
                self._drop(len(self._tail) - keep)
            return False
        if self._inside == "value":
            self._note(self._tail[:found])
        self._drop(found + len(self._delimiter))
        self._inside = "boundary"
        return True

    def _after_boundary(self) -> bool:
        end = self._tail.find(b"\r\n")
        if self._tail[:2] == b"--":
            self.over = True
            return False
        if end < 0:
            if len(self._tail) > _HEAD_LIMIT:
                raise _broken()
            return False
        if self._tail[:end].strip(b" \t"):
            raise _broken()
        # The line's end stays: a part may have no headers at all.
        self._drop(end)
        self._inside = "head"
        self._parts += 1
        if self._parts > _PARTS:
            raise ClientError("the form has too many parts", code="invalid_form")
        return True

    def _head(self) -> bool:
        end = self._tail.find(b"\r\n\r\n")
        if end < 0:
            if len(self._tail) > _HEAD_LIMIT:
                raise _broken()
            return False
        name = _name_in(self._tail[: end + 2].replace(b"\r\n", b"\n"))
        # The blank line's own end may be that before a boundary where the part is empty.
        self._drop(end + 2)
        self._name = name
        self._inside = "part"
        if name in self._wanted:
            if name in self.fields:
                raise ClientError(f"{name} occurs more than once in the form", param=name)
            self._inside = "value"
            self._value_at = self._at + 2
        return True

    def _note(self, text: bytes) -> None:
        value = text[2:]
        if len(value) > _VALUE_LIMIT:
            raise ClientError(f"{self._name} is too long", param=self._name)
        self.fields[self._name] = Field(value, self._value_at, self._value_at + len(value))

    def _drop(self, size: int) -> None:
        self._tail = self._tail[size:]
        self._at += size


def _name_in(head: bytes) -> str:
    lines = _DISPOSITION.findall(head)
    if len(lines) != 1:
        raise ClientError("a part of the form has no name, or several", code="invalid_form")
    names = _NAME.findall(lines[0])
    if len(names) != 1 or names[0][0].endswith(b"*"):
        raise ClientError("a part of the form has no name, or several", code="invalid_form")
    # Backslashes and percent signs are undone by some servers: what then reads as a field of ours is taken for it.
    plain = re.sub(rb"\\(.)", rb"\1", bytes(names[0][1] or names[0][2]))
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), plain)
    return plain.decode("utf-8", "replace").strip()


def _broken() -> ClientError:
    return ClientError("the body is no multipart form", code="invalid_form")
