"""The API keys of a target that has several: whose turn it is, which are cooling down, which were refused.

A key is known by its number, counted from 0 in the order of the settings; it is never shown.
"""

import logging
from collections.abc import Sequence

from asgi_llm.errors import UpstreamError
from asgi_llm.routing.cooldown import ANY_MODEL, Cooldown
from asgi_llm.routing.retry import cooling
from asgi_llm.types import Headers

__all__ = ["KeyPool"]

logger = logging.getLogger("asgi_llm")

_REFUSED = 300.0
"""Seconds for which a key that was refused, or has no money left, is passed over."""
_SILENT = 1.0
"""Seconds for which one is passed over that said 429 without saying for how long."""
_DRESSED = 256

Fixed = tuple[tuple[bytes, bytes], ...]


class KeyPool:
    """Takes the keys by turns, leaving out those that cannot serve a model now."""

    __slots__ = ("_cooldown", "_credentials", "_dressed", "_longest", "_next", "_refused", "_target")

    def __init__(self, target: str, credentials: Sequence[Headers], longest: float) -> None:
        """``credentials`` are the headers that carry each key; ``longest`` is for how many seconds a key can cool."""
        self._target = target
        self._credentials = [tuple(headers) for headers in credentials]
        self._longest = longest
        self._cooldown = Cooldown()
        self._refused = Cooldown()
        self._next = 0
        self._dressed: dict[tuple[Fixed, int], Fixed] = {}

    def __len__(self) -> int:
        return len(self._credentials)

    def pick(self, now: float, model: str) -> int:
        """The key whose turn it is. Where none can serve, the one that can soonest, and where all were refused, one
        of those: only the upstream knows whether they still are."""
        count = len(self._credentials)
        order = [(self._next + step) % count for step in range(count)]
        found = order[0]
        if self._cooldown.ends or self._refused.ends:
            found = min(order, key=lambda key: (self._out(key, model, now), self._until(key, model, now)))
        self._next = (found + 1) % count
        return found

    def ready(self, now: float, model: str) -> float:
        """When some key is not at its limit any more; 0 if one is not now."""
        if not self._cooldown.ends:
            return 0.0
        keys = range(len(self._credentials))
        good = [key for key in keys if not self._out(key, model, now)] or keys
        return min(self._until(key, model, now) for key in good)

    def accepted(self, now: float, model: str) -> bool:
        """Whether there is a key that was not refused lately, though it may be at its limit."""
        return not all(self._out(key, model, now) for key in range(len(self._credentials)))

    def _until(self, key: int, model: str, now: float) -> float:
        return self._cooldown.until(_name(key), model, now)

    def _out(self, key: int, model: str, now: float) -> bool:
        return self._refused.until(_name(key), model, now) > 0

    def dress(self, fixed: Fixed, key: int) -> Fixed:
        """``fixed`` headers with this key's credentials in place of those that they have."""
        known = self._dressed.get((fixed, key))
        if known is None:
            own = self._credentials[key]
            names = {name for name, _ in own}
            known = (*(pair for pair in fixed if pair[0] not in names), *own)
            if len(self._dressed) >= _DRESSED:
                self._dressed.clear()
            self._dressed[fixed, key] = known
        return known

    def failed(self, key: int, error: UpstreamError, model: str, now: float) -> None:
        """An attempt with the key was answered with what is about the key."""
        seconds = cooling(error)
        if seconds is not None:
            if seconds := min(seconds or _SILENT, self._longest):
                self._cooldown.begin(_name(key), model, now + seconds, now)
            return
        # A 403 may be about the model alone.
        self._refused.begin(_name(key), model if error.upstream_status == 403 else ANY_MODEL, now + _REFUSED, now)
        logger.warning(
            "target %s: key %d was refused (%s) and is passed over for %d seconds",
            self._target,
            key,
            error.upstream_status or error.code,
            _REFUSED,
        )

    def out(self, key: int, now: float) -> dict[str, float]:
        """Seconds for which the key is passed over, by model ("" stands for all)."""
        return self._cooldown.entries(_name(key), now) | self._refused.entries(_name(key), now)

    def __repr__(self) -> str:
        return f"<KeyPool {self._target} keys={len(self)}>"


def _name(key: int) -> str:
    return str(key)
