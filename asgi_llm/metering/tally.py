"""How much an answer said, roughly, in case nobody counts it. Cheap to keep, and of constant size.

Of a stream every event is counted, but only some are looked at: the first ones, and then a few of many. What the
others say is taken to be alike.
"""

import re

from msgspec import structs

from asgi_llm.neutral.usage import Usage

__all__ = ["Tally", "come_so_far", "whole_tokens"]

_BYTES_PER_TOKEN = 4
_TEXT = re.compile(
    rb'"(?:content|text|thinking|reasoning|reasoning_content|partial_json|arguments|refusal)"\s*:\s*"((?:[^"\\]|\\.)*)"'
)
_DELTA = re.compile(rb'"delta"\s*:\s*"((?:[^"\\]|\\.)*)"')
"""Where deltas are texts themselves, other events repeat what they said."""
_FIRST, _EVERY = 8, 16


class Tally:
    """Of one stream of events."""

    __slots__ = ("_deltas", "_events", "_pieces", "_seen", "_texts")

    def __init__(self) -> None:
        self._pieces = 0
        self._events = 0
        self._seen = 0
        self._texts = [0, 0]
        self._deltas = [0, 0]

    def feed(self, data: bytes) -> None:
        """Bytes of the stream, as they come."""
        self._pieces = pieces = self._pieces + 1
        self._events += (events := data.count(b"\n\n"))
        if pieces > _FIRST and pieces % _EVERY:
            return
        self._seen += events
        for found in _DELTA.finditer(data):
            _add(self._deltas, found)
        for found in _TEXT.finditer(data):
            _add(self._texts, found)

    def tokens(self) -> int:
        """An estimate of the output so far."""
        texts, size = self._deltas if self._deltas[0] else self._texts
        # A text is a token at least, or it would not have been sent.
        tokens = max(size // _BYTES_PER_TOKEN, texts)
        return tokens * max(self._events, 1) // max(self._seen, 1)


def _add(sums: list[int], found: re.Match[bytes]) -> None:
    if size := found.end(1) - found.start(1):
        sums[0] += 1
        sums[1] += size


def whole_tokens(body: bytes) -> int:
    """An estimate of the output in a whole answer."""
    return sum(found.end(1) - found.start(1) for found in _TEXT.finditer(body)) // _BYTES_PER_TOKEN


def come_so_far(usage: Usage, said: Tally) -> Usage:
    """``usage`` as it was told before an answer broke off, with as much output as had come by then: some tell of it at
    their end, and of next to nothing at their beginning."""
    output = said.tokens()
    if output <= usage.output:
        return usage
    if usage.rounds is not None:  # in the last of them
        *before, last = usage.rounds
        last = structs.replace(last, visible=(last.visible or 0) + output - usage.output, estimated=True)
        usage = structs.replace(usage, rounds=(*before, last))
    return structs.replace(usage, visible=output - (usage.reasoning or 0), estimated=True)
