"""What is counted, under which names, and that there is an end to it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway, Identity
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import Answer, ASGIDriver, Reset, ScriptedUpstream, Tokens, Wait, chat_events, chat_text

prometheus = pytest.importorskip("prometheus_client")
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes  # noqa: E402
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics  # noqa: E402
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
KEY = {"authorization": "Bearer scrape-me"}
BOSS = Identity(subject="boss", roles=("admin",))


def settings(url: str, **telemetry: Any) -> dict[str, Any]:
    return {
        "targets": {"up": {"provider": "openai_compatible", "base_url": f"{url}/v1"}},
        "auth": {"anonymous": True},
        "telemetry": {"metrics": True, "key": "scrape-me", **telemetry},
    }


async def ask(gateway: Gateway, path: str = "/v1/chat/completions", **body: Any) -> Any:
    exchange = await ASGIDriver(gateway.asgi).request("POST", path, json={**CHAT, **body})
    head = await exchange.start()
    await exchange.body()
    await exchange.finished()
    return head


class Scrape:
    """The samples of one reading by name."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self, name: str, **labels: str) -> list[Any]:
        found = (sample for family in self.families.values() for sample in family.samples if sample.name == name)
        return [sample for sample in found if labels.items() <= sample.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        return sum(sample.value for sample in self.samples(name, **labels))


async def scrape(gateway: Gateway) -> Scrape:
    exchange = await ASGIDriver(gateway.asgi).request("GET", "/metrics", headers=KEY)
    assert (await exchange.start()).status == 200
    return Scrape((await exchange.body()).decode())


async def test_a_good_answer_and_a_stream() -> None:
    first, *rest = chat_events(["Hel", "lo!"])
    async with ScriptedUpstream([chat_text("hi"), Answer.sse([first, *rest])]) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            await ask(gateway)
            await ask(gateway, stream=True)
            found = await scrape(gateway)
    common = {"endpoint": "chat_completions", "target": "up", "model": "m", "mode": "patched", "outcome": "ok"}
    assert found.value("asgi_llm_requests_total", **common, stream="false", status="200") == 1
    assert found.value("asgi_llm_requests_total", **common, stream="true", status="200") == 1
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai_compatible", "gen_ai_request_model": "m"}
    assert found.value("gen_ai_client_operation_duration_seconds_count", **labels, error_type="") == 2
    assert found.value("gen_ai_client_token_usage_count", **labels, gen_ai_token_type="output") == 2
    assert found.value("gen_ai_server_time_to_first_token_seconds_count", **labels) == 1
    assert found.value("gen_ai_server_time_per_output_token_seconds_count", **labels) == 1
    assert found.value("asgi_llm_attempts_total", target="up", result="ok") == 2
    assert found.value("asgi_llm_worker_breaker", worker="up#0", state="closed") == 1
    assert found.value("asgi_llm_requests_in_flight") == 0


def prometheus_name(name: str, unit: str) -> str:
    """As OpenTelemetry's own exporter for Prometheus writes them."""
    return name.replace(".", "_") + {"s": "_seconds", "{token}": ""}[unit]


def conventional() -> Iterator[tuple[str, str]]:
    yield gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION, "s"
    yield gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE, "{token}"
    yield gen_ai_metrics.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN, "s"
    yield gen_ai_metrics.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN, "s"


async def test_the_names_are_those_of_the_conventions() -> None:
    async with ScriptedUpstream([Answer.sse(chat_events(["one", " two"]))]) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            await ask(gateway, stream=True)
            found = await scrape(gateway)
    known = {value.replace(".", "_") for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    for name, unit in conventional():
        (family,) = [one for one in found.families.values() if one.name == prometheus_name(name, unit)]
        labels = {label for sample in family.samples for label in sample.labels if label.startswith("gen_ai_")}
        assert labels, name
        assert labels <= known


async def test_the_first_token_is_the_first_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """The role comes at once, and then the model thinks for three seconds."""
    gate, passed = asyncio.Event(), [0.0]
    loop = asyncio.get_running_loop()
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + passed[0])
    role, *words = chat_events(["Hello"])
    async with ScriptedUpstream([Answer.sse([role, Wait(gate), *words])]) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            driver = ASGIDriver(gateway.asgi)
            exchange = await driver.request("POST", "/v1/chat/completions", json={**CHAT, "stream": True})
            await exchange.next_chunk()
            passed[0] = 3.0
            gate.set()
            await exchange.body()
            await exchange.finished()
            found = await scrape(gateway)
    assert found.value("gen_ai_server_time_to_first_token_seconds_sum") >= 3
    assert found.value("asgi_llm_attempt_duration_seconds_sum") < 3


async def test_every_ending_is_counted_once() -> None:
    gate = asyncio.Event()
    first, *rest = chat_events(["Hel", "lo!"])
    script = [
        Answer.json({"error": {"message": "no", "code": "bad", "type": "invalid_request_error"}}, status=400),
        Answer.sse([first, rest[0], Reset()]),
        Answer.sse([first, rest[0], Wait(gate)]),
    ]
    async with ScriptedUpstream(script) as upstream:
        tree = settings(upstream.url)
        tree["targets"]["up"]["deny"] = ["secret-*"]
        gateway = Gateway(tree)
        async with gateway.running():
            assert (await ask(gateway)).status == 400
            await ask(gateway, stream=True)
            leaving = await ASGIDriver(gateway.asgi).request(
                "POST", "/v1/chat/completions", json={**CHAT, "stream": True}
            )
            await leaving.next_chunk()
            leaving.disconnect()
            await leaving.finished()
            assert (await ask(gateway, model="secret-1")).status == 403
            assert (await ask(gateway, model=7)).status == 400
            assert (await ask(gateway, "/v1/nothing")).status == 404
            found = await scrape(gateway)
            gate.set()
    outcomes = {
        outcome: found.value("asgi_llm_requests_total", outcome=outcome)
        for outcome in ("upstream_error", "interrupted", "disconnected", "denied", "client_error")
    }
    assert outcomes == {
        "upstream_error": 1, "interrupted": 1, "disconnected": 1, "denied": 1, "client_error": 2,
    }  # fmt: skip
    assert found.value("asgi_llm_attempts_total", result="interrupted") == 1
    assert found.value("asgi_llm_requests_total", endpoint="unknown", status="404") == 1
    assert found.value("asgi_llm_errors_total", code="model_not_permitted") == 1
    # Never of anything but exchanges: no histogram knows of the unknown path.
    assert found.value("gen_ai_client_operation_duration_seconds_count") == 5


async def test_callers_cannot_make_labels_without_end() -> None:
    """Names that an upstream does not serve become none; those that it serves come to an end."""
    good, bad = chat_text("hi"), Answer.json({"error": {"message": "no such model"}}, status=404)
    async with ScriptedUpstream([bad] * 20 + [good] * 30) as upstream:
        gateway = Gateway(settings(upstream.url, models=5, users=3))
        async with gateway.running():
            for number in range(50):
                scope = {IDENTITY_KEY: Identity(subject=f"user-{number}")}
                driver = ASGIDriver(gateway.asgi, scope=scope)
                body = {**CHAT, "model": f"junk-{number}"}
                exchange = await driver.request("POST", "/v1/chat/completions", json=body)
                await exchange.body()
                await exchange.finished()
            found = await scrape(gateway)
    models = {sample.labels["model"] for sample in found.samples("asgi_llm_requests_total")}
    assert models == {"other", *(f"junk-{number}" for number in range(20, 25))}
    assert found.value("asgi_llm_requests_total") == 50
    users = {sample.labels["user"] for sample in found.samples("asgi_llm_user_tokens_total")}
    assert users == {"other", "user-20", "user-21", "user-22"}


async def test_labels_with_odd_characters_are_told_as_they_are() -> None:
    name = 'a"b\\c\nd'
    async with ScriptedUpstream([chat_text("hi")]) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            await ask(gateway, model=name)
            found = await scrape(gateway)
    assert found.value("asgi_llm_requests_total", model=name) == 1


async def test_who_may_read_them() -> None:
    gateway = Gateway(settings("http://127.0.0.1:9"))

    async def status(scope: dict[str, Any], headers: dict[str, str]) -> int:
        exchange = await ASGIDriver(gateway.asgi, scope=scope).request("GET", "/metrics", headers=headers)
        head = await exchange.start()
        await exchange.body()
        return int(head.status)

    async with gateway.running():
        assert await status({}, {}) == 403
        assert await status({}, {"authorization": "Bearer scrape-you"}) == 403
        assert await status({}, KEY) == 200
        assert await status({IDENTITY_KEY: BOSS}, {}) == 200
        assert await status({IDENTITY_KEY: Identity(subject="ann")}, {}) == 403
        # The key is good for nothing else.
        gateway.reload({**settings("http://127.0.0.1:9"), "auth": {}})
        exchange = await ASGIDriver(gateway.asgi).request("GET", "/v1/models", headers=KEY)
        assert (await exchange.start()).status == 401


async def test_they_are_not_there_unless_asked_for() -> None:
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    async with gateway.running():
        assert gateway.runtime().telemetry is None
        exchange = await ASGIDriver(gateway.asgi).request("GET", "/metrics")
        assert (await exchange.start()).status == 404
    with pytest.raises(ConfigError, match=r"telemetry\.metrics"):
        gateway.metrics_collector()


async def test_a_registry_of_the_application_and_openmetrics() -> None:
    async with ScriptedUpstream([chat_text("hi")]) as upstream:
        gateway = Gateway(settings(upstream.url))
        registry = prometheus.CollectorRegistry()
        registry.register(gateway.metrics_collector())
        async with gateway.running():
            await ask(gateway)
            # Another thread reads, as servers of metrics do.
            text = await asyncio.to_thread(prometheus.generate_latest, registry)
            accept = {**KEY, "accept": "application/openmetrics-text; version=1.0.0"}
            exchange = await ASGIDriver(gateway.asgi).request("GET", "/metrics", headers=accept)
            opened = (await exchange.body()).decode()
    assert Scrape(text.decode()).value("asgi_llm_requests_total", outcome="ok") == 1
    assert "asgi_llm_requests" in {family.name for family in parse_openmetrics(opened)}


async def test_counts_outlive_other_settings() -> None:
    async with ScriptedUpstream([chat_text("hi")] * 2) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            await ask(gateway)
            gateway.reload()
            await ask(gateway)
            assert (await scrape(gateway)).value("asgi_llm_requests_total", model="m") == 2


async def test_what_the_ledger_works_out() -> None:
    prices = {"own": [{"model": "m", "input": 1, "output": 2}], "library": False}
    async with ScriptedUpstream([chat_text("hi", tokens=Tokens(input=1000, output=500))] * 2) as upstream:
        gateway = Gateway({**settings(upstream.url), "ledger": {}, "prices": prices})
        async with gateway.running():
            await ask(gateway)
            await ask(gateway, model="free")
            ledger = gateway.runtime().ledger
            assert ledger is not None
            await ledger.flush()
            found = await scrape(gateway)
    assert found.value("asgi_llm_cost_dollars_total", target="up", model="m") == pytest.approx(0.002)
    assert found.value("asgi_llm_unpriced_requests_total", model="free") == 1
    assert found.value("asgi_llm_ledger_queue") == 0
    assert found.value("asgi_llm_ledger_dropped_rows_total") == 0


async def test_how_a_fleet_stands() -> None:
    busy = Answer.json({"error": {"message": "slow down"}}, status=429, headers=[("retry-after", "30")])
    broken = Answer.json({"error": {"message": "oh"}}, status=500)
    async with ScriptedUpstream([busy, broken, chat_text("hi")]) as upstream:
        url = f"{upstream.url}/v1"
        once = {"provider": "openai_compatible", "base_url": url, "retry": {"attempts": 1}, "breaker": {"failures": 1}}
        workers = [{"url": url}, {"url": url.replace("127.0.0.1", "localhost")}]
        tree = settings(upstream.url)
        tree["targets"] = {
            "busy": once,
            "broken": once,
            "fleet": {"provider": "openai_compatible", "balance": "cache_aware", "workers": workers},
        }
        tree["routes"] = [{"model": name, "target": name} for name in ("busy", "broken", "fleet")]
        gateway = Gateway(tree)
        async with gateway.running():
            for model in ("busy", "broken", "fleet"):
                await ask(gateway, model=model)
            found = await scrape(gateway)
    assert 20 < found.value("asgi_llm_worker_cooldown_seconds", target="busy") <= 30
    for target, state in (("busy", "closed"), ("broken", "open"), ("fleet", "closed")):
        told = found.samples("asgi_llm_worker_breaker", worker=f"{target}#0")
        assert {sample.labels["state"]: sample.value for sample in told if sample.value} == {state: 1}
    assert found.value("asgi_llm_attempts_total", target="broken", result="status") == 1
    assert found.value("asgi_llm_worker_load") == 0
    assert found.value("asgi_llm_cache_aware_choices_total", target="fleet", by="owner") == 1


async def test_answers_that_were_given_before() -> None:
    async with ScriptedUpstream([chat_text("hi")]) as upstream:
        gateway = Gateway({**settings(upstream.url), "cache": {"sampling": "any"}})
        async with gateway.running():
            for _ in range(2):
                assert (await ask(gateway)).status == 200
            found = await scrape(gateway)
    for result in ("hit", "miss"):
        assert found.value("asgi_llm_cache_total", endpoint="chat_completions", result=result) == 1
    assert found.value("gen_ai_client_token_usage_count", gen_ai_token_type="output") == 1


async def test_what_callers_are_warned_about() -> None:
    async with ScriptedUpstream(lambda _request: chat_text("hi")) as upstream:
        gateway = Gateway({**settings(upstream.url), "responses": {"stateful": False}})
        async with gateway.running():
            for more in ({}, {"store": True}, {"store": False}, {"store": False, "context_management": []}):
                await ask(gateway, "/v1/responses", input="x", **more)
            found = await scrape(gateway)
    assert found.value("asgi_llm_warnings_total", target="up", field="store", action="warn") == 2
    assert found.value("asgi_llm_warnings_total", field="context_management") == 1
