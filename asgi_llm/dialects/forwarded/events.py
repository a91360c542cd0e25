"""Looks at the streams of forwarded endpoints, which pass through unchanged.

Events of images and audio have a type; the last one ends in ``.completed`` or ``.done`` and has the usage. SGLang's
``/generate`` has none: there ``[DONE]`` is the end, and every event counts.
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.dialects.sse import Frame, FrameTooLargeError, SSEReader
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.usage import Usage, merge

from .answer import read_usage

__all__ = ["EventWatcher"]


class _Event(Struct, gc=False):
    type: str = ""
    error: Raw = Raw()
    usage: Raw = Raw()
    meta_info: Raw = Raw()


_event = msgspec.json.Decoder(_Event)


class EventWatcher:
    """See ``StreamWatcher``."""

    def __init__(self) -> None:
        self._reader = SSEReader()
        self._blind = False
        self.usage: Usage | None = None
        self.ended = False
        self.failure: UpstreamError | None = None
        self.finish: str | None = None

    @property
    def over(self) -> bool:
        """Nobody knows of all of these streams."""
        return False

    @property
    def at_boundary(self) -> bool:
        return not self._reader.pending

    def feed(self, data: bytes) -> None:
        if self._blind:
            return
        try:
            frames = self._reader.feed(data)
        except FrameTooLargeError:
            # It passes on unseen, and must be taken for whole.
            self._blind = self.ended = True
            return
        for frame in frames:
            self._look(frame)

    def end(self) -> None:
        for frame in self._reader.end():
            self._look(frame)

    def _look(self, frame: Frame) -> None:
        if frame.data[:6] == b"[DONE]":
            self.ended = True
            return
        try:
            event = _event.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if bytes(event.error) not in (b"", b"null") or event.type == "error":
            self.failure = _failure(frame.data)
        elif said := event.usage or event.meta_info:
            self.usage = merge(self.usage, read_usage(said))
        if event.type.endswith((".completed", ".done")):
            self.ended, self.finish = True, event.type


def _failure(data: bytes) -> UpstreamError:
    """In the words of OpenAI's errors, whatever the status is that one would have had."""
    told = DIALECTS["chat"].decode_error(500, [], data)
    return UpstreamError(told.message, cause=Cause.IN_BAND, kind=told.kind, code=told.code)
