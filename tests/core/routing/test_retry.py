"""What follows a failed attempt: the table of verdicts, and the bounds of the wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.routing.retry import Verdict, blames_worker, cooling, delay, judge, rule_of

RETRY, NEXT, LARGER, FINAL = Verdict.RETRY, Verdict.NEXT_LEG, Verdict.LARGER, Verdict.FINAL


def answered(status: int) -> UpstreamError:
    kind = next((kind for kind in Kind if kind.status == status), Kind.BAD_REQUEST)
    return UpstreamError("it said no", cause=Cause.STATUS, kind=kind, upstream_status=status)


@pytest.mark.parametrize(
    ("status", "verdict", "blamed"),
    [
        (400, FINAL, False),
        (401, NEXT, False),
        (402, NEXT, False),
        (403, NEXT, False),
        (404, NEXT, False),
        (405, FINAL, False),
        (408, RETRY, False),
        (409, RETRY, False),
        (413, FINAL, False),
        (415, FINAL, False),
        (418, FINAL, False),
        (422, FINAL, False),
        (425, RETRY, False),
        (429, RETRY, False),
        (500, RETRY, True),
        (501, RETRY, False),
        (502, RETRY, True),
        (503, RETRY, True),
        (504, RETRY, True),
        (521, RETRY, True),
        (524, RETRY, True),
        (529, RETRY, True),
        (599, RETRY, False),
    ],
)
def test_verdict_by_status(status: int, verdict: Verdict, blamed: bool) -> None:
    assert (judge(answered(status)), blames_worker(answered(status))) == (verdict, blamed)


@pytest.mark.parametrize(
    ("cause", "verdict", "blamed"),
    [
        (Cause.CONNECT, RETRY, True),
        (Cause.TLS, RETRY, True),
        (Cause.CONNECT_TIMEOUT, RETRY, True),
        (Cause.POOL_TIMEOUT, RETRY, False),
        (Cause.FIRST_BYTE_TIMEOUT, RETRY, True),
        (Cause.IDLE_TIMEOUT, RETRY, True),
        (Cause.TOTAL_TIMEOUT, FINAL, True),
        (Cause.RESET, RETRY, True),
        (Cause.PROTOCOL, RETRY, True),
        (Cause.CONTENT, RETRY, True),
        (Cause.TRUNCATED, RETRY, True),
        (Cause.UNAVAILABLE, RETRY, False),
    ],
)
def test_verdict_by_cause(cause: Cause, verdict: Verdict, blamed: bool) -> None:
    error = UpstreamError("it broke", cause=cause)
    assert (judge(error), blames_worker(error)) == (verdict, blamed)


def test_every_cause_is_in_one_of_the_tables() -> None:
    marks = test_verdict_by_cause.pytestmark  # type: ignore[attr-defined]  # pytest puts it there
    assert {row[0] for row in marks[0].args[1]} | {Cause.STATUS, Cause.IN_BAND} == set(Cause)


@pytest.mark.parametrize(
    ("kind", "verdict", "blamed"),
    [
        (Kind.OVERLOADED, RETRY, True),
        (Kind.SERVER, RETRY, True),
        (Kind.BAD_GATEWAY, RETRY, True),
        (Kind.TIMEOUT, RETRY, True),
        (Kind.RATE_LIMIT, RETRY, False),
        (Kind.AUTHENTICATION, NEXT, False),
        (Kind.NOT_FOUND, NEXT, False),
        (Kind.BAD_REQUEST, FINAL, False),
        (Kind.CONTEXT_LENGTH, LARGER, False),
    ],
)
def test_an_error_inside_a_good_answer_counts_by_its_kind_not_by_the_200(
    kind: Kind, verdict: Verdict, blamed: bool
) -> None:
    error = UpstreamError("in a 200", cause=Cause.IN_BAND, kind=kind, upstream_status=200)
    assert (judge(error), blames_worker(error)) == (verdict, blamed)


@pytest.mark.parametrize(
    ("cause", "again"),
    [
        (Cause.CONNECT, True),
        (Cause.TLS, False),
        (Cause.CONNECT_TIMEOUT, True),
        (Cause.POOL_TIMEOUT, False),
        (Cause.FIRST_BYTE_TIMEOUT, False),
        (Cause.IDLE_TIMEOUT, False),
        (Cause.TOTAL_TIMEOUT, False),
        (Cause.RESET, True),
        (Cause.PROTOCOL, True),
        (Cause.CONTENT, False),
        (Cause.TRUNCATED, True),
        (Cause.UNAVAILABLE, False),
    ],
)
def test_the_only_worker_is_asked_again_where_that_helps(cause: Cause, again: bool) -> None:
    assert rule_of(UpstreamError("it broke", cause=cause)).again == again


@pytest.mark.parametrize(
    ("status", "again", "key"),
    [
        (401, False, True), (402, False, True), (403, False, True), (404, False, False), (408, True, False),
        (429, True, True), (500, True, False), (501, False, False), (503, True, False), (504, False, False),
        (529, True, False),
    ],
)  # fmt: skip
def test_which_statuses_another_time_or_another_key_can_mend(status: int, again: bool, key: bool) -> None:
    assert (rule_of(answered(status)).again, rule_of(answered(status)).key) == (again, key)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_too_long_for_one_model_may_go_to_a_larger_one(status: int) -> None:
    error = UpstreamError("too long", cause=Cause.STATUS, kind=Kind.CONTEXT_LENGTH, upstream_status=status)
    assert (judge(error), blames_worker(error)) == (LARGER, False)


@pytest.mark.parametrize(("cause", "status"), [(Cause.STATUS, 429), (Cause.IN_BAND, 200)])
def test_no_money_left_is_no_matter_of_waiting(cause: Cause, status: int) -> None:
    error = UpstreamError("pay", cause=cause, kind=Kind.BILLING, upstream_status=status, retry_after=1)
    assert (judge(error), rule_of(error).key, cooling(error)) == (NEXT, True, None)


@pytest.mark.parametrize("cause", [Cause.STATUS, Cause.IN_BAND])
def test_refused_credentials_are_found_by_their_code_whatever_the_status(cause: Cause) -> None:
    error = UpstreamError("no", cause=cause, code="upstream_authentication", upstream_status=400)
    assert (judge(error), rule_of(error).key) == (NEXT, True)


@pytest.mark.parametrize(
    ("status", "said", "verdict"),
    [
        (429, False, NEXT), (500, False, NEXT), (500, True, RETRY), (400, True, RETRY), (400, False, FINAL),
        (404, True, RETRY), (404, False, NEXT),
    ],
)  # fmt: skip
def test_the_upstreams_own_word_stands_above_the_table(status: int, said: bool, verdict: Verdict) -> None:
    error = answered(status)
    error.should_retry = said
    assert judge(error) is verdict


@pytest.mark.parametrize(
    ("status", "kind", "retry_after", "seconds"),
    [
        (429, Kind.RATE_LIMIT, 3.0, 3.0),
        (429, Kind.RATE_LIMIT, None, 0.0),
        (503, Kind.OVERLOADED, 3.0, 3.0),
        (503, Kind.OVERLOADED, None, None),
        (529, Kind.OVERLOADED, 2.0, 2.0),
        (529, Kind.OVERLOADED, None, None),
        (500, Kind.SERVER, 3.0, None),
        (400, Kind.BAD_REQUEST, 3.0, None),
    ],
)
def test_who_wants_to_be_left_alone(status: int, kind: Kind, retry_after: float | None, seconds: float | None) -> None:
    error = UpstreamError("no", cause=Cause.STATUS, kind=kind, upstream_status=status, retry_after=retry_after)
    assert cooling(error) == seconds


def test_a_broken_connection_asks_for_no_rest() -> None:
    assert cooling(UpstreamError("reset", cause=Cause.RESET, retry_after=3)) is None


WAITS = {"base": 0.05, "factor": 2.0, "cap": 1.0, "jitter": 0.0, "spread": 0.5}


@pytest.mark.parametrize(
    ("attempt", "changed", "seconds"),
    [
        (2, {}, 0.05),
        (3, {}, 0.1),
        (4, {}, 0.2),
        (20, {}, 1.0),
        (2, {"jitter": 0.2, "spread": 0.0}, 0.04),
        (2, {"jitter": 0.2, "spread": 1.0}, 0.05),
        (2, {"jitter": 1.0, "spread": 0.0}, 0.0),
        (3, {"jitter": 1.0, "spread": 0.5}, 0.05),
        (20, {"jitter": 0.2, "spread": 1.0}, 1.0),
        (20, {"jitter": 0.2, "spread": 0.0}, 0.8),
        (2, {"base": 0.0}, 0.0),
        (2, {"cap": 0.0}, 0.0),
    ],
)
def test_the_wait_grows_to_its_cap(attempt: int, changed: dict[str, float], seconds: float) -> None:
    assert delay(attempt, **(WAITS | changed)) == pytest.approx(seconds)


@given(
    attempt=st.integers(2, 20),
    base=st.floats(0, 100),
    factor=st.floats(1, 10),
    cap=st.floats(0, 100),
    jitter=st.floats(0, 1),
    spread=st.floats(0, 1),
)
def test_no_wait_is_negative_or_longer_than_the_cap(
    attempt: int, base: float, factor: float, cap: float, jitter: float, spread: float
) -> None:
    assert 0 <= delay(attempt, base=base, factor=factor, cap=cap, jitter=jitter, spread=spread) <= cap
