"""Prices that the staff set."""

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from asgi_llm.settings import PriceSettings
from asgi_llm_django.models import Price

from .desk import Desk

__all__ = ["ORMPrices"]

logger = logging.getLogger("asgi_llm.stores")


class ORMPrices:
    """Implements ``PriceStore``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def all(self) -> Sequence[PriceSettings]:
        return await self._desk.read(_all)


def _all(database: str) -> list[PriceSettings]:
    found = []
    for row in Price.objects.using(database).order_by("rank", "id"):
        try:
            found.append(row.settings())
        except ValidationError:
            # Written past the forms. One bad price costs none of the others.
            logger.warning("the price %s in the database makes no sense and is left out", row.pk)
    return found
