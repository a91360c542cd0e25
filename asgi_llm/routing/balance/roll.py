"""Many candidates that are given again and again, so that what is worked out about all of them can be kept.

A fleet gives the same sequence as long as nobody has to be passed over. In all other cases, and with a few candidates,
looking at all of them is as good.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from .interface import Candidate

__all__ = ["STALE", "Roll"]

C = TypeVar("C", bound=Candidate)

_MANY = 16
"""Below that a look at all of them costs less than to keep count."""
STALE = 8
"""For how many changes of each candidate there is room. Who hears of more without being asked about these candidates
forgets them: perhaps they are not given any more."""


class Roll(Generic[C]):
    """Belongs to one policy. What it keeps is worked out anew from time to time, which costs as much as a look at each,
    spread over as many picks: what nobody told of is made good by that.

    Attributes:
        kept: whether anything is kept.
        candidates: about whom, where it is.
    """

    __slots__ = ("_last", "_left", "candidates", "kept")

    def __init__(self) -> None:
        self.kept = False
        self.candidates: Sequence[C] = ()
        self._last: Sequence[C] = ()
        self._left = 0

    def knows(self, candidates: Sequence[C]) -> bool:
        """Whether what is kept is about ``candidates``."""
        if candidates is self.candidates:
            self._left -= 1
            if self._left <= 0 and self.kept:
                self.count()
            return self.kept
        if candidates is not self._last:
            # Most that are not known are made for one request, and do not come again.
            self._last = candidates
            return False
        self.candidates, self._last = candidates, ()
        self.kept = len(candidates) >= _MANY
        if self.kept:
            self.met()
            self.count()
        return self.kept

    def forget(self) -> None:
        """As if they had never been given."""
        self.kept = False
        self.candidates = self._last = ()

    def met(self) -> None:
        """The candidates are others than before."""
        return

    def count(self) -> None:
        """Looks at each of them."""
        self._left = len(self.candidates)
