"""How a target and its workers stand now: what was held against whom, and for how long. For people; nothing decides by
it."""

from msgspec import Struct

from .crew import Crew

__all__ = ["KeyStanding", "Standing", "WorkerStanding", "standing"]


class WorkerStanding(Struct, frozen=True):
    """``state`` is ``starting``, ``ready``, ``unhealthy`` or ``draining``; ``breaker`` ``closed``, ``open`` or
    ``half_open``; ``cooling`` the seconds for which it is left alone, by model; ``load`` the exchanges it works on."""

    name: str
    state: str
    breaker: str
    load: int
    cooling: dict[str, float]


class KeyStanding(Struct, frozen=True):
    """A key by its number. ``out``: the seconds for which it is passed over, by model ("" stands for all)."""

    number: int
    out: dict[str, float]


class Standing(Struct, frozen=True):
    """``retries`` are those that the budget has now; ``inside`` the exchanges that have a place at the target, and
    ``waiting`` those that wait for one, where there is a limit."""

    target: str
    workers: tuple[WorkerStanding, ...]
    keys: tuple[KeyStanding, ...]
    retries: int
    inside: int = 0
    waiting: int = 0


def standing(crew: Crew, now: float) -> Standing:
    """``now`` is seconds of the loop's clock."""
    restraint = crew.restraint
    keys, gate = restraint.keys, restraint.gate
    return Standing(
        target=crew.target.name,
        workers=tuple(
            WorkerStanding(
                worker.name,
                worker.station.state,
                worker.breaker.state(now),
                worker.load,
                restraint.cooldown.entries(worker.name, now),
            )
            for worker in crew.workers
        ),
        keys=() if keys is None else tuple(KeyStanding(number, keys.out(number, now)) for number in range(len(keys))),
        retries=int(restraint.budget.left(now)),
        inside=gate.inside if gate is not None else 0,
        waiting=gate.waiting if gate is not None else 0,
    )
