"""Who owns a key: agreed on everywhere, by weight, moved as little as can be, and within a bound on the load."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.consistent_hash import ConsistentHash, ConsistentHashOptions
from asgi_llm.routing.balance.interface import Facts, Keys
from asgi_llm.routing.balance.prefix_hash import PrefixHash
from asgi_llm.routing.balance.rendezvous import Rendezvous, stable_hash, within_bound
from asgi_llm.routing.text import RoutingText


@dataclass(eq=False)
class Worker:
    key: str
    weight: float = 1.0
    load: int = 0


def crew(number: int) -> list[Worker]:
    return [Worker(f"http://10.0.0.{index}:8000") for index in range(number)]


def said(text: str, opening: int | None = None, *sessions: str) -> Facts:
    found = RoutingText(text, len(text) if opening is None else opening)
    return Facts(model="m", read_text=lambda: found, read_keys=lambda: Keys(sessions=sessions))


KEYS = [stable_hash(f"key {number}") for number in range(4000)]


@pytest.mark.parametrize("number", [1, 2, 3, 8, 20])
def test_when_a_worker_joins_only_its_own_share_of_keys_moves_and_all_of_it_to_the_newcomer(number: int) -> None:
    owners, workers = Rendezvous(), crew(number + 1)
    before = [owners.pick(workers[:-1], key) for key in KEYS]
    after = [owners.pick(workers, key) for key in KEYS]
    moved = [new for old, new in zip(before, after, strict=True) if old is not new]
    assert all(new is workers[-1] for new in moved)
    expected = len(KEYS) / (number + 1)
    assert abs(len(moved) - expected) < 5 * expected**0.5


@given(number=st.integers(2, 12), gone=st.integers(0, 11), key=st.integers(0, 2**64 - 1))
def test_when_a_worker_leaves_only_its_keys_move(number: int, gone: int, key: int) -> None:
    owners, workers = Rendezvous(), crew(number)
    leaver = workers[gone % number]
    owner = owners.pick(workers, key)
    rest = [worker for worker in workers if worker is not leaver]
    if owner is not leaver:
        assert owners.pick(rest, key) is owner
    assert owners.pick(list(reversed(workers)), key) is owner


@given(weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=6))
def test_keys_are_owned_by_weight(weights: list[float]) -> None:
    owners, workers = Rendezvous(), crew(len(weights))
    for worker, weight in zip(workers, weights, strict=True):
        worker.weight = weight
    owned = Counter(owners.pick(workers, key).key for key in KEYS)
    for worker in workers:
        expected = len(KEYS) * worker.weight / sum(weights)
        assert abs(owned[worker.key] - expected) < 5 * expected**0.5


def test_a_key_that_moves_away_from_a_worker_can_go_to_any_other() -> None:
    owners, workers = Rendezvous(), crew(5)
    of_first = [key for key in KEYS if owners.pick(workers, key) is workers[0]]
    seconds = Counter(owners.pick(workers[1:], key).key for key in of_first)
    assert all(abs(seconds[worker.key] - len(of_first) / 4) < 5 * (len(of_first) / 4) ** 0.5 for worker in workers[1:])


@given(
    loads=st.lists(st.integers(0, 60), min_size=1, max_size=10),
    weights=st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0]), min_size=10, max_size=10),
    factor=st.sampled_from([1.0, 1.1, 1.25, 2.0]),
    spare=st.integers(0, 5),
)
def test_somebody_is_always_within_the_bound(loads: list[int], weights: list[float], factor: float, spare: int) -> None:
    workers = crew(len(loads))
    for worker, load, weight in zip(workers, loads, weights, strict=False):
        worker.load, worker.weight = load, weight
    fit = within_bound(workers, factor, spare)
    assert fit
    total, weighed = sum(loads) + 1, sum(worker.weight for worker in workers)
    for worker in fit:
        assert worker.load + 1 <= max(spare, ceil(factor * total / weighed * worker.weight))


@given(
    keys=st.lists(st.integers(0, 3), min_size=1, max_size=120),
    number=st.integers(2, 6),
    factor=st.sampled_from([1.0, 1.25, 1.5]),
    spare=st.integers(0, 4),
)
def test_the_bound_holds_whatever_comes(keys: list[int], number: int, factor: float, spare: int) -> None:
    """Also with a few keys that everybody uses."""
    policy, workers = ConsistentHash(ConsistentHashOptions(load_factor=factor, spare=spare)), crew(number)
    for total, key in enumerate(keys, start=1):
        worker = policy.pick(workers, said(f"key {key}"))
        worker.load += 1
        assert worker.load <= max(spare, ceil(factor * total / number))


def test_a_conversation_that_had_to_move_comes_back() -> None:
    policy, workers = ConsistentHash(), crew(4)
    owner = policy.pick(workers, said("hello"))
    owner.load = 50
    other = policy.pick(workers, said("hello"))
    assert other is not owner
    owner.load = 0
    assert policy.pick(workers, said("hello")) is owner


def test_a_conversation_stays_while_it_grows() -> None:
    policy, workers = ConsistentHash(), crew(8)
    for number in range(50):
        text = f"instructions\nquestion {number}" * (1 + number * 10)
        opening = len(text)
        owner = policy.pick(workers, said(text, opening))
        assert policy.pick(workers, said(f"{text}\nanswer\nanother question", opening)) is owner


def test_a_session_that_is_named_comes_before_the_text() -> None:
    policy, workers = ConsistentHash(), crew(8)
    owners = {policy.pick(workers, said(f"text {number}", None, "mine")).key for number in range(50)}
    assert len(owners) == 1


def test_long_openings_are_told_apart_at_both_ends_and_by_length() -> None:
    policy, workers = ConsistentHash(), crew(64)
    texts = ["x" * 9000, "x" * 9001, "y" + "x" * 8999, "x" * 8999 + "y"]
    assert len({policy.pick(workers, said(text)).key for text in texts}) == 4


def test_models_do_not_share_owners() -> None:
    policy, workers = ConsistentHash(), crew(64)
    owners = {policy.pick(workers, Facts(model=f"model {number}")).key for number in range(64)}
    assert len(owners) > 32


def test_prefix_hash_looks_at_the_beginning_only() -> None:
    policy, workers = PrefixHash(), crew(8)
    same = {policy.pick(workers, said("x" * 1024 + f" question {number}")).key for number in range(40)}
    other = {policy.pick(workers, said(f"{number} " + "x" * 1024)).key for number in range(40)}
    assert len(same) == 1
    assert len(other) == 8


def test_a_beginning_that_everybody_has_spreads_when_its_worker_is_busy() -> None:
    policy, workers = PrefixHash(), crew(4)
    for _ in range(100):
        policy.pick(workers, said("the same")).load += 1
    assert max(worker.load for worker in workers) <= 32
    assert min(worker.load for worker in workers) > 0


CHILD = """
import json, sys
from types import SimpleNamespace
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.routing.balance.registry import build
from asgi_llm.routing.text import RoutingText

workers = [SimpleNamespace(key=f"http://10.0.0.{n}:8000", weight=1.0 + n % 3, load=0) for n in range(7)]
picked = {}
for name in ("consistent_hash", "prefix_hash", "cache_aware", "sticky"):
    policy = build(name, clock=lambda: 0.0, random=lambda: 0.5)
    texts = [f"instructions {n % 5}\\nquestion {n} \\u00e4\\u4e2d" * (1 + n) for n in range(60)]
    facts = [Facts(model="m", read_text=lambda text=text: RoutingText(text, len(text))) for text in texts]
    picked[name] = [policy.pick(workers, one).key for one in facts]
print(json.dumps(picked))
"""


def test_processes_agree_without_sharing_anything() -> None:
    """Two interpreters, each with hashes of its own."""
    answers = []
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, check=True
        )
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1]
    assert all(len(set(picked)) > 3 for picked in answers[0].values())
