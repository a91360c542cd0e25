"""Names that may become labels, and no more of them than were agreed upon.

Callers can invent names of models without end, and each would be a time series for ever. A name is taken up when it
has proved to be one: a request for it was served. Until then, and once all places are taken, it is ``other``.
"""

from collections.abc import Iterable

__all__ = ["OTHER", "Names"]

OTHER = "other"
_LONGEST = 200
"""Characters of a name that can be taken up."""


class Names:
    """Remembers at most ``most`` names; those in ``known`` are there from the start."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self.limit(most, known)

    def limit(self, most: int, known: Iterable[str] = ()) -> None:
        """From now on. What was taken up before stays."""
        self._most = most
        self._known |= set(sorted(known)[: max(0, most - len(self._known))])

    def label(self, name: str, *, proven: bool) -> str:
        """What ``name`` is called. ``proven``: from now on it may have a label of its own."""
        if name in self._known:
            return name
        if not proven or not name or len(self._known) >= self._most or len(name) > _LONGEST:
            return OTHER if name else ""
        self._known.add(name)
        return name
