"""What a policy is given, and what it is told.

A policy belongs to one event loop. It keeps its own state and reads everything else from its arguments; a clock and a
source of randomness are handed to it when it is made.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from asgi_llm.routing.text import NO_TEXT, RoutingText

__all__ = ["NO_FACTS", "NO_KEYS", "Candidate", "Clock", "Facts", "Keys", "Policy", "Random"]


class Candidate(Protocol):
    """A worker that may be picked."""

    @property
    def key(self) -> str:
        """Who it is, the same in every process and after every restart: its base URL."""

    @property
    def weight(self) -> float:
        """Its share of the work beside the others'; greater than 0."""

    @property
    def load(self) -> int:
        """The number of exchanges it works on now."""


C = TypeVar("C", bound=Candidate)


class Keys(NamedTuple):
    """What ties a request to a worker.

    ``origins`` name what one worker made and perhaps only it can read, the newest first: a stored response, encrypted
    reasoning. ``sessions`` name what belongs together, the caller's own word first. A key holds the scope of the
    caller, so that callers cannot meet in one by accident or on purpose.
    """

    origins: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


NO_KEYS = Keys()


class Facts(Struct):
    """What is known of a request. Its text and keys are read when a policy asks for them, and once.

    Attributes:
        model: the upstream's name of the model.
        length: of the request, in bytes of its body.
        read_text: see ``routing.text``.
        read_keys: see ``affinity``.
        prints, had: what cache_aware keeps of the text from ``pick`` to ``ended``.
    """

    model: str = ""
    length: int = 0
    read_text: Callable[[], RoutingText] | None = None
    read_keys: Callable[[], Keys] | None = None
    prints: bytes = b""
    had: int = 0
    _text: RoutingText | None = None
    _keys: Keys | None = None

    def text(self) -> RoutingText:
        if self._text is None:
            self._text = NO_TEXT if self.read_text is None else self.read_text()
        return self._text

    def keys(self) -> Keys:
        if self._keys is None:
            self._keys = NO_KEYS if self.read_keys is None else self.read_keys()
        return self._keys


NO_FACTS = Facts()
"""Of requests to workers that are chosen without them."""


class Policy(Protocol):
    """Picks one of several workers. A policy has to say what ``pick`` does; what it is told it may ignore."""

    __slots__ = ()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        """One of ``candidates``: the workers that may serve the request now, at least one, each of them once.

        A worker that was tried already, or whose breaker is open, is not among them. The same sequence, given again,
        holds the same workers. Nothing is remembered of a pick until ``sent`` follows.
        """

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        """The request goes to ``candidate``, whose load has just risen by it. ``ended`` follows, whatever happens."""
        return

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        """The attempt is over. ``served`` is False when the worker did not take the request up, so that nothing of it
        can be in the worker's cache."""
        return

    def produced(self, candidate: Candidate, origins: Sequence[str]) -> None:
        """``candidate`` has made things that later requests will name in ``Keys.origins``."""
        return

    def joined(self, candidate: Candidate) -> None:
        """A worker is new, or has come back with nothing in its cache."""
        return

    def left(self, candidate: Candidate) -> None:
        """A worker is gone for good. It may be called for one that never joined."""
        return


Random = Callable[[], float]
"""A number from 0 up to but not including 1."""
Clock = Callable[[], float]
"""Seconds of a monotonic clock."""
