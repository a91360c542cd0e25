"""Counting tokens: who is asked, in which words, and what happens where nobody counts."""

import json
import threading
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.pipeline import count as counting
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, messages_error

PATHS = {
    "messages": "/v1/messages/count_tokens",
    "responses": "/v1/responses/input_tokens",
    "gemini": "/v1beta/models/m:countTokens",
}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hello there"}]},
    "responses": {"model": "m", "instructions": "Be brief.", "input": "Hello there"},
    "gemini": {
        "generateContentRequest": {
            "model": "models/m",
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hello there"}]}],
        }
    },
}
UPSTREAMS = {"messages": "anthropic", "responses": "openai", "gemini": "gemini"}
NUMBERS: dict[str, dict[str, Any]] = {
    "messages": {"input_tokens": 21},
    "responses": {"object": "response.input_tokens", "input_tokens": 21},
    "gemini": {"totalTokens": 21},
}
every_caller = pytest.mark.parametrize("caller", PATHS)


def target(upstream: ScriptedUpstream, provider: str, **more: Any) -> dict[str, Any]:
    return {"provider": provider, "base_url": f"{upstream.url}/v1", "api_key": "sk-up", **more}


def gateway(settled: list[Exchange], *targets: dict[str, Any]) -> Gateway:
    named = {f"t{number}": item for number, item in enumerate(targets)}
    first, *others = named
    return Gateway(
        {
            "targets": named,
            "routes": [{"model": "*", "target": first, "fallback": others}],
            "auth": {"anonymous": True},
        },
        on_settled=settled.append,
    )


async def ask(gate: Gateway, caller: str, body: Any = None, path: str | None = None) -> tuple[int, dict[str, str], Any]:
    data = body if isinstance(body, bytes) else json.dumps(BODIES[caller] if body is None else body).encode()
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request(
            "POST", path or PATHS[caller], [("content-type", "application/json")], data
        )
        head = await exchange.start()
        said = await exchange.body()
        await exchange.finished()
    return head.status, {name.decode(): value.decode() for name, value in head.headers}, json.loads(said)


def number(caller: str, said: Any) -> int:
    tokens = said["totalTokens" if caller == "gemini" else "input_tokens"]
    assert said == NUMBERS[caller] | {"totalTokens" if caller == "gemini" else "input_tokens": tokens}
    assert isinstance(tokens, int)
    return tokens


@every_caller
@pytest.mark.parametrize("spoken", UPSTREAMS)
async def test_an_upstream_that_counts_is_asked(caller: str, spoken: str) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream([Answer.json(NUMBERS[spoken])]) as upstream:
        gate = gateway(settled, target(upstream, UPSTREAMS[spoken]))
        status, headers, said = await ask(gate, caller)
        asked = upstream.requests[0]
    assert (status, number(caller, said)) == (200, 21)
    assert "x-llm-warnings" not in headers
    assert asked.path.removeprefix("/v1") == PATHS[spoken].removeprefix("/v1beta").removeprefix("/v1")
    if caller == spoken:
        assert asked.body == json.dumps(BODIES[caller]).encode()
    told = asked.json["generateContentRequest"] if spoken == "gemini" else asked.json
    assert told["model"].removeprefix("models/") == "m"
    assert not {"max_tokens", "max_output_tokens", "stream", "store", "generationConfig"} & told.keys()
    assert "Be brief." in asked.body.decode()
    assert "Hello there" in asked.body.decode()
    exchange = settled[0]
    assert (exchange.outcome, exchange.usage, len(exchange.attempts)) == ("ok", None, 1)
    assert exchange.endpoint in ("messages_count_tokens", "responses_input_tokens", "count_tokens")


@every_caller
async def test_who_cannot_count_is_not_asked(caller: str) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream() as upstream:
        gate = gateway(settled, target(upstream, "openai_compatible"))
        status, headers, said = await ask(gate, caller)
        assert upstream.requests == []
    assert status == 200
    assert 5 < number(caller, said) < 25
    assert headers["x-llm-warnings"] == "input_tokens;estimate"
    assert (settled[0].outcome, settled[0].usage, settled[0].status) == ("ok", None, 200)


@every_caller
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_an_endpoint_that_is_not_there_is_replaced_by_an_estimate(caller: str, status: int) -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.json({"detail": "Not Found"}, status)) as upstream:
        answered, headers, said = await ask(gateway(settled, target(upstream, "vllm")), caller)
        assert [request.path for request in upstream.requests] == ["/v1/messages/count_tokens"]
    assert answered == 200
    assert number(caller, said) > 5
    assert headers["x-llm-warnings"] == "input_tokens;estimate"
    assert [attempt.status for attempt in settled[0].attempts] == [status]


