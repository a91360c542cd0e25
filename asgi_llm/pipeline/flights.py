"""Requests to which an answer is under way already, so that nobody need ask the upstream for it again.

The first of several that ask the same leads; the others wait until its answer is kept and take that. Where the leader
leaves or fails, one of those that wait takes its place; where its answer is none to keep, each asks for itself.
"""

import asyncio
from typing import Literal

from asgi_llm.stores.scope import Scope

__all__ = ["Ending", "Flight", "Flights"]

Ending = Literal["kept", "unkept", "lost"]
"""``kept``: the answer is where answers are kept. ``unkept``: it was given and is not kept. ``lost``: there is none."""


_MOST = 1000
"""So many wait at a time; whoever comes then asks for itself, and takes its place in the queue, where there is one."""


class Flight:
    """One leader's way to an answer."""

    __slots__ = ("_flights", "_landed", "_place", "ending")

    def __init__(self, flights: "Flights", place: tuple[Scope, str]) -> None:
        self._flights = flights
        self._place = place
        self._landed = asyncio.Event()
        self.ending: Ending = "lost"

    def land(self, ending: Ending) -> None:
        """It is over; only the first word counts."""
        if not self._landed.is_set():
            self.ending = ending
            self._flights.forget(self._place, self)
            self._landed.set()

    async def landed(self, until: float) -> Ending | None:
        """How it ends; None where it has not by ``until``, of the loop's clock, or too many wait already."""
        if self._flights.followers >= _MOST:
            return None
        self._flights.followers += 1
        try:
            async with asyncio.timeout_at(until):
                await self._landed.wait()
        except TimeoutError:
            return None
        finally:
            self._flights.followers -= 1
        return self.ending


class Flights:
    """Those of one event loop, and how many ``followers`` they have."""

    __slots__ = ("_under_way", "followers")

    def __init__(self) -> None:
        self._under_way: dict[tuple[Scope, str], Flight] = {}
        self.followers = 0

    def find(self, scope: Scope, key: str) -> Flight | None:
        return self._under_way.get((scope, key))

    def lead(self, scope: Scope, key: str) -> Flight:
        """Begins one, where there is none."""
        flight = self._under_way[scope, key] = Flight(self, (scope, key))
        return flight

    def forget(self, place: tuple[Scope, str], flight: Flight) -> None:
        if self._under_way.get(place) is flight:
            del self._under_way[place]

    def __len__(self) -> int:
        return len(self._under_way)
