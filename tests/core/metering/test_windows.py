"""The time over which quotas count."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.metering.windows import Calendar, Lifetime, Sliding, wait


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@given(now=st.floats(1e9, 2e9), seconds=st.floats(1, 1e7), back=st.floats(0, 1))
def test_nothing_of_the_last_seconds_is_left_out(now: float, seconds: float, back: float) -> None:
    window = Sliding(seconds)
    then = window.span(now - back * seconds)
    assert window.span(now).first <= then.slot <= window.span(now).slot


@given(now=st.floats(1e9, 2e9), seconds=st.floats(1, 1e7))
def test_a_slot_counts_until_it_leaves(now: float, seconds: float) -> None:
    window = Sliding(seconds)
    slot = window.span(now).slot
    leaves = window.leaves(slot)
    assert seconds * 0.999 <= leaves - now <= seconds * 1.07
    assert window.span(leaves + window.length / 100).first > slot
    assert window.span(leaves - window.length / 100).first <= slot


@pytest.mark.parametrize(
    ("unit", "zone", "now", "begin", "end"),
    [
        ("day", "UTC", "2026-02-28T23:59:59+00:00", "2026-02-28T00:00+00:00", "2026-03-01T00:00+00:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("day", "Europe/Berlin", "2026-10-25T00:30+02:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("day", "Asia/Tokyo", "2026-01-01T20:00+00:00", "2026-01-02T00:00+09:00", "2026-01-03T00:00+09:00"),
        ("month", "UTC", "2024-02-29T12:00+00:00", "2024-02-01T00:00+00:00", "2024-03-01T00:00+00:00"),
        ("month", "America/New_York", "2026-12-31T23:00-05:00", "2026-12-01T00:00-05:00", "2027-01-01T00:00-05:00"),
        ("month", "Europe/Berlin", "2026-10-31T12:00+01:00", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00"),
    ],
)
def test_the_calendar(unit: str, zone: str, now: str, begin: str, end: str) -> None:
    span = Calendar(unit, zone).span(at(now))
    assert (span.first, span.slot, span.reset) == (at(begin), at(begin), at(end))
    assert span.keep >= span.reset


@given(now=st.floats(0, 4e9), unit=st.sampled_from(["day", "month"]), zone=st.sampled_from(["UTC", "Europe/London"]))
def test_every_moment_is_in_its_span(now: float, unit: str, zone: str) -> None:
    span = Calendar(unit, zone).span(now)
    assert span.slot <= now < span.reset
    assert Calendar(unit, zone).span(span.reset).slot == span.reset


def test_waiting() -> None:
    window = Sliding(160)
    now = at("2026-01-01T00:00:00+00:00")
    slot = window.span(now).slot
    slots = {slot - 3: 5, slot - 1: 7}
    assert wait(window, slots, 5, now) == pytest.approx(window.leaves(slot - 3) - now)
    assert wait(window, slots, 6, now) == pytest.approx(window.leaves(slot - 1) - now)
    assert wait(window, slots, 13, now) is None
    assert wait(Lifetime(), {0: 5}, 1, now) is None
    day = Calendar("day")
    assert wait(day, {day.span(now).slot: 5}, 1, now + 3600) == 23 * 3600
    assert datetime.fromtimestamp(day.span(now).reset, UTC).day == 2