async def test_all_callers_get_the_same_estimate() -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway([], target(upstream, "openai_compatible"))
        assert len({number(caller, (await ask(gate, caller))[2]) for caller in PATHS}) == 1


async def test_another_worker_and_another_target_are_asked() -> None:
    settled: list[Exchange] = []
    broken = messages_error(500, "It broke.")
    async with (
        ScriptedUpstream([broken]) as one,
        ScriptedUpstream([broken]) as two,
        ScriptedUpstream([Answer.json(NUMBERS["gemini"])]) as good,
    ):
        first = {"provider": "anthropic", "workers": [{"url": one.url}, {"url": two.url}], "retry": {"base": 0.01}}
        gate = gateway(settled, first, target(good, "gemini"))
        status, headers, said = await ask(gate, "messages")
        assert (one.left, two.left, good.left) == (0, 0, 0)
    assert (status, said) == (200, {"input_tokens": 21})
    assert "x-llm-warnings" not in headers
    assert [attempt.result for attempt in settled[0].attempts] == ["status", "status", "ok"]


async def test_a_fallback_that_cannot_count_has_its_turn_estimated() -> None:
    async with ScriptedUpstream(messages_error(500, "It broke.")) as bad, ScriptedUpstream() as other:
        gate = gateway([], target(bad, "anthropic"), target(other, "openai_compatible"))
        status, headers, _ = await ask(gate, "messages")
        assert other.requests == []
    assert (status, headers["x-llm-warnings"]) == (200, "input_tokens;estimate")


@every_caller
@pytest.mark.parametrize(
    "answer", [Answer.json({"error": "no"}), Answer.json({"input_tokens": "many"}), Answer.json([])]
)
async def test_what_is_no_count_is_no_answer(caller: str, answer: Answer) -> None:
    async with ScriptedUpstream(answer) as upstream:
        provider = "anthropic" if caller == "responses" else "openai"
        status, _, said = await ask(gateway([], target(upstream, provider)), caller)
    assert status == 502
    assert "count of tokens" in json.dumps(said)


async def test_the_upstreams_own_error_reaches_a_caller_of_its_dialect() -> None:
    async with ScriptedUpstream([messages_error(400, "messages: too odd")]) as upstream:
        status, _, said = await ask(gateway([], target(upstream, "anthropic")), "messages")
    assert (status, said["error"]["message"]) == (400, "messages: too odd")


@every_caller
async def test_an_alias_is_put_into_the_body_and_nothing_else_is(caller: str) -> None:
    body = json.dumps(BODIES[caller], indent=3).encode()
    async with ScriptedUpstream([Answer.json(NUMBERS[caller])]) as upstream:
        gate = gateway([], target(upstream, UPSTREAMS[caller], models={"m": "real-model"}))
        assert (await ask(gate, caller, body))[0] == 200
        asked = upstream.requests[0]
    new = b"models/real-model" if caller == "gemini" else b"real-model"
    assert asked.body == body.replace(b'"models/m"' if caller == "gemini" else b'"m"', b'"%b"' % new)
    if caller == "gemini":
        assert asked.path.endswith("/models/real-model:countTokens")


async def test_no_other_model_is_counted_for_than_the_path_names() -> None:
    """What is permitted is the path's; the body repeats it and must not say otherwise."""
    body = {"generateContentRequest": BODIES["gemini"]["generateContentRequest"] | {"model": "models/secret"}}
    async with ScriptedUpstream([Answer.json(NUMBERS["gemini"])]) as upstream:
        await ask(gateway([], target(upstream, "gemini")), "gemini", body)
        assert upstream.requests[0].json["generateContentRequest"]["model"] == "models/m"


async def test_a_model_that_is_not_permitted_is_not_counted_for() -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway([], target(upstream, "anthropic", deny=["m"]))
        status, _, said = await ask(gate, "messages")
        assert upstream.requests == []
    assert (status, said["error"]["type"]) == (403, "permission_error")


async def test_contents_alone_are_counted() -> None:
    body = {"contents": [{"parts": [{"text": "Hello there"}]}]}
    async with ScriptedUpstream([Answer.json(NUMBERS["gemini"]), Answer.json(NUMBERS["messages"])]) as upstream:
        for provider in ("gemini", "anthropic"):
            gate = gateway([], target(upstream, provider))
            assert (await ask(gate, "gemini", body))[2] == {"totalTokens": 21}
        assert upstream.requests[0].json == body
        assert upstream.requests[1].json["messages"][0]["role"] == "user"


