"""Spans: their names and attributes, whose children they are, and what upstreams are told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_events, chat_text, messages_text

trace = pytest.importorskip("opentelemetry.trace")
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai  # noqa: E402

CHAT = {"model": "m", "messages": [{"role": "user", "content": "my secret"}]}
CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The provider of a process can be set once only."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


def settings(url: str, **telemetry: Any) -> dict[str, Any]:
    return {
        "targets": {"up": {"provider": "openai_compatible", "base_url": f"{url}/v1", "retry": {"base": 0.001}}},
        "auth": {"anonymous": True},
        "telemetry": {"traces": True, **telemetry},
    }


async def ask(gateway: Gateway, path: str = "/v1/chat/completions", **more: Any) -> int:
    headers = more.pop("headers", {})
    exchange = await ASGIDriver(gateway.asgi).request("POST", path, headers=headers, json={**CHAT, **more})
    head = await exchange.start()
    await exchange.body()
    await exchange.finished()
    return int(head.status)


def taken(spans: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """The exchange's span and those of its attempts, in order."""
    found = sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0)
    attempts = [span for span in found if span.name == "POST"]
    (whole,) = [span for span in found if span not in attempts]
    return whole, attempts


async def test_a_stream_after_a_failed_attempt(spans: InMemorySpanExporter) -> None:
    async with ScriptedUpstream(
        [Answer.json({"error": {"message": "busy"}}, status=503), Answer.sse(chat_events(["a", "b"]))]
    ) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            assert await ask(gateway, stream=True, temperature=0.5, max_tokens=7) == 200
        requests = upstream.requests
    whole, (failed, good) = taken(spans)
    told = dict(whole.attributes or {})
    assert whole.name == "chat m"
    assert whole.kind is trace.SpanKind.CLIENT
    assert whole.status.is_ok or whole.status.is_unset
    assert (
        told
        | {
            gen_ai.GEN_AI_OPERATION_NAME: "chat",
            gen_ai.GEN_AI_PROVIDER_NAME: "openai_compatible",
            gen_ai.GEN_AI_REQUEST_MODEL: "m",
            gen_ai.GEN_AI_RESPONSE_MODEL: "m",
            gen_ai.GEN_AI_REQUEST_TEMPERATURE: 0.5,
            gen_ai.GEN_AI_REQUEST_MAX_TOKENS: 7,
            gen_ai.GEN_AI_REQUEST_STREAM: True,
            gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: ("stop",),
            "server.address": "127.0.0.1",
            "asgi_llm.outcome": "ok",
        }
        == told
    )
    assert told[gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS]
    known = {value for value in vars(gen_ai).values() if isinstance(value, str)}
    assert {name for name in told if name.startswith("gen_ai.")} <= known
    assert (failed.attributes or {})["error.type"] == "503"
    assert (good.attributes or {})["http.request.resend_count"] == 1
    for attempt, request in zip((failed, good), requests, strict=True):
        assert attempt.parent is not None
        assert attempt.parent.span_id == whole.context.span_id
        parent = (request.header("traceparent") or "").split("-")
        assert parent[1:3] == [f"{attempt.context.trace_id:032x}", f"{attempt.context.span_id:016x}"]
    assert "my secret" not in json.dumps([dict(span.attributes or {}) for span in spans.get_finished_spans()])


async def test_it_goes_on_from_the_caller_or_from_the_host(spans: InMemorySpanExporter) -> None:
    headers = {"traceparent": CALLERS, "tracestate": "vendor=1", "baggage": "user=ann"}
    async with ScriptedUpstream([chat_text("hi")] * 2) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            await ask(gateway, headers=headers)
            whole, _ = taken(spans)
            spans.clear()
            with trace.get_tracer("host").start_as_current_span("request") as host:
                await ask(gateway, headers=headers)
            below = next(span for span in spans.get_finished_spans() if span.name == "chat m")
        first, _ = upstream.requests
    assert whole.parent is not None
    assert f"00-{whole.parent.trace_id:032x}-{whole.parent.span_id:016x}-01" == CALLERS
    assert first.header("tracestate") == "vendor=1"
    assert first.header("baggage") is None
    assert below.parent is not None
    assert below.parent.span_id == host.get_span_context().span_id


async def test_what_is_refused_has_a_span_as_well(spans: InMemorySpanExporter) -> None:
    gateway = Gateway(settings("http://127.0.0.1:9"))
    async with gateway.running():
        assert await ask(gateway, model=7) == 400
    whole, attempts = taken(spans)
    assert (whole.name, attempts) == ("chat", [])
    assert (whole.attributes or {})["error.type"]
    assert whole.status.status_code is trace.StatusCode.ERROR


async def test_what_was_said_only_where_it_is_asked_for(spans: InMemorySpanExporter) -> None:
    async with ScriptedUpstream([chat_text("whole answer"), Answer.sse(chat_events(["in ", "pieces"]))]) as upstream:
        gateway = Gateway(settings(upstream.url, content=True))
        async with gateway.running():
            await ask(gateway)
            whole, _ = taken(spans)
            spans.clear()
            await ask(gateway, "/v1/messages", stream=True, max_tokens=5)
            streamed, _ = taken(spans)
    for span, said in ((whole, "whole answer"), (streamed, "in pieces")):
        told = span.attributes or {}
        (asked,) = json.loads(str(told[gen_ai.GEN_AI_INPUT_MESSAGES]))
        assert asked == {"role": "user", "parts": [{"type": "text", "content": "my secret"}]}
        (answer,) = json.loads(str(told[gen_ai.GEN_AI_OUTPUT_MESSAGES]))
        assert answer["parts"] == [{"type": "text", "content": said}]
        assert answer["finish_reason"]


async def test_without_traces_the_callers_context_passes_as_it_is() -> None:
    async with ScriptedUpstream([messages_text("hi")]) as upstream:
        tree = settings(upstream.url, traces=False)
        tree["targets"] = {"claude": {"provider": "anthropic", "api_key": "x", "base_url": upstream.url}}
        gateway = Gateway(tree)
        async with gateway.running():
            await ask(gateway, headers={"traceparent": CALLERS, "baggage": "user=ann"})
        (request,) = upstream.requests
    assert request.header("traceparent") == CALLERS
    assert request.header("baggage") is None
