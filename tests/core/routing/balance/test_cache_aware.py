"""Where a prompt goes by what workers have seen of it, what is remembered for that, and how little."""

import random
import string
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.cache_aware import CacheAware, CacheAwareOptions
from asgi_llm.routing.balance.fingerprints import PRINT, characters, fingerprints, opening_prints
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.routing.balance.radix import Radix
from asgi_llm.routing.text import RoutingText


@dataclass(eq=False)
class Worker:
    key: str
    weight: float = 1.0
    load: int = 0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def crew(number: int) -> list[Worker]:
    return [Worker(f"http://10.0.0.{index}:8000") for index in range(number)]


def noise(seed: object, length: int) -> str:
    return "".join(random.Random(str(seed)).choices(string.ascii_letters, k=length))


def said(text: str, opening: int | None = None) -> Facts:
    found = RoutingText(text, len(text) if opening is None else opening)
    return Facts(model="m", read_text=lambda: found)


def made(clock: Clock | None = None, **options: float) -> CacheAware:
    return CacheAware(CacheAwareOptions(**options), clock=clock or Clock())  # type: ignore[arg-type]


def serve(policy: CacheAware, workers: list[Worker], facts: Facts) -> Worker:
    worker = policy.pick(workers, facts)
    policy.sent(worker, facts)
    policy.ended(worker, facts)
    return worker


# -- the policy


def test_a_conversation_stays_where_its_beginning_is() -> None:
    policy, workers = made(), crew(6)
    for number in range(20):
        text = noise(number, 3000)
        first = serve(policy, workers, said(text))
        for turn in range(5):
            text += noise((number, turn), 2500)
            assert serve(policy, workers, said(text, 3000)) is first


def test_it_goes_on_where_it_went_when_its_worker_was_not_there() -> None:
    """The worker that served it last has it; hashing alone would send it back to the one that has not."""
    policy, workers = made(), crew(6)
    text = noise(1, 3000)
    first = serve(policy, workers, said(text))
    text += noise(2, 3000)
    second = serve(policy, [worker for worker in workers if worker is not first], said(text, 3000))
    text += noise(3, 3000)
    assert serve(policy, workers, said(text, 3000)) is second


def test_shared_instructions_do_not_draw_all_conversations_to_one_worker() -> None:
    policy, workers = made(), crew(4)
    instructions = noise("instructions", 16_000)
    served = [serve(policy, workers, said(instructions + noise(number, 4000))).key for number in range(200)]
    assert all(25 <= served.count(worker.key) <= 75 for worker in workers)


def test_what_everybody_asks_for_spreads_over_as_many_workers_as_it_needs() -> None:
    policy, workers = made(), crew(4)
    document = noise("document", 30_000)
    for number in range(120):
        facts = said(document + noise(number, 200))
        worker = policy.pick(workers, facts)
        worker.load += 1
        policy.sent(worker, facts)
    loads = [worker.load for worker in workers]
    assert max(loads) - min(loads) <= 25
    assert sum(loads) == 120


def test_with_little_to_do_what_everybody_asks_for_stays_on_one_worker() -> None:
    policy, workers = made(), crew(4)
    document = noise("document", 30_000)
    assert len({serve(policy, workers, said(document + noise(number, 200))).key for number in range(50)}) == 1


def test_a_worker_far_beyond_the_others_gets_nothing_for_its_cache() -> None:
    policy, workers = made(patience=1e9, imbalance_requests=10), crew(3)
    text = noise(1, 5000)
    holder = serve(policy, workers, said(text))
    holder.load = 10
    assert policy.pick(workers, said(text)) is holder
    holder.load = 11
    assert policy.pick(workers, said(text)) is not holder


def test_weights_count_when_loads_are_compared() -> None:
    policy, workers = made(), crew(2)
    workers[0].weight = 4
    workers[0].load, workers[1].load = 40, 20
    text = noise(1, 5000)
    for worker in workers:
        policy.sent(worker, said(text))
    assert policy.pick(workers, said(text)) is workers[0]


