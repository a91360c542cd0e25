"""Quotas that the staff set."""

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from asgi_llm.settings import QuotaSettings
from asgi_llm_django.models import Budget

from .desk import Desk

__all__ = ["ORMBudgets"]

logger = logging.getLogger("asgi_llm.stores")


class ORMBudgets:
    """Implements ``QuotaSource``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bad: set[str] = set()

    async def all(self) -> Sequence[QuotaSettings]:
        found, bad = await self._desk.read(_all)
        for name in bad - self._bad:
            logger.error("the budget %s in the database makes no sense and is left out", name)
        self._bad = bad
        return found


def _all(database: str) -> tuple[list[QuotaSettings], set[str]]:
    """Those that make sense, and the names of the others."""
    found, bad = [], set()
    for row in Budget.objects.using(database).filter(active=True).order_by("name"):
        try:
            found.append(row.settings())
        except ValidationError:
            # Written past the forms. One bad budget costs none of the others.
            bad.add(row.name)
    return found, bad
