"""The budget of retries, on a clock of the test's."""

import pytest

from asgi_llm.routing.budget import Budget


def spent(budget: Budget, now: float) -> int:
    """How many retries there were, all taken at once."""
    count = 0
    while budget.spend(now):
        count += 1
    return count


def test_a_burst_is_there_from_the_start_and_no_more() -> None:
    assert spent(Budget(0.2, 0), 0) == 100


def test_requests_earn_their_share() -> None:
    budget = Budget(0.2, 0)
    spent(budget, 0)
    budget.requests += 50
    assert spent(budget, 0) == 10


def test_a_few_come_back_with_time_alone() -> None:
    budget = Budget(0.2, 0)
    spent(budget, 0)
    assert spent(budget, 0.05) == 0
    assert spent(budget, 1.05) == 10


def test_what_was_saved_has_an_end() -> None:
    budget = Budget(0.2, 0)
    budget.requests += 1_000_000
    assert spent(budget, 1_000_000) == 100


@pytest.mark.parametrize("now", [0, 1000])
def test_without_a_share_there_are_none(now: float) -> None:
    budget = Budget(0, 0)
    budget.requests += 1000
    assert spent(budget, now) == 0


def test_a_storm_is_not_multiplied() -> None:
    """A thousand requests a second that all fail and would all be asked three times."""
    budget, retries = Budget(0.2, 0), 0
    for request in range(10_000):
        budget.requests += 1
        retries += sum(budget.spend(request / 1000) for _ in range(2))
    assert retries <= 100 + 0.2 * 10_000 + 10 * 10
    assert retries >= 0.2 * 10_000
