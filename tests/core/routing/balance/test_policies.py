"""What holds for every policy, and what the simple ones promise."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.bucket import Bucket, BucketOptions
from asgi_llm.routing.balance.cache_aware import CacheAwareOptions
from asgi_llm.routing.balance.consistent_hash import ConsistentHashOptions
from asgi_llm.routing.balance.interface import Facts, Keys, Policy
from asgi_llm.routing.balance.least_load import LeastLoad, LeastLoadOptions, Report
from asgi_llm.routing.balance.power_of_two import PowerOfTwo
from asgi_llm.routing.balance.prefix_hash import PrefixHashOptions
from asgi_llm.routing.balance.random import RandomPolicy
from asgi_llm.routing.balance.registry import POLICIES, build
from asgi_llm.routing.balance.sticky import StickyOptions
from asgi_llm.routing.balance.weighted import Weighted
from asgi_llm.routing.text import RoutingText


@dataclass(eq=False)
class Worker:
    key: str
    weight: float = 1.0
    load: int = 0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def crew(number: int) -> list[Worker]:
    return [Worker(f"http://10.0.0.{index}:8000") for index in range(number)]


def facts(text: str = "", *, session: str = "", length: int | None = None) -> Facts:
    keys = Keys(sessions=(session,)) if session else Keys()
    return Facts(
        model="m",
        length=len(text) if length is None else length,
        read_text=lambda: RoutingText(text, len(text)),
        read_keys=lambda: keys,
    )


def made(name: str) -> Policy:
    return build(name, clock=Clock(), random=random.Random(7).random)


every_policy = pytest.mark.parametrize("name", list(POLICIES))


@every_policy
@given(
    loads=st.lists(st.integers(0, 300), min_size=1, max_size=9),
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 7.0]), min_size=9, max_size=9),
    texts=st.lists(st.text(max_size=400), min_size=1, max_size=5),
    served=st.booleans(),
)
def test_one_of_the_candidates_is_picked_whatever_they_are(
    name: str, loads: list[int], weights: list[float], texts: list[str], served: bool
) -> None:
    policy = made(name)
    workers = crew(len(loads))
    for worker, load, weight in zip(workers, loads, weights, strict=False):
        worker.load, worker.weight = load, weight
        policy.joined(worker)
    for text in texts:
        one = facts(text, session=text[:1])
        picked = policy.pick(workers, one)
        assert picked in workers
        policy.sent(picked, one)
        if len(workers) > 1:
            # Another attempt, as after a failure: the one that was tried is no candidate any more.
            others = [worker for worker in workers if worker is not picked]
            assert policy.pick(others, one) in others
        policy.ended(picked, one, served=served)
    policy.produced(workers[0], ["origin"])
    policy.left(workers[0])
    policy.left(Worker("http://never.joined"))
    assert policy.pick(workers[-1:], facts("x")) is workers[-1]


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "bucket"])
def test_equal_workers_get_about_equal_parts_of_unrelated_requests(name: str) -> None:
    policy = made(name)
    workers = crew(5)
    picked: Counter[str] = Counter()
    for number in range(5000):
        one = facts(f"question {number}")
        worker = policy.pick(workers, one)
        policy.sent(worker, one)
        policy.ended(worker, one)
        picked[worker.key] += 1
    assert all(850 < picked[worker.key] < 1150 for worker in workers)


@pytest.mark.parametrize(
    "name", ["least_load", "power_of_two", "consistent_hash", "prefix_hash", "cache_aware", "sticky"]
)
def test_a_worker_with_far_too_much_to_do_gets_nothing_more(name: str) -> None:
    policy = made(name)
    workers = crew(4)
    workers[2].load = 500
    for number in range(300):
        one = facts(f"question {number}", session=f"session {number}")
        worker = policy.pick(workers, one)
        assert worker is not workers[2]
        policy.sent(worker, one)
        policy.ended(worker, one)


@pytest.mark.parametrize("name", ["round_robin", "random", "weighted", "power_of_two", "least_load", "bucket"])
def test_cheap_policies_read_neither_text_nor_keys(name: str) -> None:
    def read() -> None:
        raise AssertionError("it was read")

    policy = made(name)
    one = Facts(length=10, read_text=read, read_keys=read)
    policy.sent(worker := policy.pick(crew(3), one), one)
    policy.ended(worker, one)


def test_text_and_keys_are_read_once() -> None:
    reads = []
    one = Facts(
        read_text=lambda: reads.append("text") or RoutingText("x", 1),
        read_keys=lambda: reads.append("keys") or Keys(),
    )
    assert [one.text(), one.text(), one.keys(), one.keys()] == [RoutingText("x", 1)] * 2 + [Keys()] * 2
    assert reads == ["text", "keys"]


def test_what_the_settings_name_is_there_and_nothing_else() -> None:
    assert set(POLICIES) == {
        "round_robin",
        "random",
        "weighted",
        "power_of_two",
        "least_load",
        "cache_aware",
        "prefix_hash",
        "consistent_hash",
        "sticky",
        "bucket",
    }
    with pytest.raises(ValueError, match="round_robin"):
        build("roundrobin", clock=Clock(), random=random.random)
    with pytest.raises(TypeError, match="LeastLoadOptions"):
        build("least_load", StickyOptions(), clock=Clock(), random=random.random)
    with pytest.raises(ValueError, match="no policy"):
        build("sticky", StickyOptions(otherwise="nothing"), clock=Clock(), random=random.random)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (LeastLoadOptions, {"throughput": 0}),
        (LeastLoadOptions, {"throughput": float("nan")}),
        (LeastLoadOptions, {"request_tokens": 0}),
        (LeastLoadOptions, {"fullness": -1}),
        (ConsistentHashOptions, {"load_factor": 0.99}),
        (ConsistentHashOptions, {"load_factor": float("nan")}),
        (ConsistentHashOptions, {"spare": -1}),
        (PrefixHashOptions, {"characters": 0}),
        (CacheAwareOptions, {"threshold": 1.5}),
        (CacheAwareOptions, {"patience": 0}),
        (CacheAwareOptions, {"imbalance_requests": -1}),
        (CacheAwareOptions, {"imbalance_ratio": 0.5}),
        (CacheAwareOptions, {"max_prints": 0}),
        (CacheAwareOptions, {"idle": 0}),
        (StickyOptions, {"otherwise": "sticky"}),
        (StickyOptions, {"idle": 0}),
        (StickyOptions, {"max_keys": 0}),
        (BucketOptions, {"window": 0}),
        (BucketOptions, {"longest": 0}),
        (BucketOptions, {"imbalance_length": -1}),
        (BucketOptions, {"imbalance_ratio": 0.9}),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: type, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        options(**values)


# -- weighted, random, power of two


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=6), rounds=st.integers(1, 4))
def test_turns_are_exactly_as_many_as_the_weights_say(weights: list[int], rounds: int) -> None:
    workers = crew(len(weights))
    for worker, weight in zip(workers, weights, strict=True):
        worker.weight = weight
    policy = Weighted()
    picked = Counter(policy.pick(workers, facts()).key for _ in range(sum(weights) * rounds))
    assert [picked[worker.key] for worker in workers] == [weight * rounds for weight in weights]


def test_the_turns_of_a_heavy_worker_are_spread() -> None:
    workers = crew(3)
    workers[0].weight = 4
    policy = Weighted()
    turns = "".join("abc"[workers.index(policy.pick(workers, facts()))] for _ in range(6))
    assert turns == "aabaca"


def test_random_keeps_to_the_weights() -> None:
    workers = crew(3)
    workers[1].weight = 3
    policy = RandomPolicy(random.Random(1).random)
    picked = Counter(policy.pick(workers, facts()).key for _ in range(10_000))
    assert abs(picked[workers[1].key] - 6000) < 250
    assert abs(picked[workers[0].key] - 2000) < 200


def test_random_picks_the_last_one_when_the_sum_was_rounded() -> None:
    workers = crew(3)
    for worker in workers:
        worker.weight = 0.1
    assert RandomPolicy(lambda: 1.0).pick(workers, facts()) is workers[2]


def test_power_of_two_never_picks_the_most_loaded_one() -> None:
    workers = crew(6)
    for load, worker in enumerate(workers):
        worker.load = load
    policy = PowerOfTwo(random.Random(3).random)
    picked = Counter(policy.pick(workers, facts()).load for _ in range(6000))
    assert picked[5] == 0
    assert picked[0] > picked[1] > picked[2] > picked[3] > picked[4] > 0


def test_power_of_two_takes_load_by_weight() -> None:
    light, heavy = Worker("a", weight=1, load=2), Worker("b", weight=4, load=6)
    policy = PowerOfTwo(random.Random(3).random)
    assert {policy.pick([light, heavy], facts()).key for _ in range(50)} == {"b"}


# -- least load


def test_of_idle_workers_the_one_idle_for_longest_is_next() -> None:
    policy, workers = LeastLoad(), crew(3)
    turns = []
    for _ in range(6):
        policy.sent(worker := policy.pick(workers, facts("x")), facts("x"))
        policy.ended(worker, facts("x"))
        turns.append(workers.index(worker))
    assert turns == [0, 1, 2, 0, 1, 2]


def test_of_equally_many_requests_the_shorter_ones_count_less() -> None:
    policy, workers = LeastLoad(), crew(2)
    for worker, length in zip(workers, (400_000, 400), strict=True):
        worker.load = 1
        policy.sent(worker, facts(length=length))
    assert policy.pick(workers, facts()) is workers[1]
    policy.ended(workers[0], facts(length=400_000))
    assert policy.pick(workers, facts()) is workers[0]


def test_what_was_sent_since_a_report_is_credited_until_the_next() -> None:
    policy, workers = LeastLoad(), crew(2)
    policy.reported(workers[0], Report(queued=1000))
    policy.reported(workers[1], Report(queued=3000))
    assert policy.pick(workers, facts()) is workers[0]
    policy.sent(workers[0], facts(length=12_000))
    assert policy.pick(workers, facts()) is workers[1]
    policy.reported(workers[0], Report(queued=1500))
    assert policy.pick(workers, facts()) is workers[0]


def test_credit_is_taken_back_when_the_worker_did_not_take_the_request_up() -> None:
    policy, workers = LeastLoad(), crew(2)
    policy.reported(workers[0], Report(queued=1000))
    policy.reported(workers[1], Report(queued=3000))
    policy.sent(workers[0], facts(length=12_000))
    policy.ended(workers[0], facts(length=12_000), served=False)
    assert policy.pick(workers, facts()) is workers[0]


def test_a_full_cache_costs_and_a_fast_worker_may_have_the_longer_queue() -> None:
    policy, workers = LeastLoad(), crew(2)
    policy.reported(workers[0], Report(queued=100, used=0.99))
    policy.reported(workers[1], Report(queued=2000, used=0.1))
    assert policy.pick(workers, facts()) is workers[1]
    policy.reported(workers[0], Report(queued=9000, throughput=20_000))
    assert policy.pick(workers, facts()) is workers[0]


@given(queued=st.integers(-5, 10**9), used=st.floats(allow_nan=False), throughput=st.none() | st.floats(0, 1e9))
def test_any_report_can_be_worked_with(queued: int, used: float, throughput: float | None) -> None:
    policy, workers = LeastLoad(), crew(3)
    policy.reported(workers[0], Report(queued=queued, used=used, throughput=throughput))
    assert policy.pick(workers, facts()) in workers


def test_a_worker_that_does_not_report_is_judged_by_its_requests() -> None:
    policy, workers = LeastLoad(), crew(2)
    policy.reported(workers[0], Report(queued=4000, throughput=1000.0))  # four seconds
    workers[1].load = 3  # about three
    assert policy.pick(workers, facts()) is workers[1]
    workers[1].load = 5
    assert policy.pick(workers, facts()) is workers[0]
    policy.left(workers[0])
    assert policy.pick(workers, facts()) is workers[0]


# -- bucket


def test_long_and_short_requests_have_different_workers() -> None:
    clock = Clock()
    policy, workers = Bucket(clock=clock), crew(2)
    for number in range(200):
        one = facts(length=100 + number if number % 10 else 9_000 + number)
        policy.sent(worker := policy.pick(workers, one), one)
        policy.ended(worker, one)
        clock.now += 0.03
    assert policy.pick(workers, facts(length=150)) is workers[0]
    assert policy.pick(workers, facts(length=9_100)) is workers[1]
    assert policy.pick(list(reversed(workers)), facts(length=150)) is workers[0]


def test_stretches_carry_equal_numbers_of_characters() -> None:
    clock, source = Clock(), random.Random(5)
    policy, workers = Bucket(clock=clock), crew(4)
    carried: Counter[str] = Counter()
    for number in range(8000):
        one = facts(length=int(source.lognormvariate(7, 1)))
        policy.sent(worker := policy.pick(workers, one), one)
        policy.ended(worker, one)
        clock.now += 0.01
        if number > 1000:
            carried[worker.key] += one.length
    mean = sum(carried.values()) / 4
    assert all(0.8 * mean < carried[worker.key] < 1.2 * mean for worker in workers)


def test_requests_of_one_length_are_shared_by_all_whose_stretch_it_is() -> None:
    clock = Clock()
    policy, workers = Bucket(clock=clock), crew(3)
    pending = []
    for _ in range(600):
        one = facts(length=500)
        policy.sent(worker := policy.pick(workers, one), one)
        pending.append(worker)
        clock.now += 0.02
        if len(pending) > 30:
            policy.ended(pending.pop(0), facts(length=500))
    assert max(Counter(worker.key for worker in pending).values()) <= 11


def test_a_worker_that_lags_behind_is_passed_over() -> None:
    policy, workers = Bucket(BucketOptions(imbalance_length=1000), clock=Clock()), crew(2)
    for _ in range(20):
        policy.sent(workers[0], facts(length=100))
    assert policy.pick(workers, facts(length=10)) is workers[1]


@given(
    lengths=st.lists(st.integers(0, 10**9), max_size=60), weights=st.lists(st.floats(0.1, 9), min_size=1, max_size=5)
)
def test_every_length_has_a_worker(lengths: list[int], weights: list[float]) -> None:
    clock = Clock()
    policy, workers = Bucket(BucketOptions(max_samples=20), clock=clock), crew(len(weights))
    for worker, weight in zip(workers, weights, strict=True):
        worker.weight = weight
    for length in lengths:
        policy.sent(policy.pick(workers, facts(length=length)), facts(length=length))
        clock.now += 1