async def test_nobody_is_asked_to_stream() -> None:
    body = BODIES["messages"] | {"stream": True, "max_tokens": 7, "temperature": 0.5}
    async with ScriptedUpstream([Answer.json(NUMBERS["responses"])]) as upstream:
        status, headers, said = await ask(gateway([], target(upstream, "openai")), "messages", body)
        assert upstream.requests[0].json.keys() == {"model", "input", "instructions"}
    assert (status, headers["content-type"], said) == (200, "application/json", {"input_tokens": 21})


@pytest.mark.parametrize(
    ("tool", "left"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, {"add"}),
        ({"type": "bash_20250124", "name": "bash"}, {"add", "bash"}),
    ],
    ids=["patched", "translated to itself"],
)
async def test_what_a_server_does_not_take_in_a_call_it_is_not_asked_to_count(tool: Any, left: set[str]) -> None:
    body = BODIES["messages"] | {"tools": [tool, {"name": "add", "input_schema": {"type": "object"}}]}
    async with ScriptedUpstream([Answer.json(NUMBERS["messages"])]) as upstream:
        status, _, said = await ask(gateway([], target(upstream, "vllm")), "messages", body)
        asked = upstream.requests[0].json
    assert (status, said, "max_tokens" in asked) == (200, {"input_tokens": 21}, False)
    assert {tool["name"] for tool in asked["tools"]} == left
    assert all(tool.get("type", "custom") == "custom" for tool in asked["tools"])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_what_a_call_is_refused_for_a_count_is_too(path: str) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    async with ScriptedUpstream() as upstream:
        gate = gateway([], target(upstream, "vllm"))
        status, _, said = await ask(gate, "messages", BODIES["messages"] | {"max_tokens": 9, "tools": tools}, path)
    assert (status, "tools.0" in said["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("caller", "body", "field"),
    [
        ("messages", {"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ("messages", {"model": "m"}, "messages"),
        ("messages", {"messages": []}, "model"),
        ("responses", {"model": "m", "input": 5}, "input"),
        ("responses", {"model": "m", "input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ("responses", {"model": "m", "input": "x", "conversation": "conv_1"}, "conversation"),
        ("gemini", {}, "contents"),
        ("gemini", {"generateContentRequest": 5}, "generateContentRequest"),
        ("gemini", {"generateContentRequest": {"model": "models/m"}}, "contents"),
        ("gemini", {"contents": [], "cachedContent": "caches/1"}, "ache"),
    ],
)
async def test_a_mistake_is_told_with_its_field(caller: str, body: Any, field: str) -> None:
    async with ScriptedUpstream() as upstream:
        status, _, said = await ask(gateway([], target(upstream, "openai_compatible")), caller, body)
    assert status == 400
    assert field in json.dumps(said)


@every_caller
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'"x"', b"\xff", b"[" * 5000, b'{"a":' * 5000])
async def test_no_body_is_odd_enough_to_fail(caller: str, body: bytes) -> None:
    async with ScriptedUpstream() as upstream:
        assert (await ask(gateway([], target(upstream, "openai_compatible")), caller, body))[0] == 400


async def test_a_long_request_is_estimated_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def estimate(request: Any) -> int:
        seen.append(threading.current_thread() is threading.main_thread())
        return real(request)

    real = counting.estimate
    monkeypatch.setattr(counting, "estimate", estimate)
    async with ScriptedUpstream() as upstream:
        gate = gateway([], target(upstream, "openai_compatible"))
        for text in ("short", "long " * 50_000):
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            assert (await ask(gate, "messages", body))[0] == 200
    assert seen == [True, False]


async def test_a_key_is_needed_as_for_any_call() -> None:
    gate = Gateway({"targets": {"echo": {"provider": "echo"}}})
    refused = {caller: (await ask(gate, caller))[0] for caller in PATHS}
    assert refused == {"messages": 401, "responses": 401, "gemini": 401}


async def test_where_counting_cannot_say_what_a_call_could_it_is_estimated() -> None:
    """The call would pass as it is, in Responses; this server counts in Messages, which has no such thing."""
    async with ScriptedUpstream() as upstream:
        gate = gateway([], target(upstream, "vllm"))
        status, headers, _ = await ask(gate, "responses", BODIES["responses"] | {"background": True})
        assert upstream.requests == []
        assert (status, headers["x-llm-warnings"]) == (200, "input_tokens;estimate")
        refused = gateway([], target(upstream, "anthropic"))
        status, _, said = await ask(refused, "responses", BODIES["responses"] | {"background": True})
        assert (status, said["error"]["param"]) == (400, "background")
