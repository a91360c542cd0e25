"""Each in turn."""

from asgi_llm.routing.balance.round_robin import RoundRobin


def test_each_gets_its_turn() -> None:
    balance = RoundRobin()
    assert [balance.pick("abc") for _ in range(7)] == list("abcabca")


def test_the_turn_survives_a_change_in_number() -> None:
    balance = RoundRobin()
    assert [balance.pick("abc"), balance.pick("ab"), balance.pick("a"), balance.pick("ab")] == ["a", "b", "a", "b"]