def test_a_match_below_the_threshold_is_none() -> None:
    """A quarter of the text was seen: it goes where anything new goes."""
    text = noise(1, 40_000)
    new, seen = made(), made()
    workers = crew(8)
    other = next(worker for worker in workers if worker is not new.pick(workers, said(text, 1000)))
    seen.sent(other, said(text[:10_000], 1000))
    assert seen.pick(workers, said(text, 1000)).key == new.pick(workers, said(text, 1000)).key
    seen.sent(other, said(text[:20_000], 1000))
    assert seen.pick(workers, said(text, 1000)) is other


def test_who_did_not_take_a_request_up_is_not_taken_to_have_it() -> None:
    policy, workers = made(), crew(3)
    text = noise(1, 5000)
    facts = said(text)
    failed = policy.pick(workers, facts)
    policy.sent(failed, facts)
    policy.ended(failed, facts, served=False)
    assert len(policy.tree) == 0
    second = policy.pick([worker for worker in workers if worker is not failed], facts)
    policy.sent(second, facts)
    policy.ended(second, facts)
    assert policy.pick(workers, said(text + noise(2, 3000), 5000)) is second


def test_a_failure_takes_back_what_it_added_and_no_more() -> None:
    policy, workers = made(), crew(3)
    text = noise(1, 5000)
    holder = serve(policy, workers, said(text, 3000))
    longer = said(text + noise(2, 5000), 3000)
    policy.sent(holder, longer)
    policy.ended(holder, longer, served=False)
    row = fingerprints("m", longer.text())
    assert policy.tree.match(row, 0, {}) == {holder.key: opening_prints(3000) + 1}


def test_a_worker_that_comes_back_has_nothing_any_more() -> None:
    clock = Clock()
    policy, workers = made(clock), crew(4)
    text = noise(1, 5000)
    holder = workers[0]
    policy.sent(holder, said(text))
    clock.now += 1
    policy.left(holder)
    policy.joined(holder)
    fresh = made().pick(workers, said(text))
    assert policy.pick(workers, said(text)) is fresh
    policy.sent(workers[1], said(text))
    assert policy.pick(workers, said(text)) is workers[1]


def test_what_was_not_used_for_long_is_taken_to_be_forgotten() -> None:
    clock = Clock()
    policy, workers = made(clock, idle=60.0), crew(8)
    text = noise(1, 5000)
    fresh = made().pick(workers, said(text))
    other = next(worker for worker in workers if worker is not fresh)
    policy.sent(other, said(text))
    clock.now += 60
    assert policy.pick(workers, said(text)) is other
    clock.now += 61
    assert policy.pick(workers, said(text)) is fresh


def test_models_do_not_share_a_cache() -> None:
    policy, workers = made(), crew(8)
    text = noise(1, 5000)
    found = RoutingText(text, len(text))
    policy.sent(workers[0], Facts(model="a", read_text=lambda: found))
    row = fingerprints("b", found)
    assert policy.tree.match(row, 0, {}) == {}


@pytest.mark.once
def test_a_million_prompts_leave_no_more_than_the_bound() -> None:
    """All different, some of them with a beginning that others have, too."""
    tree = Radix(max_nodes=5000, max_prints=12_000, max_holders=2)
    beginning = "You are an agent. " * 10
    for number in range(1_000_000):
        text = f"{beginning}{number}" if number % 8 == 0 else f"{number} is what I ask"
        tree.insert(fingerprints("m", RoutingText(text, len(text))), "abc"[number % 3], number)
    assert 1000 < len(tree) <= 5000
    assert tree.prints <= 12_000


# -- the tree


@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.sampled_from("abc")), min_size=1, max_size=25
    ),
    asked=st.lists(st.integers(0, 2), min_size=1, max_size=8),
)
def test_the_tree_knows_the_longest_beginning_that_each_worker_was_sent(
    rows: list[tuple[list[int], str]], asked: list[int]
) -> None:
    tree = Radix(max_prints=10_000, max_nodes=10_000, max_holders=10)
    expected: dict[str, int] = {}
    for when, (row, worker) in enumerate(rows):
        tree.insert(encode(row), worker, when)
        shared = next(
            (at for at, pair in enumerate(zip(row, asked, strict=False)) if pair[0] != pair[1]),
            min(len(row), len(asked)),
        )
        if shared:
            expected[worker] = max(expected.get(worker, 0), shared)
    assert tree.match(encode(asked), 0, {}) == expected


