"""Endpoints that are no dialect's take the way of any request: routes, catalog, retries, errors, usage."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.endpoints import ENDPOINTS
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait

EMBEDDED = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "model": "m",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}


def gateway(settled: list[Exchange], *urls: str, provider: str = "openai_compatible", **more: Any) -> Gateway:
    named = {f"t{n}": {"provider": provider, "base_url": url, "api_key": "sk-up", **more} for n, url in enumerate(urls)}
    first, *others = named
    return Gateway(
        {
            "targets": named,
            "routes": [{"model": "*", "target": first, "fallback": others}],
            "auth": {"anonymous": True},
        },
        on_settled=settled.append,
    )


async def ask(
    gate: Gateway, path: str, body: Any = None, method: str = "POST", headers: Any = ()
) -> tuple[int, dict[str, str], bytes]:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    pairs = [("content-type", "application/json"), *headers] if data else list(headers)
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request(method, path, pairs, data)
        head = await exchange.start()
        said = await exchange.body()
        await exchange.finished()
    return head.status, {name.decode(): value.decode() for name, value in head.headers}, said


async def test_bytes_pass_as_they_are_and_only_the_name_of_the_model_is_spliced() -> None:
    settled: list[Exchange] = []
    body = b'{ "input":["a\\u00e9", "b"],\r\n "model" : "small" , "dimensions":2}'
    answered = json.dumps(EMBEDDED, indent=1).encode()
    async with ScriptedUpstream([Answer.json(EMBEDDED), Answer.json(EMBEDDED)]) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1", models={"small": "text-embedding-3-small"})
        status, headers, said = await ask(
            gate,
            "/v1/embeddings",
            body,
            headers=[("authorization", "Bearer sk-caller"), ("x-stainless-lang", "python")],
        )
        plain = gateway(settled, f"{upstream.url}/v1")
        assert (await ask(plain, "/embeddings", body))[0] == 200
    sent, untouched = upstream.requests
    assert (sent.method, sent.path) == ("POST", "/v1/embeddings")
    assert sent.body == body.replace(b'"small"', b'"text-embedding-3-small"')
    assert untouched.body == body
    assert (sent.header("authorization"), sent.header("x-stainless-lang")) == ("Bearer sk-up", "python")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(said) == json.loads(answered) | {"model": "small"}
    assert "x-llm-request-id" in headers
    exchange = settled[0]
    assert (exchange.endpoint, exchange.outcome, exchange.status) == ("embeddings", "ok", 200)
    assert exchange.usage is not None
    assert (exchange.usage.input, exchange.usage.output) == (5, 0)


PLACES = {
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/rerank": "/v1/rerank",
    "/v1/classify": "/v1/classify",
    "/v1/moderations": "/v1/moderations",
    "/v1/score": "/v1/score",
    "/v1/images/generations": "/v1/images/generations",
    "/generate": "/generate",
    "/tokenize": "/tokenize",
    "/v1/detokenize": "/detokenize",
}


@pytest.mark.parametrize(("path", "place"), PLACES.items())
async def test_each_stands_where_servers_have_it(path: str, place: str) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.json({"id": "x"})) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        assert (await ask(gate, path, {"model": "m"}))[0] == 200
    assert upstream.requests[0].path == place


@pytest.mark.parametrize("path", ["/get_server_info", "/get_model_info"])
async def test_what_an_engine_says_of_itself(path: str) -> None:
    async with ScriptedUpstream(Answer.json({"version": "1"})) as upstream:
        gate = gateway([], f"{upstream.url}/v1", provider="sglang", deny=["secret-*"])
        status, _, said = await ask(gate, path, method="GET")
        assert (status, said) == (200, b'{"version":"1"}')
        assert (await ask(gate, path, {}, method="POST"))[0] == 405
    request = upstream.requests[0]
    assert (request.method, request.path, request.body) == ("GET", path, b"")
    assert request.header("content-type") is None


async def test_whether_an_engine_generates() -> None:
    async with ScriptedUpstream([Answer.http([]), Answer.http([b"no"], status=503)]) as upstream:
        gate = gateway([], f"{upstream.url}/v1", provider="sglang", retry={"attempts": 1})
        assert (await ask(gate, "/health_generate", method="GET"))[0] == 200
        assert (await ask(gate, "/health_generate", method="GET"))[0] == 503


USAGE: list[tuple[str, Any, tuple[int, int]]] = [
    ("/v1/embeddings", {"usage": {"prompt_tokens": 7, "total_tokens": 7}}, (7, 0)),
    ("/v1/rerank", {"results": [], "usage": {"total_tokens": 9}}, (9, 0)),
    (
        "/v1/rerank",
        {"results": [], "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 4}}},
        (4, 0),
    ),
    ("/v1/images/generations", {"data": [], "usage": {"input_tokens": 3, "output_tokens": 100}}, (3, 100)),
    ("/generate", {"text": "x", "meta_info": {"prompt_tokens": 4, "completion_tokens": 2, "cached_tokens": 1}}, (4, 2)),
    ("/generate", [{"meta_info": {"prompt_tokens": 4, "completion_tokens": 2}}] * 2, (8, 4)),
    ("/v1/completions", {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}, (2, 3)),
]


@pytest.mark.parametrize(("path", "answer", "expected"), USAGE)
async def test_usage_is_what_the_answer_says(path: str, answer: Any, expected: tuple[int, int]) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.json(answer)) as upstream:
        status, _, said = await ask(gateway(settled, f"{upstream.url}/v1"), path, {"model": "m"})
    assert (status, json.loads(said)) == (200, answer)
    usage = settled[0].usage
    assert usage is not None
    assert (usage.input, usage.output) == expected


async def test_a_failure_is_followed_by_another_target() -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream([Answer.json({}, 500)]) as first, ScriptedUpstream(Answer.json(EMBEDDED)) as second:
        gate = gateway(settled, f"{first.url}/v1", f"{second.url}/v1", retry={"attempts": 1})
        assert (await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"}))[0] == 200
    assert [attempt.result for attempt in settled[0].attempts] == ["status", "ok"]
    assert second.requests[0].body == first.requests[0].body


async def test_a_target_that_has_no_such_endpoint_is_passed_over_or_named() -> None:
    async with ScriptedUpstream(Answer.json(EMBEDDED)) as upstream:
        gate = Gateway(
            {
                "targets": {
                    "claude": {"provider": "anthropic", "api_key": "k"},
                    "own": {"provider": "vllm", "base_url": upstream.url},
                },
                "routes": [
                    {"model": "both", "target": "claude", "fallback": ["own"]},
                    {"model": "*", "target": "claude"},
                ],
                "auth": {"anonymous": True},
            }
        )
        assert (await ask(gate, "/v1/embeddings", {"model": "both", "input": "a"}))[0] == 200
        status, headers, said = await ask(gate, "/v1/embeddings", {"model": "x", "input": "a"})
    assert (status, headers["x-llm-error-code"]) == (404, "endpoint_not_supported")
    error = json.loads(said)["error"]
    assert error["message"] == 'the target "claude" does not serve /v1/embeddings'
    assert error["code"] == "endpoint_not_supported"


async def test_settings_say_what_a_server_has_beyond_its_kind() -> None:
    async with ScriptedUpstream(Answer.json([{"index": 0, "score": 0.5}])) as upstream:
        url = f"{upstream.url}/v1"
        gate = gateway([], url, provider="ollama", endpoints={"rerank": "/../rerank", "embeddings": ""})
        status, _, said = await ask(gate, "/rerank", {"query": "q", "texts": ["a"]})
        assert (status, json.loads(said)) == (200, [{"index": 0, "score": 0.5}])
        assert (await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"}))[0] == 404
    assert upstream.requests[0].path == "/rerank"


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/v1/embeddings", b"{}", 400, "model_required", "model"),
        ("/v1/embeddings", b'{"model": 3}', 400, "model_required", "model"),
        ("/v1/embeddings", b'{"model": "a", "model": "b"}', 400, "invalid_json", None),
        ("/v1/embeddings", b"[]", 400, "invalid_json", None),
        ("/v1/embeddings", b"{", 400, "invalid_json", None),
        ("/v1/embeddings", b"", 400, "invalid_json", None),
        ("/v1/completions", b'{"model": "a", "stream": 1}', 400, "invalid_request", "stream"),
        ("/v1/completions", b'{"model": "denied"}', 403, "model_not_permitted", "model"),
        ("/v1/moderations", b'{"input": "x"}', 400, "model_required", "model"),
    ],
)
async def test_what_is_wrong_is_refused_before_anybody_is_asked(
    path: str, body: bytes, status: int, code: str, param: str | None
) -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway([], f"{upstream.url}/v1", deny=["denied"])
        answered, headers, said = await ask(gate, path, body, headers=[("content-type", "application/json")])
    error = json.loads(said)["error"]
    assert (answered, headers["x-llm-error-code"], error["param"]) == (status, code, param)


async def test_an_upstreams_error_is_the_callers_and_its_refusal_of_the_gateways_key_is_not() -> None:
    own = {"error": {"message": "input is too long", "type": "invalid_request_error", "param": "input", "code": None}}
    async with ScriptedUpstream([Answer.json(own, 400), Answer.json(own, 401)]) as upstream:
        gate = gateway([], f"{upstream.url}/v1")
        status, _, said = await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"})
        assert (status, json.loads(said)) == (400, own)
        status, headers, _ = await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"})
        assert (status, headers["x-llm-error-code"]) == (503, "upstream_authentication")


@pytest.mark.parametrize("body", [b"<html>", b"", b"7", b'{"error": {"message": "no"}}'])
async def test_a_good_status_alone_is_no_answer(body: bytes) -> None:
    async with ScriptedUpstream(Answer.http([body], headers={"content-type": "text/html"})) as upstream:
        gate = gateway([], f"{upstream.url}/v1", retry={"attempts": 1})
        assert (await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"}))[0] == 502


CHUNK = {"id": "c", "object": "text_completion", "created": 1, "model": "big"}


async def test_completions_stream_with_usage_that_only_the_gateway_asked_for() -> None:
    settled: list[Exchange] = []
    events = [
        CHUNK | {"choices": [{"index": 0, "text": "He", "finish_reason": None}], "usage": None},
        CHUNK | {"choices": [{"index": 0, "text": "llo", "finish_reason": "stop"}], "usage": None},
        CHUNK | {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}},
        "[DONE]",
    ]
    async with ScriptedUpstream(Answer.sse(events)) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1", models={"m": "big"})
        status, headers, said = await ask(gate, "/v1/completions", {"model": "m", "prompt": "x", "stream": True})
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    data = [line.removeprefix("data: ") for line in said.decode().split("\n\n") if line]
    assert data[-1] == "[DONE]"
    chunks = [json.loads(line) for line in data[:-1]]
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["He", "llo"]
    assert {chunk["model"] for chunk in chunks} == {"m"}
    assert settled[0].usage is not None
    assert (settled[0].usage.input, settled[0].usage.output, settled[0].finish) == (2, 1, "stop")


async def test_images_stream_and_a_stream_that_ends_early_does_not_look_whole() -> None:
    settled: list[Exchange] = []
    partial = {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0}
    done = {"type": "image_generation.completed", "b64_json": "AAAA", "usage": {"input_tokens": 2, "output_tokens": 8}}
    whole, cut = Answer.sse([partial, done]), Answer.sse([partial])
    async with ScriptedUpstream([whole, cut]) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        body = {"model": "gpt-image-1", "prompt": "x", "stream": True}
        said = (await ask(gate, "/v1/images/generations", body))[2]
        assert said.count(b"data: ") == 2
        said = (await ask(gate, "/v1/images/generations", body))[2]
        assert b'"code":"upstream_truncated"' in said
    assert [exchange.outcome for exchange in settled] == ["ok", "interrupted"]
    assert settled[0].usage is not None
    assert settled[0].usage.output == 8


async def test_speech_passes_piece_by_piece_as_what_it_is() -> None:
    settled: list[Exchange] = []
    more = asyncio.Event()
    answer = Answer.http([b"abcd", Wait(more), b"efgh"], headers={"content-type": "audio/mpeg", "set-cookie": "a=b"})
    async with ScriptedUpstream(answer) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request(
                "POST", "/v1/audio/speech", json={"model": "tts-1", "input": "hi", "voice": "alloy"}
            )
            head = await exchange.start()
            assert await exchange.next_chunk() == b"abcd"
            more.set()
            assert await exchange.body() == b"efgh"
            await exchange.finished()
    headers = dict(head.headers)
    assert (headers[b"content-type"], headers[b"content-length"]) == (b"audio/mpeg", b"8")
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"set-cookie" not in headers
    assert settled[0].outcome == "ok"


async def test_what_a_browser_would_run_is_not_handed_out_as_such() -> None:
    async with ScriptedUpstream(Answer.html(200, "<script>")) as upstream:
        status, headers, _ = await ask(
            gateway([], f"{upstream.url}/v1"), "/v1/audio/speech", {"model": "m", "input": "x"}
        )
    assert (status, headers["content-type"]) == (200, "application/octet-stream")


async def test_speech_that_breaks_off_does_not_look_whole() -> None:
    settled: list[Exchange] = []
    answer = Answer.http([b"abcd", b"efgh"], headers={"content-type": "audio/mpeg"}, truncated=True)
    async with ScriptedUpstream(answer) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/audio/speech", json={"model": "m"})
            assert (await exchange.start()).status == 200
            with pytest.raises(AssertionError):
                await exchange.finished()
    assert settled[0].outcome == "interrupted"


async def test_a_caller_that_leaves_ends_the_upstreams_work() -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.silence()) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/images/generations", json={"model": "m"})
            request = await upstream.wait_request()
            exchange.disconnect()
            await request.wait_disconnected()
            await exchange.finished()
    assert settled[0].outcome == "disconnected"


GEMINI_EMBEDDED = {
    "embeddings": [{"values": [0.5, -1.0]}, {"values": [0.25, 2.0]}],
    "usageMetadata": {"promptTokenCount": 6},
}


@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_embeddings_are_translated_for_gemini(form: str | None) -> None:
    settled: list[Exchange] = []
    body = {"model": "small", "input": ["a", "b"], "dimensions": 2} | ({"encoding_format": form} if form else {})
    async with ScriptedUpstream(Answer.json(GEMINI_EMBEDDED)) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1beta", provider="gemini", models={"small": "gemini-embedding-001"})
        status, _, said = await ask(gate, "/v1/embeddings", body)
    request = upstream.requests[0]
    assert request.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert request.header("x-goog-api-key") == "sk-up"
    assert request.json["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 2,
    }
    answer = json.loads(said)
    assert (status, answer["model"], answer["usage"]) == (200, "small", {"prompt_tokens": 6, "total_tokens": 6})
    values = answer["data"][0]["embedding"]
    if form == "base64":
        values = list(struct.unpack("<2f", base64.b64decode(values)))
    assert values == [0.5, -1.0]
    assert settled[0].usage is not None
    assert settled[0].usage.input == 6


async def test_what_gemini_cannot_embed_is_refused_in_the_callers_words() -> None:
    error = {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}
    async with ScriptedUpstream([Answer.json(error, 400)]) as upstream:
        gate = gateway([], f"{upstream.url}/v1beta", provider="gemini")
        status, _, said = await ask(gate, "/v1/embeddings", {"model": "m", "input": [[1, 2]]})
        assert (status, json.loads(said)["error"]["param"]) == (400, "input")
        status, _, said = await ask(gate, "/v1/embeddings", {"model": "m", "input": "a"})
        assert (status, json.loads(said)["error"]["message"]) == (400, "bad")


async def test_geminis_own_embeddings_repeat_only_the_model_that_was_permitted() -> None:
    requests: dict[str, list[dict[str, Any]]]
    requests = {"requests": [{"model": "models/small", "content": {"parts": [{"text": "a"}]}}, {"content": {}}]}
    async with ScriptedUpstream(Answer.json(GEMINI_EMBEDDED)) as upstream:
        gate = gateway([], f"{upstream.url}/v1beta", provider="gemini", models={"small": "big"})
        status, _, said = await ask(gate, "/v1beta/models/small:batchEmbedContents", requests)
        assert (status, json.loads(said)) == (200, GEMINI_EMBEDDED)
        status, _, said = await ask(gate, "/v1beta/models/small:embedContent", {"model": "models/x", "content": {}})
    assert upstream.requests[0].path == "/v1beta/models/big:batchEmbedContents"
    assert upstream.requests[0].json["requests"] == [
        {**requests["requests"][0], "model": "models/big"},
        {"content": {}},
    ]
    assert upstream.requests[1].json == {"model": "models/big", "content": {}}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/v1/completions", {"prompt": "Once upon", "suffix": "the end"}, "Once upon\nthe end"),
        ("/generate", {"text": "Once upon"}, "Once upon"),
        ("/generate", {"input_ids": [1, 2, 3]}, "[1,2,3"),
        ("/v1/embeddings", {"input": ["a", "b"]}, "a\nb"),
        ("/v1/rerank", {"query": "q", "documents": ["a", {"text": "b"}]}, "q\na\nb"),
        ("/v1/moderations", {"input": "a"}, ""),
    ],
)
async def test_a_worker_is_chosen_by_the_text(path: str, body: dict[str, Any], text: str) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.json({})) as upstream:
        workers = [{"url": f"{upstream.url}/{number}"} for number in range(2)]
        target = {"provider": "openai_compatible", "workers": workers, "balance": "cache_aware"}
        gate = Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
        data = json.dumps({"model": "m"} | body, separators=(",", ":")).encode()
        assert (await ask(gate, path, data))[0] == 200
    assert settled[0].facts is not None
    assert settled[0].facts.text().text == text


def test_every_forwarded_endpoint_has_its_own_name() -> None:
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)
