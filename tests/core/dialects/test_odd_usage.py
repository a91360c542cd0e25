"""Usage that is partly wrong: what can be believed is kept, and nothing raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm import Usage
from asgi_llm.dialects.registry import DIALECTS

HUGE = 10**30
NAMES = {
    "chat": ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"),
    "responses": ("input_tokens", "output_tokens", "input_tokens_details", "cached_tokens"),
    "messages": ("input_tokens", "output_tokens", None, "cache_read_input_tokens"),
    "gemini": ("promptTokenCount", "candidatesTokenCount", None, "cachedContentTokenCount"),
}
dialects = pytest.mark.parametrize("dialect", list(NAMES))


def read(dialect: str, said: Any) -> Usage | None:
    return DIALECTS[dialect].usage(Raw(json.dumps(said).encode()))  # type: ignore[index]  # the names are literals


def usage(dialect: str, given: Any, made: Any, cached: Any = None) -> Usage | None:
    into, out, details, read_from = NAMES[dialect]
    said = {into: given, out: made}
    if cached is not None:
        said |= {details: {read_from: cached}} if details else {read_from: cached}
    return read(dialect, said)


@dialects
@pytest.mark.parametrize("odd", ["12", "many", [], {}, True, None, HUGE, -HUGE])
def test_one_odd_count_costs_none_of_the_others(dialect: str, odd: Any) -> None:
    found = usage(dialect, odd, 7)
    assert found is not None
    assert found.visible == 7
    found = usage(dialect, 5, odd)
    assert found is not None
    assert found.fresh == 5


@dialects
def test_numbers_that_cannot_be_are_not_believed(dialect: str) -> None:
    found = usage(dialect, HUGE, 7)
    assert found is not None
    assert (found.input, found.output) == (0, 7)
    found = usage(dialect, -5, -7)
    assert found is None or (found.input, found.output) == (0, 0)


@dialects
def test_more_from_the_cache_than_there_was(dialect: str) -> None:
    found = usage(dialect, 10, 1, 50)
    assert found is not None
    assert (found.fresh or 0) >= 0


@dialects
@pytest.mark.parametrize("said", [None, [], "text", 5, {}, {"else": 1}])
def test_what_is_no_usage_at_all(dialect: str, said: Any) -> None:
    found = read(dialect, said)
    assert found is None or (found.input, found.output, found.cost) == (0, 0, None)


@pytest.mark.parametrize(("dialect"), ["chat", "responses", "messages"])
def test_what_a_gateway_takes(dialect: str) -> None:
    into, out, *_ = NAMES[dialect]
    for dollars, cost in ((0.00123, 1230), (0, 0), (0.0000004, 0), (-1, None), (1e300, None), ("1", None)):
        found = read(dialect, {into: 1, out: 1, "cost": dollars})
        assert found is not None
        assert (found.cost, found.fresh) in [(cost, 1), (1_000_000 if dollars == "1" else cost, 1)]


def test_the_upstreams_price_comes_on_top_where_the_key_is_ones_own() -> None:
    said = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.0005, "is_byok": True}
    found = read("chat", said | {"cost_details": {"upstream_inference_cost": 0.01}})
    assert found is not None
    assert found.cost == 10_500


def test_tools_that_the_provider_ran_are_counted() -> None:
    found = read("messages", {"input_tokens": 1, "server_tool_use": {"web_search_requests": 2, "odd": "x", "bad": -1}})
    assert found is not None
    assert found.server_tools == {"web_search_requests": 2}
    said = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.1, "server_tool_use": {"web_search_requests": 3}}
    found = read("chat", said)
    assert found is not None
    assert found.server_tools == {"web_search_requests": 3}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@dialects
@given(said=st.data())
def test_nothing_raises_and_no_count_is_absurd(dialect: str, said: Any) -> None:
    into, out, details, read_from = NAMES[dialect]
    others = ("cost", "total_tokens", "server_tool_use", "cache_creation")
    names = [name for name in (into, out, details, read_from, *others) if name]
    found = read(dialect, said.draw(st.dictionaries(st.sampled_from(names), anything)))
    if found is not None:
        for name in ("fresh", "cache_read", "cache_write", "visible", "reasoning", "cost"):
            assert 0 <= (getattr(found, name) or 0) < 2**53
