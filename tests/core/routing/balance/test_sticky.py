"""A session stays with its worker; what only one worker can read goes there; and where both are read from."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.routing.balance.affinity import read_keys, sealed_origin, stored_origin
from asgi_llm.routing.balance.consistent_hash import ConsistentHash
from asgi_llm.routing.balance.interface import Facts, Keys
from asgi_llm.routing.balance.round_robin import RoundRobin
from asgi_llm.routing.balance.sticky import Sticky, StickyOptions


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


def made(clock: Clock | None = None, **options: object) -> Sticky:
    return Sticky(StickyOptions(**options), otherwise=RoundRobin(), clock=clock or Clock())  # type: ignore[arg-type]


def of(*sessions: str, origins: tuple[str, ...] = ()) -> Facts:
    return Facts(model="m", read_keys=lambda: Keys(origins, sessions))


def test_a_session_stays_and_has_the_same_worker_in_every_process() -> None:
    workers = crew(6)
    one, other = made(), made()
    for number in range(40):
        facts = of(f"session {number}")
        worker = one.pick(workers, facts)
        one.sent(worker, facts)
        worker.load += 5
        assert one.pick(workers, facts) is worker
        worker.load -= 5
        assert other.pick(workers, facts) is worker


def test_a_session_follows_the_worker_that_served_it_last() -> None:
    policy, workers = made(), crew(3)
    facts = of("mine")
    first = policy.pick(workers, facts)
    policy.sent(first, facts)
    policy.ended(first, facts, served=False)
    second = policy.pick([worker for worker in workers if worker is not first], facts)
    policy.sent(second, facts)
    policy.ended(second, facts)
    assert policy.pick(workers, facts) is second


def test_a_new_session_does_not_go_to_a_busy_worker() -> None:
    policy, workers = made(), crew(3)
    workers[1].load = 100
    assert all(policy.pick(workers, of(f"session {number}")) is not workers[1] for number in range(60))


def test_what_only_one_worker_can_read_comes_before_the_session() -> None:
    policy, workers = made(), crew(4)
    facts = of("mine")
    policy.sent(policy.pick(workers, facts), facts)
    for worker in workers:
        policy.produced(worker, [f"made by {worker.key}"])
        assert policy.pick(workers, of("mine", origins=("unknown", f"made by {worker.key}"))) is worker


def test_an_origin_is_not_given_to_whoever_asks_first() -> None:
    """Only who made a thing can read it; that somebody was asked for it does not make them its maker."""
    policy, workers = made(), crew(4)
    facts = of(origins=("unknown",))
    policy.sent(workers[0], facts)
    assert len(policy) == 0


def test_without_a_session_the_other_policy_decides() -> None:
    policy, workers = made(), crew(3)
    assert [policy.pick(workers, of()) for _ in range(4)] == [*workers, workers[0]]


def test_the_table_is_bounded_and_the_oldest_go_first() -> None:
    policy, workers = made(max_keys=3), crew(8)
    owner = {number: workers[number] for number in range(5)}
    for number in range(3):
        policy.sent(owner[number], of(f"session {number}"))
    policy.sent(owner[0], of("session 0"))
    policy.sent(owner[3], of("session 3"))
    assert len(policy) == 3
    assert [f"session {number}" in policy._table for number in range(4)] == [True, False, True, True]


def test_a_session_that_was_silent_for_long_is_forgotten() -> None:
    clock = Clock()
    policy, workers = made(clock, idle=60.0), crew(8)
    hashed = ConsistentHash().pick(workers, of("mine"))
    other = next(worker for worker in workers if worker is not hashed)
    policy.sent(other, of("mine"))
    clock.now += 60
    assert policy.pick(workers, of("mine")) is other
    clock.now += 1
    assert policy.pick(workers, of("mine")) is hashed


# -- where keys come from


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("headers", "sent", "sessions"),
    [
        ([(b"x-claude-code-session-id", b"c1")], body(), ["c1"]),
        ([(b"session-id", b"s1"), (b"thread-id", b"t1")], body(prompt_cache_key="k"), ["s1", "t1", "k"]),
        ([(b"thread-id", b"t1"), (b"x-llm-routing-key", b"mine")], body(), ["mine", "t1"]),
        ([(b"session_id", b"same"), (b"session-id", b"same")], body(), ["same"]),
        ([(b"session-id", b"first"), (b"session-id", b"second")], body(), ["first"]),
        ([(b"session-id", b"")], body(prompt_cache_key=""), []),
        ([], body(conversation="conv_1"), ["conv_1"]),
        ([], body(conversation={"id": "conv_1"}, prompt_cache_key="k"), ["k", "conv_1"]),
        ([(b"x-other", b"x")], b"no json", []),
    ],
)
def test_sessions_are_read_in_the_order_in_which_they_count(
    headers: list[tuple[bytes, bytes]], sent: bytes, sessions: list[str]
) -> None:
    assert [key.split("\n")[-1] for key in read_keys("me", headers, sent).sessions] == sessions


def test_no_caller_can_name_the_session_of_another() -> None:
    headers = [(b"session-id", b"s")]
    one, other = read_keys("one", headers, body()), read_keys("other", headers, body())
    assert not set(one.sessions) & set(other.sessions)


@pytest.mark.parametrize(
    ("sent", "sealed"),
    [
        (
            body(
                input=[
                    {"type": "reasoning", "encrypted_content": "old", "summary": []},
                    {"role": "user", "content": "x"},
                    {"type": "reasoning", "encrypted_content": "new", "summary": []},
                ]
            ),
            ["new", "old"],
        ),
        (
            body(
                messages=[
                    {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "old"}]},
                    {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "no"}}]},
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "new"}]},
                    {"role": "user", "content": "text"},
                ]
            ),
            ["new", "old"],
        ),
        (body(contents=[{"role": "model", "parts": [{"text": "x", "thoughtSignature": "new"}]}]), ["new"]),
        (body(contents=[{"role": "model", "parts": [{"text": "x", "thought_signature": "new"}]}]), ["new"]),
    ],
)
def test_sealed_thoughts_name_who_sealed_them_the_newest_first(sent: bytes, sealed: list[str]) -> None:
    assert read_keys("me", [], sent).origins == tuple(sealed_origin("me", one) for one in sealed)


def test_stored_things_name_who_stored_them() -> None:
    keys = read_keys("me", [], body(previous_response_id="resp_1"))
    assert keys.origins == (stored_origin("me", "resp_1"),)
    keys = read_keys("me", [], body(thread={"type": "continue", "previous_message_id": "msg_1"}, messages=[]))
    assert keys.origins == (stored_origin("me", "msg_1"),)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "content", "parts"]), inner),
    max_leaves=8,
)
members = st.sampled_from(["prompt_cache_key", "conversation", "thread", "input", "messages", "contents"])


@given(st.dictionaries(members, anything))
def test_any_json_has_keys_or_none(value: dict[str, object]) -> None:
    read_keys("me", [], json.dumps(value).encode())
