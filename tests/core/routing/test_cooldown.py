"""Who is left alone until when, on a clock of the test's."""

from asgi_llm.routing.cooldown import ANY_MODEL, Cooldown


def test_it_lasts_until_its_end_and_is_forgotten() -> None:
    cooldown = Cooldown()
    assert not cooldown.ends
    cooldown.begin("a", "m", 10, 0)
    assert cooldown.ends
    assert (cooldown.until("a", "m", 9.9), cooldown.until("a", "m", 10)) == (10, 0)
    assert not cooldown.ends


def test_other_models_and_others_are_not_meant() -> None:
    cooldown = Cooldown()
    cooldown.begin("a", "m", 10, 0)
    assert (cooldown.until("a", "other", 1), cooldown.until("b", "m", 1)) == (0, 0)


def test_one_for_all_models_holds_for_each() -> None:
    cooldown = Cooldown()
    cooldown.begin("a", ANY_MODEL, 10, 0)
    cooldown.begin("a", "m", 5, 0)
    assert cooldown.until("a", "m", 1) == 10
    assert cooldown.entries("a", 1) == {ANY_MODEL: 9, "m": 4}


def test_the_later_end_stands() -> None:
    cooldown = Cooldown()
    cooldown.begin("a", "m", 10, 0)
    cooldown.begin("a", "m", 5, 1)
    assert cooldown.until("a", "m", 6) == 10


def test_a_limit_stands_above_overload() -> None:
    cooldown = Cooldown()
    cooldown.begin("a", "m", 10, 0, overloaded=True)
    assert cooldown.overloaded("a", "m")
    assert not cooldown.overloaded("a", "other")
    cooldown.begin("a", "m", 20, 1)
    assert not cooldown.overloaded("a", "m")
    cooldown.begin("a", "m", 15, 2, overloaded=True)
    assert not cooldown.overloaded("a", "m")
    cooldown.begin("a", "m", 40, 30, overloaded=True)
    assert cooldown.overloaded("a", "m")
    assert cooldown.until("a", "m", 40) == 0
    assert not cooldown.overloaded("a", "m")


def test_it_does_not_grow_without_bounds() -> None:
    cooldown = Cooldown()
    for number in range(10_000):
        cooldown.begin("a", f"m{number}", 100 + number, 0)
    assert len(cooldown.entries("a", 0)) <= 1024
    assert cooldown.until("a", "m9999", 0) == 100 + 9999
