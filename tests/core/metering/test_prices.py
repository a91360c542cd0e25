"""From tokens to money: integers, to the microdollar."""

import datetime as dt
import os
from typing import Any

import msgspec
import pytest

from asgi_llm import ConfigError, Gateway, Usage
from asgi_llm.metering.library import installed
from asgi_llm.metering.prices import Bill, Prices
from asgi_llm.pipeline.bookkeeping import compile_prices
from asgi_llm.settings import PricesSettings, Settings

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC).timestamp()
SONNET = {
    "model": "claude-*",
    "input": 3,
    "output": 15,
    "cache_read": 0.3,
    "cache_write": 3.75,
    "cache_write_1h": 6,
    "tools": {"web_search_requests": 0.01},
    "tiers": [{"above": 200_000, "input": 6, "output": 22.5, "cache_read": 0.6}],
}


def prices(*own: dict[str, Any], **more: Any) -> Prices:
    return Prices(PricesSettings.model_validate({"own": own, "library": False, **more}), {})


def cost(usage: Usage, *own: dict[str, Any], **more: Any) -> int | None:
    return prices(*own, **more).bill("t", "claude-x", usage, NOW).cost


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(fresh=100_000), 300_000),
        (Usage(visible=1_000_000), 15_000_000),
        (Usage(reasoning=10), 150),
        (Usage(fresh=1000, cache_read=9000, visible=200), 3000 + 2700 + 3000),
        (Usage(cache_write=1000), 3750),
        (Usage(cache_write_5m=1000, cache_write_1h=1000), 3750 + 6000),
        (Usage(tool_prompt=7), 21),
        (Usage(cache_read=1), 0),
        (Usage(cache_read=2), 1),
        (Usage(cache_read=5), 2),
        (Usage(server_tools={"web_search_requests": 3, "else": 9}), 30_000),
        (Usage(fresh=200_000), 600_000),
        (Usage(fresh=200_001), 1_200_006),
        (Usage(fresh=150_000, cache_read=60_000, visible=10), 900_000 + 36_000 + 225),
        (Usage(), 0),
    ],
)
def test_what_tokens_cost(usage: Usage, expected: int) -> None:
    assert cost(usage, SONNET) == expected


def test_a_half_of_a_microdollar_goes_up_and_is_rounded_once() -> None:
    price = {"model": "*", "input": 0.5, "output": 0.25}
    assert cost(Usage(fresh=1), price) == 1
    assert cost(Usage(fresh=1, visible=1), price) == 1  # 0.75
    assert cost(Usage(visible=1), price) == 0
    assert cost(Usage(visible=2), price) == 1
    assert cost(Usage(fresh=2**53), {"model": "*", "input": 0.000001, "output": 0}) == 9_007_199_255


def test_sound_is_counted_once() -> None:
    price = {"model": "*", "input": 1, "output": 2, "audio_in": 10, "audio_out": 20}
    assert cost(Usage(fresh=100, audio_in=40, visible=50, audio_out=50), price) == 60 + 400 + 1000
    # More sound than there is input cannot be.
    assert cost(Usage(fresh=10, audio_in=40), price) == 100


def test_what_has_no_price_of_its_own_costs_what_it_is_a_part_of() -> None:
    price = {"model": "*", "input": 2, "output": 4}
    assert cost(Usage(fresh=1, cache_read=1, cache_write=1, cache_write_1h=1, reasoning=1, audio_in=1), price) == 12
    assert cost(Usage(cache_write_5m=1, cache_write_1h=1), price | {"cache_write": 5}) == 10


def test_each_request_may_cost() -> None:
    assert cost(Usage(fresh=1), {"model": "*", "input": 1, "output": 1, "request": 0.005}) == 5001


def test_unknown_is_not_free() -> None:
    assert prices().bill("t", "m", Usage(fresh=1), NOW) == Bill(None, None, None)
    assert prices(SONNET).bill("t", "gpt", Usage(fresh=1), NOW).cost is None
    assert prices(SONNET).bill("t", "claude-x", None, NOW) == Bill()


