"""Several keys of one target, on a clock of the test's."""

import logging

import pytest

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.fleet.keys import KeyPool
from asgi_llm.providers.provider import bearer

SECRETS = ["sk-zero", "sk-one", "sk-two"]


@pytest.fixture
def pool() -> KeyPool:
    return KeyPool("openai", [bearer(secret) for secret in SECRETS], 60)


def picked(pool: KeyPool, now: float, model: str = "m") -> list[int]:
    return [pool.pick(now, model) for _ in range(6)]


def limited(retry_after: float | None) -> UpstreamError:
    return UpstreamError(
        "slow down", cause=Cause.STATUS, kind=Kind.RATE_LIMIT, upstream_status=429, retry_after=retry_after
    )


def refused(status: int) -> UpstreamError:
    return UpstreamError("no", cause=Cause.STATUS, code="upstream_authentication", upstream_status=status)


def test_they_take_turns(pool: KeyPool) -> None:
    assert picked(pool, 0) == [0, 1, 2, 0, 1, 2]


def test_one_at_its_limit_is_left_out_for_that_model_until_then(pool: KeyPool) -> None:
    pool.failed(1, limited(10), "m", 0)
    assert set(picked(pool, 9)) == {0, 2}
    assert set(picked(pool, 9, "other")) == {0, 1, 2}
    assert set(picked(pool, 10)) == {0, 1, 2}


def test_a_limit_without_a_number_counts_for_a_moment(pool: KeyPool) -> None:
    pool.failed(1, limited(None), "m", 0)
    assert set(picked(pool, 0.9)) == {0, 2}
    assert set(picked(pool, 1)) == {0, 1, 2}


def test_nobody_is_left_out_for_longer_than_the_settings_have_it(pool: KeyPool) -> None:
    pool.failed(1, limited(100_000), "m", 0)
    assert set(picked(pool, 60)) == {0, 1, 2}


def test_it_is_said_when_all_are_at_their_limits(pool: KeyPool) -> None:
    for key, seconds in enumerate((10, 5, 20)):
        assert pool.ready(0, "m") == 0
        pool.failed(key, limited(seconds), "m", 0)
    assert pool.ready(0, "m") == 5
    assert pool.ready(5, "m") == 0


def test_a_refused_one_is_left_out_for_every_model_and_logged_by_number(
    pool: KeyPool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "asgi_llm"):
        pool.failed(1, refused(401), "m", 0)
    assert set(picked(pool, 1, "other")) == {0, 2}
    assert set(picked(pool, 301)) == {0, 1, 2}
    assert "target openai: key 1 was refused (401)" in caplog.text
    assert "sk-" not in caplog.text + repr(pool)


def test_one_that_may_not_use_a_model_serves_others(pool: KeyPool) -> None:
    pool.failed(1, refused(403), "m", 0)
    assert set(picked(pool, 1)) == {0, 2}
    assert set(picked(pool, 1, "other")) == {0, 1, 2}


def test_where_all_were_refused_the_upstream_is_still_asked(pool: KeyPool) -> None:
    for key in range(3):
        pool.failed(key, refused(401), "m", 0)
    assert pool.ready(1, "m") == 0
    assert set(picked(pool, 1)) == {0, 1, 2}


def test_a_refused_key_does_not_stand_in_for_one_at_its_limit(pool: KeyPool) -> None:
    pool.failed(0, refused(401), "m", 0)
    pool.failed(1, limited(10), "m", 0)
    pool.failed(2, limited(20), "m", 0)
    assert pool.ready(1, "m") == 10
    assert pool.pick(1, "m") == 1


def test_only_the_credentials_are_exchanged(pool: KeyPool) -> None:
    fixed = ((b"authorization", b"Bearer sk-zero"), (b"x-own", b"1"))
    assert pool.dress(fixed, 2) == ((b"x-own", b"1"), (b"authorization", b"Bearer sk-two"))
    assert pool.dress(fixed, 2) is pool.dress(fixed, 2)
