"""What surrounds every input: a limit on its time, and ids that are the same each time."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from asgi_llm.dialects import interface

__all__ = ["TooSlowError", "limited", "numbered_ids"]


class TooSlowError(BaseException):
    """An input took too long. Nothing that catches ``Exception`` swallows it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupts what takes more than ``seconds`` of the processor's time; other work on the machine does not count."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def numbered_ids() -> None:
    """From here on minted ids are numbered, so that two readings of one stream can be compared."""
    numbers = itertools.count(1)
    interface.getrandbits = lambda _bits: next(numbers)  # type: ignore[attr-defined]  # what it imports
