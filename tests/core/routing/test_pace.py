"""After which time a second attempt is worth making."""

from asgi_llm.routing.pace import Pace
from asgi_llm.settings import HedgeSettings


def test_a_fixed_time_is_kept_whatever_answers_take() -> None:
    pace = Pace(HedgeSettings(after=2))
    for _ in range(100):
        pace.began(9)
    assert pace.patience() == 2


def test_a_percentile_is_told_once_there_are_enough() -> None:
    pace = Pace(HedgeSettings(percentile=90))
    for number in range(19):
        pace.began(number)
    assert pace.patience() is None
    pace.began(19)
    assert pace.patience() == 18


def test_until_then_the_fixed_time_stands_in() -> None:
    pace = Pace(HedgeSettings(after=5, percentile=95))
    assert pace.patience() == 5
    for _ in range(20):
        pace.began(1)
    assert pace.patience() == 1


def test_it_follows_what_answers_take_now() -> None:
    pace = Pace(HedgeSettings(percentile=95))
    for seconds in (1, 7):
        for _ in range(200):
            pace.began(seconds)
    assert pace.patience() == 7
