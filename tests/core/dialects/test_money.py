"""What upstreams say that a request cost, as they say it, in whole microdollars."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.money import Costs, reported, with_gateway
from asgi_llm.neutral.usage import Usage


@pytest.mark.parametrize(
    ("said", "costs"),
    [
        ({"cost": 0.0042}, (4200, None)),
        ({"cost": "0.0045405"}, (4541, None)),
        ({"cost": 0.0000005}, (1, None)),
        ({"cost": 0}, (0, None)),
        # The cost restated, as OpenRouter does; and behind a key of one's own, its fee on top of what is paid beside.
        ({"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.95}}, (950_000, None)),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, (1_050_000, 1_000_000)),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, (None, None)),
        ({"cost": 0, "market_cost": 0.0085, "gateway_cost": 0.0085, "is_byok": False}, (0, 8500)),
        ({"cost": 0, "market_cost": 0.0085, "is_byok": True}, (8500, 8500)),
        ({"cost_in_usd_ticks": 37_756_000}, (3776, None)),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.0061}}, (6100, None)),
        ({"cost": -1}, (None, None)),
        ({"cost": "NaN"}, (None, None)),
        ({"cost": "1e400"}, (None, None)),
        ({"cost": float("inf")}, (None, None)),
        ({"cost": True}, (None, None)),
        ({"cost": [1]}, (None, None)),
        ({"cost_in_usd_ticks": "many"}, (None, None)),
        ({"cost_details": 5, "market_cost": {}}, (None, None)),
    ],
)
def test_what_a_usage_says(said: dict[str, Any], costs: tuple[int | None, int | None]) -> None:
    assert reported(said) == Costs(*costs)


def gateway(**said: Any) -> dict[str, Any]:
    return {"provider_metadata": {"openai": {}, "gateway": {"generationId": "gen_1", **said}}}


PAID = {"cost": "0.0017", "marketCost": "0.0085", "inferenceCost": "0.0085"}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "Hi", **gateway(**PAID)}}]},
        {"choices": [{"delta": gateway(**PAID), "finish_reason": "stop"}]},
        {"type": "response.completed", "response": {"output": [], **gateway(**PAID)}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **gateway(**PAID)},
        {"providerMetadata": {"gateway": PAID}},
    ],
)
def test_what_a_gateway_says_beside_it(body: dict[str, Any]) -> None:
    assert with_gateway(Usage(fresh=1), json.dumps(body).encode()) == Usage(fresh=1, cost=1700, market=8500)
    # What the usage itself said is not said again.
    told = Usage(fresh=1, cost=5)
    assert with_gateway(told, json.dumps(body).encode()) is told


def test_a_key_of_ones_own_behind_a_gateway() -> None:
    attempts = [{"credentialType": "byok", "success": False}, {"credentialType": "system", "success": True}]
    body = json.dumps(gateway(cost="0.001", marketCost="0.001", routing={"attempts": attempts})).encode()
    assert with_gateway(None, body) == Usage(cost=1000, market=1000)
    body = json.dumps(gateway(cost="0", marketCost="0.002", routing={"attempts": attempts[:1]})).encode()
    assert with_gateway(None, body) == Usage(cost=0, market=2000)
    attempts[0]["success"] = True
    body = json.dumps(gateway(cost="0", marketCost="0.002", routing={"attempts": attempts})).encode()
    assert with_gateway(None, body) == Usage(cost=2000, market=2000)


@pytest.mark.parametrize(
    "body",
    [
        b'{"gateway"',
        b'{"provider_metadata":{"gateway":[]}}',
        b'{"provider_metadata":{"gateway":{"cost":"much"}}}',
        b'{"choices":[{"message":{"content":"the \\"gateway\\""}}]}',
        b'["gateway"]',
    ],
)
def test_what_is_no_cost_changes_nothing(body: bytes) -> None:
    usage = Usage(fresh=1)
    assert with_gateway(usage, body) is usage
