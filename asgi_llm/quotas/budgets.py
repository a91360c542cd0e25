"""Quotas that the host's staff change while the gateway runs: read again every few seconds of use, and taken over
beside those of the settings. What was spent of one goes on counting when its limit changes.
"""

import logging
import time
from asyncio import Lock
from collections.abc import Callable, Sequence

from asgi_llm.errors import Kind, PolicyError
from asgi_llm.settings import QuotaSettings
from asgi_llm.stores.quotas import QuotaSource

from .rules import Rule, compile_rules

__all__ = ["FRESH", "Budgets", "unavailable"]

logger = logging.getLogger("asgi_llm.quotas")

FRESH = 5.0
"""Seconds for which the host is not asked again."""
_MOST = 1000
"""Quotas that are taken from a host: each request is held against all of them."""


class Budgets:
    """One event loop's view of them.

    Args:
        source: the host's.
        settled: the rules of the settings, whose names the host's cannot have.
        clock: seconds, from any beginning.
    """

    def __init__(
        self, source: QuotaSource, settled: Sequence[Rule], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._settled = tuple(settled)
        self._clock = clock
        self._given: Sequence[QuotaSettings] | None = None
        self._asked = float("-inf")
        self._lock = Lock()
        self.rules = self._settled

    @property
    def stale(self) -> bool:
        """Whether it is time to ask."""
        return self._clock() - self._asked >= FRESH

    async def refresh(self) -> tuple[Rule, ...]:
        """All rules, those of the settings first. While the host does not answer, it is as it was.

        Raises:
            PolicyError: the host never said which there are, so that nothing can be let pass.
        """
        if self._given is not None:
            # Whoever comes in the meantime goes on with what is known.
            self._asked = self._clock()
            await self._ask()
            return self.rules
        async with self._lock:
            if self.stale:
                if not await self._ask():
                    raise unavailable()
                self._asked = self._clock()
        return self.rules

    async def _ask(self) -> bool:
        try:
            given = list(await self._source.all())
        except Exception as error:  # noqa: BLE001  # whatever a host's database or driver raises
            logger.warning("the budgets cannot be read now: %s", type(error.__cause__ or error).__name__)
            return False
        if given != self._given:
            self.rules = self._settled + compile_rules(self._fitting(given))
            self._given = given
        return True

    def _fitting(self, given: Sequence[QuotaSettings]) -> list[QuotaSettings]:
        taken = {rule.settings.name for rule in self._settled}
        fitting: list[QuotaSettings] = []
        for quota in given:
            if quota.name in taken or len(fitting) >= _MOST:
                logger.error("the budget %s is left out: its name is taken, or there are too many", quota.name)
            else:
                taken.add(quota.name)
                fitting.append(quota)
        return fitting


def unavailable() -> PolicyError:
    """The refusal of what cannot be checked."""
    return PolicyError(
        "the quotas cannot be checked now; try again",
        kind=Kind.OVERLOADED,
        code="quota_store_unavailable",
        retry_after=5,
    )
