"""A stream of events as one JSON array, whose elements are written as they come: what callers get who do not ask for
events. Spec: Gemini API, "streamGenerateContent" without ``alt=sse``."""

import msgspec

from asgi_llm.dialects.sse import Frame, SSEReader

__all__ = ["ArrayForm"]

_LIMIT = 2**30
"""Bytes of one event: whoever made the stream has kept to a smaller one."""


class ArrayForm:
    """See ``interface.StreamForm``. ``end`` must be called: until then another element may come."""

    __slots__ = ("_before", "_reader")

    def __init__(self) -> None:
        self._reader = SSEReader(_LIMIT)
        self._before = b"["

    def feed(self, data: bytes) -> bytes:
        return self._written(self._reader.feed(data))

    def end(self) -> bytes:
        return self._written(self._reader.end()) + self._close()

    def break_off(self, data: bytes) -> bytes:
        frames = [*self._reader.feed(data), *self._reader.end()]
        return self._written([frame for frame in frames if _is_json(frame.data)]) + self._close()

    def _close(self) -> bytes:
        return b"[]" if self._before == b"[" else b"]"

    def _written(self, frames: list[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            out += (self._before, frame.data)
            self._before = b",\r\n"
        return b"".join(out)


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