@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.sampled_from("abc"), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    max_nodes=st.integers(1, 6),
    max_prints=st.integers(1, 20),
)
def test_the_tree_stays_within_its_bounds_and_in_order(
    rows: list[tuple[list[int], str, bool]], max_nodes: int, max_prints: int
) -> None:
    tree = Radix(max_prints=max_prints, max_nodes=max_nodes, max_holders=2)
    for when, (row, worker, served) in enumerate(rows):
        had = tree.insert(encode(row), worker, when)
        if not served:
            tree.release(encode(row), worker, had)
        assert len(tree) <= max_nodes
        reachable = list(walk(tree._root))
        assert set(reachable) == set(tree._nodes)
        assert tree.prints == sum(len(node.edge) // PRINT for node in reachable) <= max_prints
        assert all(len(node.holders) <= 2 for node in reachable)
        assert all(node.parent.children[node.edge[:PRINT]] is node for node in reachable)


def test_the_tree_forgets_what_was_not_used_for_the_longest_time() -> None:
    tree = Radix(max_prints=1000, max_nodes=3, max_holders=4)
    tree.insert(encode([1, 1]), "a", 1)
    tree.insert(encode([2, 2]), "a", 2)
    tree.insert(encode([3, 3]), "a", 3)
    tree.insert(encode([1, 1]), "a", 4)
    tree.insert(encode([4, 4]), "a", 5)
    known = [bool(tree.match(encode([number, number]), 0, {})) for number in (1, 2, 3, 4)]
    assert known == [True, False, True, True]


def encode(row: list[int]) -> bytes:
    return b"".join(number.to_bytes(PRINT, "little") for number in row)


def walk(node):  # type: ignore[no-untyped-def]
    for child in (node.children or {}).values():
        yield child
        yield from walk(child)


# -- fingerprints


@given(
    text=st.text(alphabet="abcä中", max_size=300),
    more=st.text(max_size=50),
    times=st.integers(1, 40),
    part=st.floats(0, 1),
)
def test_a_text_that_has_grown_begins_with_the_same_fingerprints(text: str, more: str, times: int, part: float) -> None:
    text *= times
    opening = int(len(text) * part)
    row = fingerprints("m", RoutingText(text, opening))
    assert fingerprints("m", RoutingText(text + more * 40, opening)).startswith(row)
    assert 0 <= len(text) - characters(len(row) // PRINT, opening) < 1024
    counted = [characters(prints, opening) for prints in range(1, len(row) // PRINT + 1)]
    assert counted == sorted(set(counted))
    assert counted[opening_prints(opening) - 1] == opening


def test_texts_that_differ_early_share_nothing_after_that() -> None:
    one, other = (fingerprints("m", RoutingText("x" * 300 + letter * 5000, 5300)) for letter in "ab")
    assert one[: 3 * PRINT] == other[: 3 * PRINT]
    assert one[3 * PRINT : 4 * PRINT] != other[3 * PRINT : 4 * PRINT]


def test_equal_instructions_with_other_short_questions_are_other_openings() -> None:
    rows = [fingerprints("m", RoutingText(f"{'x' * 9000}{question}", 9003)) for question in ("one", "two")]
    assert len(rows[0]) // PRINT == opening_prints(9003)
    assert rows[0] != rows[1]
    assert rows[0][:-PRINT] == rows[1][:-PRINT]


@pytest.mark.parametrize("opening", [0, 2_000_000, 3_000_000])
def test_an_endless_text_has_an_end(opening: int) -> None:
    row = fingerprints("m", RoutingText("x" * 3_000_000, opening))
    assert len(row) // PRINT < 1100
    assert characters(len(row) // PRINT, opening) <= 1 << 20