def test_the_first_price_that_fits_is_taken() -> None:
    usage = Usage(fresh=1_000_000)
    found = prices(
        {"model": "m", "target": "eu-*", "input": 1, "output": 1},
        {"model": "m", "until": "2026-11-21", "input": 2, "output": 1},
        {"model": "m", "since": "2026-11-22", "input": 3, "output": 1},
        {"model": "m", "since": "2026-11-21", "until": "2026-11-22", "input": 4, "output": 1},
        {"model": "*", "input": 5, "output": 1},
    )

    def at(day: int, target: str = "us", model: str = "m") -> int | None:
        when = dt.datetime(2026, 11, day, 23, 59, 59, tzinfo=dt.UTC).timestamp()
        return found.bill(target, model, usage, when).cost

    assert (at(20), at(21), at(22)) == (2_000_000, 4_000_000, 3_000_000)
    assert (at(21, "eu-1"), at(21, model="other")) == (1_000_000, 5_000_000)


def test_a_discount_lowers_the_cost_and_not_the_market() -> None:
    bill = prices(SONNET, discounts={"t": 0.15}).bill("t", "claude-x", Usage(fresh=1001), NOW)
    assert bill == Bill(2553, 3003, "own")  # 2552.55
    assert prices(SONNET, discounts={"other": 0.15}).bill("t", "claude-x", Usage(fresh=1001), NOW).cost == 3003


def test_what_somebody_else_pays_costs_nothing_and_keeps_its_market_cost() -> None:
    usage = Usage(fresh=1000)
    assert prices(SONNET, byok=["t"]).bill("t", "claude-x", usage, NOW) == Bill(0, 3000, "byok")
    assert prices(SONNET).bill("t", "claude-x", usage, NOW, byok=True) == Bill(0, 3000, "byok")
    assert prices(byok=["t"]).bill("t", "claude-x", usage, NOW) == Bill(0, None, "byok")


@pytest.mark.parametrize(
    ("reported", "bill"),
    [
        (3000, Bill(3000, 3000, "own")),
        (3001, Bill(3000, 3000, "own")),
        (3060, Bill(3000, 3000, "own")),
        (3100, Bill(3000, 3000, "own", mismatch=True)),
        (0, Bill(3000, 3000, "own", mismatch=True)),
    ],
)
def test_an_own_price_stands_and_another_report_is_flagged(reported: int, bill: Bill) -> None:
    usage = Usage(fresh=1000, cost=reported)
    assert prices(SONNET).bill("t", "claude-x", usage, NOW) == bill


def test_without_an_own_price_the_report_counts() -> None:
    assert prices(discounts={"t": 0.5}).bill("t", "x", Usage(cost=77), NOW) == Bill(77, 77, "provider")


