"""What a model says, before any dialect writes it.

The builders in ``chat``, ``gemini``, ``messages`` and ``responses`` are written from the providers' public API
references alone and share no code with the gateway's own dialects, so that they can prove these wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from .answer import Step

__all__ = ["CREATED", "Call", "Options", "Piece", "Reply", "Tokens", "cut"]

CREATED = 1_700_000_000
"""Every built answer was created at this second."""

Piece = str | Step
"""A piece of streamed text, or something to happen between two of them."""


@dataclass(frozen=True, slots=True)
class Call:
    """The model calls a function; ``arguments`` is JSON text."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Token counts as totals: ``input`` includes ``cached`` and ``written``, ``output`` includes ``reasoning``."""

    input: int = 9
    output: int = 12
    cached: int = 0
    written: int = 0
    reasoning: int = 0


class Options(TypedDict, total=False):
    """What every builder takes besides the text."""

    calls: Sequence[Call]
    reasoning: str
    """Thoughts before the text (``reasoning_content``, a thinking block, a reasoning item's summary)."""
    tokens: Tokens | None
    """None: the usage is left out."""
    finish: str | None
    """The dialect's own word (``finish_reason``, ``stop_reason``, ``status``); by default what fits the content."""
    model: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """All of it, with the defaults."""

    pieces: tuple[Piece, ...]
    calls: Sequence[Call] = ()
    reasoning: str = ""
    tokens: Tokens | None = Tokens()
    finish: str | None = None
    model: str = "test-model"
    id: str | None = None

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))


def cut(text: str, size: int = 7) -> Iterable[str]:
    """Text in the uneven pieces in which models stream it."""
    return (text[start : start + size] for start in range(0, len(text), size))
