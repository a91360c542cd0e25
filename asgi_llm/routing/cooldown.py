"""Who asked to be left alone, and until when: workers and keys that said 429, or that they are overloaded.

Limits are told for one model, so a cooldown is for one model, too; others of the same worker or key go on. The clock
is the caller's: seconds of a monotonic clock.
"""

__all__ = ["ANY_MODEL", "Cooldown"]

ANY_MODEL = ""
"""For a cooldown that is not about one model."""

_MOST = 1024


class Cooldown:
    """Until when each is left alone.

    Attributes:
        ends: by name and model; empty while nobody cools down. To be read only.
    """

    __slots__ = ("_overloaded", "ends")

    def __init__(self) -> None:
        self.ends: dict[tuple[str, str], float] = {}
        self._overloaded: set[tuple[str, str]] = set()

    def begin(self, name: str, model: str, until: float, now: float, *, overloaded: bool = False) -> None:
        """A later end stands: who was told of two limits keeps to both. ``overloaded``: it has too much to do, rather
        than its caller used up what it may."""
        if len(self.ends) >= _MOST:
            self._prune(now)
        key = (name, model)
        if not overloaded:
            self._overloaded.discard(key)
        elif self.ends.get(key, 0.0) <= now:
            self._overloaded.add(key)
        self.ends[key] = max(until, self.ends.get(key, 0.0))

    def until(self, name: str, model: str, now: float) -> float:
        """When ``name`` may be asked for ``model`` again; 0 if it may be now."""
        return max(self._look(name, model, now), self._look(name, ANY_MODEL, now))

    def overloaded(self, name: str, model: str) -> bool:
        """Whether ``name``, which is left alone for ``model``, has too much to do and is at no limit."""
        return (name, model) in self._overloaded

    def entries(self, name: str, now: float) -> dict[str, float]:
        """Seconds left by model."""
        return {model: until - now for (who, model), until in self.ends.items() if who == name and until > now}

    def _look(self, name: str, model: str, now: float) -> float:
        until = self.ends.get((name, model), 0.0)
        if until and until <= now:
            self._forget((name, model))
            return 0.0
        return until

    def _prune(self, now: float) -> None:
        for key in [key for key, until in self.ends.items() if until <= now]:
            self._forget(key)
        if len(self.ends) >= _MOST:
            self._forget(min(self.ends, key=self.ends.__getitem__))

    def _forget(self, key: tuple[str, str]) -> None:
        del self.ends[key]
        self._overloaded.discard(key)
