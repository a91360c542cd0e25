"""What probes say about an address: a state machine that is told, and asks nobody."""

from typing import Literal

from asgi_llm.settings import HealthSettings

__all__ = ["Health", "HealthState"]

HealthState = Literal["starting", "ready", "unhealthy"]
"""``starting``: new, and not yet known to be well. ``unhealthy``: passed over."""


class Health:
    """One address's state.

    Every probe has a number, and its result counts only while no later probe's is known: a slow probe that was begun
    when all was well cannot bring back a worker that has been seen to fail since.

    Attributes:
        state: as told so far.
        probes: how many were begun.
    """

    __slots__ = ("_bad", "_failures", "_good", "_heard", "_successes", "probes", "state")

    def __init__(self, settings: HealthSettings, *, known: bool = True) -> None:
        """``known``: it is taken to be well until probes say otherwise, as those in the settings are."""
        self.state: HealthState = "ready" if known else "starting"
        self.probes = 0
        self._heard = 0
        self._good = 0
        self._bad = 0
        self._failures = settings.failures
        self._successes = settings.successes

    def begin(self) -> int:
        """A probe begins; the number to tell its result with."""
        self.probes += 1
        return self.probes

    def tell(self, probe: int, *, well: bool) -> bool:
        """The result of a probe; whether it changed the state."""
        if probe <= self._heard:
            return False
        self._heard = probe
        before = self.state
        if well:
            self._good, self._bad = self._good + 1, 0
            if self.state == "starting" or self._good >= self._successes:
                self.state = "ready"
        else:
            self._good, self._bad = 0, self._bad + 1
            if self._bad >= self._failures:
                self.state = "unhealthy"
        return self.state != before
