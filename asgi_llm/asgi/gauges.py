"""What metrics are looked up when somebody asks for them: how workers, queues, quotas and the ledger stand now."""

from collections.abc import Iterable, Iterator

from asgi_llm.fleet.crew import Crew
from asgi_llm.fleet.standing import Standing, standing
from asgi_llm.routing.balance.cache_aware import CacheAware
from asgi_llm.runtime import Runtime
from asgi_llm.telemetry.family import Family

__all__ = ["families"]

_BREAKERS = ("closed", "half_open", "open")
_STATES = ("ready", "starting", "unhealthy", "draining")
Labels = tuple[str, ...]


def families(runtimes: Iterable[Runtime]) -> list[Family]:
    """Of all event loops of a process together; those of a worker are of whichever loop it fares worst in."""
    open_ones = list(runtimes)
    standings = [standing(crew, _now(one)) for one in open_ones for crew in list(one.fleet.crews.values())]
    active = float(sum(one.active for one in open_ones))
    return [
        Family.gauge("asgi_llm_requests_in_flight", "Requests that are served now.", (), [((), active)]),
        *_of_workers(standings),
        *_of_targets(standings),
        *_of_caches([crew for one in open_ones for crew in list(one.fleet.crews.values())]),
        *_of_stores(open_ones),
    ]


def _now(runtime: Runtime) -> float:
    return runtime.fleet.clock()


def _of_workers(standings: list[Standing]) -> Iterator[Family]:
    load: dict[Labels, float] = {}
    cooling: dict[Labels, float] = {}
    breakers: dict[Labels, float] = {}
    states: dict[Labels, float] = {}
    for one in standings:
        for worker in one.workers:
            key = (one.target, worker.name)
            load[key] = load.get(key, 0) + worker.load
            cooling[key] = max(cooling.get(key, 0), *worker.cooling.values(), 0)
            breakers[key] = max(breakers.get(key, 0), _BREAKERS.index(worker.breaker))
            states[key] = max(states.get(key, 0), _STATES.index(worker.state) if worker.state in _STATES else 0)
    names = ("target", "worker")
    yield Family.gauge("asgi_llm_worker_load", "Requests that a worker works on.", names, load.items())
    yield Family.gauge("asgi_llm_worker_cooldown_seconds", "For how long it is left alone yet.", names, cooling.items())
    yield _one_of("asgi_llm_worker_breaker", "Whether requests are let through to it.", _BREAKERS, breakers)
    yield _one_of("asgi_llm_worker_state", "Its health.", _STATES, states)


def _one_of(name: str, told: str, words: tuple[str, ...], values: dict[Labels, float]) -> Family:
    """A series for each word, of which the one is 1 that is so."""
    found = [((*key, word), float(words[int(value)] == word)) for key, value in values.items() for word in words]
    return Family.gauge(name, told, ("target", "worker", "state"), found)


def _of_targets(standings: list[Standing]) -> Iterator[Family]:
    waiting: dict[Labels, float] = {}
    inside: dict[Labels, float] = {}
    retries: dict[Labels, float] = {}
    keys: dict[Labels, float] = {}
    for one in standings:
        key = (one.target,)
        waiting[key] = waiting.get(key, 0) + one.waiting
        inside[key] = inside.get(key, 0) + one.inside
        retries[key] = retries.get(key, 0) + one.retries
        for item in one.keys:
            number = (one.target, str(item.number))
            keys[number] = max(keys.get(number, 0), *item.out.values(), 0)
    names = ("target",)
    yield Family.gauge("asgi_llm_target_queue", "Requests that wait for a place.", names, waiting.items())
    yield Family.gauge("asgi_llm_target_places_taken", "Requests that have one.", names, inside.items())
    yield Family.gauge("asgi_llm_target_retry_budget", "Retries that may be made now.", names, retries.items())
    yield Family.gauge(
        "asgi_llm_key_cooldown_seconds", "For how long a key is left alone yet.", ("target", "key"), keys.items()
    )


def _of_caches(crews: list[Crew]) -> Iterator[Family]:
    """How the choice by what workers have in their caches goes."""
    choices: dict[Labels, float] = {}
    shares: dict[Labels, float] = {}
    for crew in crews:
        if isinstance(policy := crew.policy, CacheAware):
            name = crew.target.name
            shares[name,] = shares.get((name,), 0) + policy.shares
            for way, count in zip(("cache", "owner"), policy.followed, strict=True):
                choices[name, way] = choices.get((name, way), 0) + count
    if choices:
        yield Family.total(
            "asgi_llm_cache_aware_choices",
            "Workers chosen by what they have seen of the text (cache), or whose it is (owner).",
            ("target", "by"),
            choices.items(),
        )
        yield Family.total(
            "asgi_llm_cache_aware_share",
            "The share of each text that a worker had seen, added up.",
            ("target",),
            shares.items(),
        )


def _of_stores(runtimes: list[Runtime]) -> Iterator[Family]:
    gates = [one.gate for one in runtimes if one.gate is not None]
    if gates:
        waiting = float(sum(gate.waiting for gate in gates))
        yield Family.gauge("asgi_llm_queue", "Requests that wait for the gateway itself.", (), [((), waiting)])
    ledgers = [one.ledger for one in runtimes if one.ledger is not None]
    if ledgers:
        rows = float(sum(len(ledger) for ledger in ledgers))
        failing = float(any(ledger.failing for ledger in ledgers))
        dropped: dict[Labels, float] = {(): float(sum(ledger.dropped for ledger in ledgers))}
        yield Family.gauge("asgi_llm_ledger_queue", "Rows that wait to be written.", (), [((), rows)])
        yield Family.gauge("asgi_llm_ledger_failing", "Whether they cannot be.", (), [((), failing)])
        yield Family.total("asgi_llm_ledger_dropped_rows", "Rows that were lost.", (), dropped.items())
