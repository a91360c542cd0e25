"""Looks at a stream that passes through unchanged: usage, reason to finish, errors.

Every piece tells its usage anew and may be the last, so that each is looked at, but of its content nothing is built.
Usage is read from the piece that finishes, and now and then before it in case that never comes.
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.sse import FrameTooLargeError
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.usage import Usage

from .errors import in_band
from .raws import NULL, given
from .reader import PieceReader
from .usage import decode_usage

__all__ = ["GeminiWatcher"]

_EVERY = 8
"""Pieces after which usage is read, whether or not the stream is at its end."""
_ENDINGS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class _Candidate(Struct, rename="camel"):
    finish_reason: str | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Piece(Struct, rename="camel"):
    usage_metadata: Raw = NULL
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    error: Raw = NULL


_PIECE = msgspec.json.Decoder(_Piece)


class GeminiWatcher:
    """See ``interface.StreamWatcher``."""

    __slots__ = ("_last", "_reader", "_seen", "_unread", "ended", "failure", "finish", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.ended = False
        self.failure: UpstreamError | None = None
        self.finish: str | None = None
        self._reader: PieceReader | None = PieceReader()
        self._seen = b"\n\n"
        self._last = NULL
        self._unread = 0

    @property
    def over(self) -> bool:
        """There is no event that says so."""
        return False

    @property
    def at_boundary(self) -> bool:
        reader = self._reader
        if reader is not None and reader.is_array:
            return not reader.pending  # white space between elements means nothing
        return self._seen.endswith(_ENDINGS)

    def feed(self, data: bytes) -> None:
        self._seen = (self._seen + data[-4:])[-4:]
        if self._reader is None:
            return
        try:
            pieces = self._reader.feed(data)
        except FrameTooLargeError:
            self._reader = None  # too large to be looked at; what comes after it cannot be told apart
            return
        for piece in pieces:
            self._look(piece)

    def end(self) -> None:
        if self._reader is not None:
            for piece in self._reader.end():
                self._look(piece)
        self._read()

    def _read(self) -> None:
        if self._unread:
            self.usage = decode_usage(self._last) or self.usage
            self._unread = 0

    def _look(self, data: bytes) -> None:
        try:
            piece = _PIECE.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if given(piece.error) is not None:
            self.failure = in_band(data)
        if piece.usage_metadata != NULL:
            self._last = piece.usage_metadata
            self._unread += 1
        for candidate in piece.candidates or ():
            if candidate.finish_reason:
                self.finish = candidate.finish_reason
                self.ended = True
        if self._unread >= _EVERY or self.ended or self.usage is None:
            self._read()
        if not piece.candidates and piece.prompt_feedback is not None and piece.prompt_feedback.block_reason:
            self.finish = piece.prompt_feedback.block_reason
            self.ended = True
