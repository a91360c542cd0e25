"""What an answer holds that perhaps only the worker who gave it can read: the id of a stored response, sealed thoughts.

Looks at the bytes that go to the caller, in whatever dialect, since those come back with its next request
(``affinity.py`` reads them there).
"""

import re

import msgspec

from .affinity import sealed_origin, stored_origin

__all__ = ["Produced"]

_LONGEST = 4 * 1024 * 1024
"""Bytes of one line (of a stream) or of a whole answer that are looked at."""
_MOST = 16
"""Sealed thoughts of one answer that are remembered, the last ones: what comes next is asked with those."""

_SEALED = re.compile(rb'"(?:encrypted_content|signature|thoughtSignature|thought_signature)"\s*:\s*("(?:[^"\\]|\\.)+")')
_REDACTED = re.compile(rb'"data"\s*:\s*("(?:[^"\\]|\\.)+")')
_STORED = re.compile(rb'"id"\s*:\s*"(resp_[!#-\[\]-~]{1,250})"')


class Produced:
    """Of one answer. Fed with all of its bytes, however they are cut."""

    __slots__ = ("_rest", "_sealed", "_stored")

    def __init__(self) -> None:
        self._rest = b""
        self._sealed: dict[str, None] = {}
        self._stored: str | None = None

    def feed(self, data: bytes) -> None:
        whole, line_end, rest = data.rpartition(b"\n")
        if line_end:
            self._look(self._rest + whole)
            self._rest = rest
        else:
            self._rest += data
        if len(self._rest) > _LONGEST:
            self._rest = b""

    def origins(self, scope: str) -> list[str]:
        """The keys of what was found; ``scope`` is the caller's. To be called at the end."""
        self._look(self._rest)
        self._rest = b""
        found = [sealed_origin(scope, content) for content in self._sealed]
        return found if self._stored is None else [stored_origin(scope, self._stored), *found]

    def _look(self, text: bytes) -> None:
        if self._stored is None and (stored := _STORED.search(text)):
            self._stored = stored.group(1).decode("ascii")
        for match in _SEALED.finditer(text):
            self._keep(match.group(1))
        if b'"redacted_thinking"' in text:
            for match in _REDACTED.finditer(text):
                self._keep(match.group(1))

    def _keep(self, quoted: bytes) -> None:
        try:
            self._sealed[msgspec.json.decode(quoted, type=str)] = None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if len(self._sealed) > _MOST:
            del self._sealed[next(iter(self._sealed))]
