"""The circuit breaker, on a clock of the test's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgi_llm.routing.breaker import Breaker


def breaker(failures: int = 3, window: float = 10, open_for: float = 5, probes: int = 1) -> Breaker:
    return Breaker(failures=failures, window=window, open_for=open_for, probes=probes)


def fail(breaker: Breaker, *times: float) -> None:
    for now in times:
        breaker.failed(now, probe=breaker.enter())


def test_enough_failures_within_the_window_open_it() -> None:
    subject = breaker()
    fail(subject, 0, 1)
    assert (subject.state(1), subject.admits(1)) == ("closed", True)
    fail(subject, 2)
    assert (subject.state(2), subject.admits(2)) == ("open", False)


def test_failures_spread_wider_than_the_window_do_not() -> None:
    subject = breaker()
    fail(subject, 0, 6, 11, 17, 22)
    assert subject.state(22) == "closed"
    fail(subject, 26)
    assert subject.state(26) == "open"


def test_failures_exactly_a_window_apart_count() -> None:
    subject = breaker()
    fail(subject, 0, 5, 10)
    assert subject.state(10) == "open"


def test_a_success_forgets_the_failures_before_it() -> None:
    subject = breaker()
    fail(subject, 0, 1)
    subject.succeeded(probe=subject.enter())
    fail(subject, 2, 3)
    assert subject.state(3) == "closed"


def test_half_open_lets_a_single_probe_through() -> None:
    subject = breaker()
    fail(subject, 0, 0, 0)
    assert not subject.admits(4.9)
    assert (subject.state(5), subject.admits(5)) == ("half_open", True)
    subject.enter()
    assert not subject.admits(5)
    assert not subject.admits(500)


def test_a_good_probe_closes_it() -> None:
    subject = breaker()
    fail(subject, 0, 0, 0)
    subject.succeeded(probe=subject.enter())
    assert (subject.state(5), subject.admits(5)) == ("closed", True)
    fail(subject, 6, 6)
    assert subject.state(6) == "closed"


def test_a_bad_probe_opens_it_for_the_whole_time_again() -> None:
    subject = breaker()
    fail(subject, 0, 0, 0)
    assert subject.admits(5)
    fail(subject, 6)
    assert (subject.admits(10.9), subject.admits(11)) == (False, True)


def test_a_probe_that_says_nothing_makes_room_for_the_next() -> None:
    subject = breaker()
    fail(subject, 0, 0, 0)
    subject.abandoned(probe=subject.enter())
    assert subject.admits(5)


def test_as_many_probes_as_configured() -> None:
    subject = breaker(probes=2)
    fail(subject, 0, 0, 0)
    subject.enter()
    assert subject.admits(5)
    subject.enter()
    assert not subject.admits(5)


@pytest.mark.parametrize("end", ["failed", "abandoned", "succeeded"])
def test_what_was_sent_before_it_opened_neither_closes_it_nor_takes_or_gives_a_probes_place(end: str) -> None:
    subject = breaker(failures=1)
    early = [subject.enter() for _ in range(3)]
    assert early == [False, False, False]
    subject.failed(0, probe=False)
    probe = subject.enter()
    assert probe
    if end == "failed":
        subject.failed(5, probe=False)
    else:
        getattr(subject, end)(probe=False)
    assert (subject.state(5), subject.admits(5)) == ("half_open", False)
    subject.succeeded(probe=probe)
    assert subject.state(6) == "closed"


@pytest.mark.parametrize("failures", [1, 2, 7])
def test_it_takes_exactly_that_many(failures: int) -> None:
    subject = breaker(failures=failures)
    fail(subject, *[0] * (failures - 1))
    assert subject.state(0) == "closed"
    fail(subject, 0)
    assert subject.state(0) == "open"


class Life(RuleBasedStateMachine):
    """Any life of a breaker whose requests are all admitted properly and end in one way each."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.running: list[bool] = []
        self.breaker = breaker(failures=2, probes=2)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def send(self) -> None:
        if self.breaker.admits(self.now):
            self.running.append(self.breaker.enter())

    @precondition(lambda self: self.running)
    @rule(end=st.sampled_from(["succeeded", "failed", "abandoned"]), which=st.integers(0, 100))
    def finish(self, end: str, which: int) -> None:
        probe = self.running.pop(which % len(self.running))
        if end == "failed":
            self.breaker.failed(self.now, probe=probe)
        else:
            getattr(self.breaker, end)(probe=probe)

    @invariant()
    def it_is_passed_over_only_while_open_or_probed(self) -> None:
        state = self.breaker.state(self.now)
        assert self.breaker.admits(self.now) or state != "closed"
        assert sum(self.running) <= 2, "more probes at a time than configured"
        if not any(self.running):
            assert self.breaker.admits(self.now + 5), "no probe runs, so one must be let through after a while"


TestLife = Life.TestCase


@given(st.lists(st.floats(0, 1000), max_size=30))
def test_below_the_limit_of_failures_it_never_opens(times: list[float]) -> None:
    subject = breaker(failures=31, window=10_000)
    fail(subject, *sorted(times))
    assert subject.state(2000) == "closed"


def test_it_says_when_it_will_let_somebody_through() -> None:
    subject = breaker(failures=1, open_for=5)
    assert subject.opens(1) == 1
    fail(subject, 1)
    assert (subject.opens(2), subject.opens(6), subject.opens(9)) == (6, 6, 9)