def problem(**settings: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        Settings.load({"targets": {"echo": {"provider": "echo"}}, "prices": settings})
    return str(raised.value.problems[0])


def test_mistakes_are_told_with_their_path() -> None:
    assert problem(own=[{"model": "m", "input": 1}]).startswith("prices.own[0]: give both input and output")
    assert problem(own=[SONNET | {"tiers": [{"above": 2}, {"above": 1}]}]).startswith("prices.own[0]: tiers must be")
    assert problem(own=[SONNET | {"input": -1}]).startswith("prices.own[0].input: ")
    assert problem(own=[SONNET | {"since": "2026-02-02", "until": "2026-02-02"}]).startswith("prices.own[0]: until")
    assert problem(own=[SONNET | {"inptu": 1}]) == 'prices.own[0].inptu: is not a setting; did you mean "input"?'
    assert problem(discounts={"nobody": 0.1}).startswith('prices.discounts.nobody: there is no target "nobody"')
    assert problem(byok=["nobody"]).startswith('prices.byok[0]: there is no target "nobody"')
    assert problem(discounts={"echo": 1.5}).startswith("prices.discounts.echo: ")


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llm.pipeline.bookkeeping.installed", lambda: False)
    with pytest.raises(ConfigError, match=r'prices\.library: needs an extra: pip install "asgi-llm\[prices\]"'):
        Gateway({"targets": {"echo": {"provider": "echo"}}, "prices": {"library": True}})


TARGETS = {
    "gpt": {"provider": "openai"},
    "claude": {"provider": "anthropic"},
    "google": {"provider": "gemini"},
    "router": {"provider": "openrouter"},
    "groq": {"provider": "openai_compatible", "base_url": "https://api.groq.com/openai/v1"},
    "own": {"provider": "openai_compatible", "base_url": "http://127.0.0.1:1/v1"},
    "engine": {"provider": "vllm", "base_url": "http://127.0.0.1:1/v1"},
}


def library(**more: Any) -> Prices:
    if not installed():
        if "CI" in os.environ:
            pytest.fail("genai-prices is not installed")
        pytest.skip("genai-prices is not installed")
    settings = Settings.load({"targets": TARGETS, "prices": more})
    return compile_prices(settings, Gateway(settings)._blueprint.targets)


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("gpt", "gpt-4o-mini"),
        ("claude", "claude-3-5-haiku-latest"),
        ("google", "gemini-2.5-pro"),
        ("router", "openai/gpt-4o-mini"),
        ("groq", "llama-3.3-70b-versatile"),
    ],
)
@pytest.mark.parametrize("tokens", [1000, 300_000])
def test_the_library_and_we_agree(target: str, model: str, tokens: int) -> None:
    """Our integers make what its own calculation does, long contexts included."""
    import genai_prices

    usage = Usage(fresh=tokens, cache_read=500, visible=321)
    bill = library().bill(target, model, usage, NOW)
    listed = {"gpt": "openai", "claude": "anthropic", "google": "google", "router": "openrouter", "groq": "groq"}
    told = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=tokens + 500, cache_read_tokens=500, output_tokens=321),
        model_ref=model,
        provider_id=listed[target],
        genai_request_timestamp=dt.datetime.fromtimestamp(NOW, dt.UTC),
    )
    assert bill.source == "library"
    assert bill.cost is not None
    assert abs(bill.cost - told.total_price * 1_000_000) <= 0.5


def test_nobody_knows_what_an_engine_of_ones_own_costs() -> None:
    found = library()
    assert found.bill("engine", "gpt-4o-mini", Usage(fresh=1), NOW) == Bill()
    assert found.bill("own", "gpt-4o-mini", Usage(fresh=1), NOW) == Bill()
    assert found.bill("gpt", "nothing-like-it", Usage(fresh=1), NOW) == Bill()
    assert library(library=False).bill("gpt", "gpt-4o-mini", Usage(fresh=1), NOW) == Bill()


def test_a_report_comes_before_the_library_and_is_compared_with_it() -> None:
    bill = library().bill("router", "openai/gpt-4o-mini", Usage(fresh=1_000_000, cost=1), NOW)
    assert (bill.cost, bill.source, bill.mismatch) == (1, "provider", True)
    assert bill.market == 150_000


def test_a_fee_or_a_discount_of_the_accounts_is_no_other_price() -> None:
    """Where a report tells what anybody pays, that is what the list is held against."""
    usage = Usage(fresh=1_000_000, cost=157_500, market=150_000)
    bill = library().bill("router", "openai/gpt-4o-mini", usage, NOW)
    assert bill == Bill(157_500, 150_000, "provider", mismatch=False)
    usage = Usage(fresh=1_000_000, cost=0, market=300_000)
    assert library().bill("router", "openai/gpt-4o-mini", usage, NOW).mismatch
    assert prices().bill("t", "x", Usage(cost=0, market=300_000), NOW) == Bill(0, 300_000, "provider")


def test_settings_read_again_are_the_same() -> None:
    settings = PricesSettings.model_validate({"own": [SONNET]})
    assert PricesSettings.model_validate(settings.model_dump()) == settings
    assert PricesSettings.model_validate(msgspec.json.decode(settings.model_dump_json())) == settings
