"""A fleet of many workers: what is found by keeping count is what a look at all of them finds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.bucket import Bucket, BucketOptions
from asgi_llm.routing.balance.cache_aware import CacheAware, CacheAwareOptions
from asgi_llm.routing.balance.consistent_hash import ConsistentHash
from asgi_llm.routing.balance.interface import Facts, Policy
from asgi_llm.routing.balance.least_load import LeastLoad, Report
from asgi_llm.routing.balance.prefix_hash import PrefixHash
from asgi_llm.routing.balance.random import RandomPolicy
from asgi_llm.routing.balance.weighted import Weighted
from asgi_llm.routing.text import RoutingText


class Worker:
    """Counts how often somebody asked for its load."""

    def __init__(self, number: int, weight: float) -> None:
        self.key = f"http://10.0.0.{number}:8000"
        self.weight = weight
        self.held = 0
        self.looks = 0

    @property
    def load(self) -> int:
        self.looks += 1
        return self.held


def said(conversation: int, turns: int) -> Facts:
    opening = f"You help with {conversation}. " * 20
    text = opening + "".join(f"turn {turn} of {conversation}, and so on. " * 20 for turn in range(turns))
    found = RoutingText(text, len(opening))
    return Facts(model="m", length=len(text), read_text=lambda: found)


def cache_aware() -> Policy:
    return CacheAware(CacheAwareOptions(patience=3, spare=2, max_holders=3), clock=lambda: 0.0)


def bucket() -> Policy:
    return Bucket(BucketOptions(imbalance_length=2000), clock=lambda: 0.0)


MAKERS: list[Callable[[], Policy]] = [cache_aware, ConsistentHash, LeastLoad, PrefixHash, bucket]


@pytest.mark.parametrize("make", MAKERS)
@given(seed=st.integers(0, 2**32), weights=st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=32, max_size=40))
def test_count_or_look_the_choice_is_the_same(make: Callable[[], Policy], seed: int, weights: list[float]) -> None:
    """One policy is given the same list again and again, the other a new one each time; somebody is tried now and then,
    and some of what ends is told of only in part."""
    chance = random.Random(seed)
    workers = [Worker(number, weight) for number, weight in enumerate(weights)]
    counts, looks = make(), make()
    running: list[tuple[Worker, Facts, Facts]] = []
    for _ in range(120):
        here = workers if chance.random() < 0.9 else chance.sample(workers, chance.choice([3, 32]))
        conversation, turns = chance.randrange(6), chance.randrange(4)
        first, second = said(conversation, turns), said(conversation, turns)
        picked = counts.pick(here, first)
        assert looks.pick(list(here), second) is picked
        picked.held += 1
        counts.sent(picked, first)
        looks.sent(picked, second)
        running.append((picked, first, second))
        while running and chance.random() < 0.4:
            worker, one, other = running.pop(chance.randrange(len(running)))
            worker.held -= 1
            counts.ended(worker, one)
            looks.ended(worker, other)


@pytest.mark.parametrize("make", MAKERS)
def test_a_conversation_that_goes_on_takes_no_look_at_everybody(make: Callable[[], Policy]) -> None:
    workers = [Worker(number, 1.0) for number in range(1000)]
    policy = make()
    _converse(policy, workers, 3)
    for worker in workers:
        worker.looks = 0
    _converse(policy, workers, 200)
    assert sum(worker.looks for worker in workers) < 200 * 40


def _converse(policy: Policy, workers: list[Worker], turns: int) -> None:
    for turn in range(turns):
        facts = said(7, turn % 4)
        worker: Any = policy.pick(workers, facts)
        worker.held += 1
        policy.sent(worker, facts)
        worker.held -= 1
        policy.ended(worker, facts)


@pytest.mark.parametrize("make", [one for one in MAKERS if one is not bucket])  # which goes by what it was told
def test_what_nobody_told_of_is_found_out(make: Callable[[], Policy]) -> None:
    """Whoever was asked while it was the only worker there was is not told of when that ends."""
    workers = [Worker(number, 1.0) for number in range(40)]
    policy = make()
    owner: Any = None
    for _ in range(50):
        facts = said(1, 0)
        owner = policy.pick(workers, facts)
        policy.sent(owner, facts)
        policy.ended(owner, facts)
    owner.held = 500
    for _ in range(90):
        last = policy.pick(workers, said(1, 0))
    assert last is not owner


@given(seed=st.integers(0, 2**32), weights=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=32, max_size=40))
def test_reports_are_reckoned_with_as_by_a_look_at_all(seed: int, weights: list[float]) -> None:
    """Some workers report, some never do, and some stop."""
    chance = random.Random(seed)
    workers = [Worker(number, weight) for number, weight in enumerate(weights)]
    counts, looks = LeastLoad(), LeastLoad()
    running: list[tuple[Worker, Facts]] = []
    for _ in range(150):
        if chance.random() < 0.4:
            told = chance.choice(workers[:24])
            report = (
                Report(queued=chance.randrange(5000), used=chance.choice([0.0, 0.5])) if chance.random() < 0.8 else None
            )
            counts.reported(told, report)
            looks.reported(told, report)
        facts = Facts(length=chance.choice([0, 400, 40_000]))
        picked: Any = counts.pick(workers, facts)
        assert looks.pick(list(workers), facts) is picked
        picked.held += 1
        running.append((picked, facts))
        for policy in (counts, looks):
            policy.sent(picked, facts)
        while running and chance.random() < 0.4:
            worker, one = running.pop(chance.randrange(len(running)))
            worker.held -= 1
            served = chance.random() < 0.9
            for policy in (counts, looks):
                policy.ended(worker, one, served=served)


@pytest.mark.parametrize("make", [Weighted, lambda: RandomPolicy(random.Random(5).random)])
def test_many_get_their_shares(make: Callable[[], Policy]) -> None:
    workers = [Worker(number, 1.0 + 2 * (number % 2)) for number in range(40)]
    policy = make()
    got: dict[str, int] = {}
    for _ in range(8000):
        picked = policy.pick(workers, Facts())
        got[picked.key] = got.get(picked.key, 0) + 1
    slack = 2 if isinstance(policy, Weighted) else 120
    for worker in workers:
        assert abs(got[worker.key] - 100 * worker.weight) <= slack


@pytest.mark.parametrize("make", MAKERS)
def test_who_is_not_asked_about_them_any_more_does_not_keep_count_for_ever(make: Callable[[], Policy]) -> None:
    """While somebody has to be passed over, every request is given a list of its own."""
    workers = [Worker(number, 1.0) for number in range(20)]
    policy = make()
    _converse(policy, workers, 5)
    size = _size(policy)
    for turn in range(2000):
        facts = said(7, turn % 4)
        policy.sent(workers[turn % 20], facts)
        policy.ended(workers[turn % 20], facts)
    assert _size(policy) < size + 20 * 20


def _size(policy: Policy) -> int:
    """Of the heaps that it keeps."""
    kept = [getattr(policy, name, None) for name in ("_lineup", "_counted", "_expected", "_idlest")]
    return sum(len(one._heap) for one in kept if one is not None)
