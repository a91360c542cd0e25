"""A stream of events as one JSON array, whose elements are written as they come: what callers get who do not ask for
events. Spec: Gemini API, "streamGenerateContent" without ``alt=sse``."""

from asgi_llm.dialects.sse import Frame, SSEReader

__all__ = ["ArrayForm"]

_LIMIT = 2**30
"""Bytes of one event: whoever made the stream has kept to a smaller one."""


class ArrayForm:
    """See ``interface.StreamFilter``. ``end`` must be called: until then another element may come."""

    __slots__ = ("_before", "_reader")

    def __init__(self) -> None:
        self._reader = SSEReader(_LIMIT)
        self._before = b"["

    def feed(self, data: bytes) -> bytes:
        if not data.strip():
            return data  # a keep-alive: white space between elements means nothing either
        return self._written(self._reader.feed(data))

    def end(self) -> bytes:
        return self._written(self._reader.end()) + (b"[]" if self._before == b"[" else b"]")

    def _written(self, frames: list[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            out += (self._before, frame.data)
            self._before = b",\r\n"
        return b"".join(out)
