"""The same figures through OpenTelemetry's own SDK."""

from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.telemetry.histogram import DURATION, FIRST_TOKEN, PER_TOKEN, TOKENS
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_events

metrics = pytest.importorskip("opentelemetry.metrics")
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics as names  # noqa: E402


async def test_they_reach_a_provider_that_is_set_later() -> None:
    async with ScriptedUpstream([Answer.sse(chat_events(["a", "b"])), Answer.json({"error": {}}, status=400)]) as one:
        tree: dict[str, Any] = {
            "targets": {"up": {"provider": "openai_compatible", "base_url": f"{one.url}/v1"}},
            "auth": {"anonymous": True},
            "telemetry": {"otel": True},
        }
        gateway = Gateway(tree)
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        async with gateway.running():
            for _ in range(2):
                body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
                exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
                await exchange.body()
                await exchange.finished()
    data = reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    assert scope.scope.name == "asgi_llm"
    found = {metric.name: metric for metric in scope.metrics}
    bounds = {
        names.GEN_AI_CLIENT_OPERATION_DURATION: ("s", DURATION),
        names.GEN_AI_CLIENT_TOKEN_USAGE: ("{token}", TOKENS),
        names.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN: ("s", FIRST_TOKEN),
        names.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN: ("s", PER_TOKEN),
    }
    for name, (unit, limits) in bounds.items():
        assert found[name].unit == unit
        assert tuple(found[name].data.data_points[0].explicit_bounds) == limits
    durations = found[names.GEN_AI_CLIENT_OPERATION_DURATION].data.data_points
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "m",
        "asgi_llm.endpoint": "chat_completions",
        "asgi_llm.target": "up",
    }
    good, failed = sorted(durations, key=lambda point: "error.type" in point.attributes)
    assert dict(good.attributes) == common
    assert common.items() < dict(failed.attributes).items()
    types = {point.attributes["gen_ai.token.type"] for point in found[names.GEN_AI_CLIENT_TOKEN_USAGE].data.data_points}
    assert types == {"input", "output"}
