"""The ladder: the host's word, the first route, the default, the only target."""

import pytest

from asgi_llm.errors import ClientError, Kind, PolicyError
from asgi_llm.routing.resolve import Ladder, Resolution, Route, Way

TARGETS = ("openai", "anthropic", "fleet")
ROUTES = (
    Route("claude-*", "anthropic", (Way("openai"), Way("fleet"))),
    Route("claude-local", "fleet"),
    Route("org/*", "fleet"),
    Route("o[1-4]*", "openai"),
)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-x", Resolution("route", (Way("anthropic"), Way("openai"), Way("fleet")), "claude-*")),
        ("claude-local", Resolution("route", (Way("anthropic"), Way("openai"), Way("fleet")), "claude-*")),
        ("org/team/model", Resolution("route", (Way("fleet"),), "org/*")),
        ("o3-mini", Resolution("route", (Way("openai"),), "o[1-4]*")),
        ("o5", Resolution("default", (Way("openai"),))),
        ("Claude-x", Resolution("default", (Way("openai"),))),
        ("my-claude-x", Resolution("default", (Way("openai"),))),
        ("claude-x\n", Resolution("route", (Way("anthropic"), Way("openai"), Way("fleet")), "claude-*")),
    ],
)
def test_the_first_matching_route_wins_and_else_the_default(model: str, expected: Resolution) -> None:
    assert Ladder(TARGETS, ROUTES, "openai").resolve(model) == expected


def test_the_target_that_the_host_named_stands_above_every_route() -> None:
    assert Ladder(TARGETS, ROUTES, "openai").resolve("claude-x", "fleet") == Resolution("host", (Way("fleet"),))


@pytest.mark.parametrize("named", ["nowhere", "", "Fleet"])
def test_an_unknown_name_of_the_host_fails_closed(named: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Ladder(TARGETS, ROUTES, "openai").resolve("claude-x", named)
    assert (caught.value.code, caught.value.kind) == ("unknown_target", Kind.SERVER)


def test_a_single_target_needs_no_default() -> None:
    assert Ladder(["only"]).resolve("anything") == Resolution("single", (Way("only"),))


def test_a_single_target_that_is_also_the_default_is_called_that() -> None:
    assert Ladder(["only"], default="only").resolve("anything") == Resolution("default", (Way("only"),))


def test_no_rung_left_is_the_callers_mistake() -> None:
    with pytest.raises(ClientError) as caught:
        Ladder(TARGETS, ROUTES).resolve("gpt-5")
    assert (caught.value.code, caught.value.param, caught.value.status) == ("no_route", "model", 400)
    assert caught.value.message == 'no route leads to the model "gpt-5"'


def test_a_model_name_of_any_length_makes_a_short_message() -> None:
    with pytest.raises(ClientError) as caught:
        Ladder(TARGETS).resolve("x" * 100_000)
    assert len(caught.value.message) < 300


def test_a_fallback_to_a_target_already_in_the_chain_is_no_second_leg() -> None:
    ladder = Ladder(TARGETS, [Route("*", "openai", (Way("anthropic"), Way("openai"), Way("anthropic")))])
    assert ladder.resolve("m").targets == ("openai", "anthropic")


def test_a_target_is_another_leg_for_each_model_it_is_asked_for() -> None:
    ways = (Way("openai", "gpt-long", "overflow"), Way("openai"), Way("openai", "gpt-long"))
    found = Ladder(TARGETS, [Route("*", "openai", ways)]).resolve("m")
    assert found.ways == (Way("openai"), Way("openai", "gpt-long", "overflow"))
