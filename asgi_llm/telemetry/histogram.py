"""Counts of values by size. Plain lists: an observation is one look-up and two additions."""

from bisect import bisect_left

__all__ = ["DURATION", "FIRST_TOKEN", "PER_TOKEN", "TOKENS", "Bounds", "Count", "Histogram"]

Bounds = tuple[float, ...]
"""Upper limits in ascending order; each counts itself."""

# The limits of the conventions, with more above them: long answers and long thoughts take minutes.
DURATION: Bounds = tuple(0.01 * 2**step for step in range(18))
"""Seconds, up to about twenty minutes."""
FIRST_TOKEN: Bounds = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
)  # fmt: skip
"""Seconds."""
PER_TOKEN: Bounds = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Seconds."""
TOKENS: Bounds = tuple(float(4**step) for step in range(14))


class Count:
    """A number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Histogram:
    """``counts`` has one more than there are bounds: what is larger than all of them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)
