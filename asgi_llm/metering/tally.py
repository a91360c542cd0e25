"""How much an answer said, roughly, in case nobody counts it. Cheap to keep, and of bounded size.

Of a stream only its size, its number of events and one of them are kept: what an event has around its text is about
the same in all of them.
"""

import re

__all__ = ["Tally", "whole_tokens"]

_BYTES_PER_TOKEN = 4
_TEXT = re.compile(
    rb'"(?:content|text|delta|thinking|reasoning|reasoning_content|partial_json|arguments|refusal)"\s*:\s*'
    rb'"((?:[^"\\]|\\.)*)"'
)
_SAMPLE = 8192


class Tally:
    """Of one answer."""

    __slots__ = ("_events", "_sample", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._events = 0
        self._sample = b""

    def feed(self, data: bytes) -> None:
        """Bytes of a stream of events, as they come."""
        self._size += len(data)
        self._events += data.count(b"\n\n")
        self._sample = data

    def tokens(self) -> int:
        """An estimate of the output so far."""
        sample = self._sample[-_SAMPLE:]
        events = max(self._events, 1)
        around = (len(sample) - _spoken(sample)) // max(sample.count(b"\n\n"), 1)
        text = max(self._size - events * around, 0)
        # No event that says anything is less than a token; the first and the last say nothing.
        return max(text // _BYTES_PER_TOKEN, events - 2, 0)


def _spoken(data: bytes) -> int:
    """Bytes of text in the JSON of ``data``."""
    return sum(len(found.group(1)) for found in _TEXT.finditer(data))


def whole_tokens(body: bytes) -> int:
    """An estimate of the output in a whole answer."""
    return _spoken(body) // _BYTES_PER_TOKEN
