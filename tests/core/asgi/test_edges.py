"""Where the gateway answers: below any mount, behind any prefix, beside any application."""

import json
from typing import Any

import pytest

from asgi_llm import ConfigError, Exchange, Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY, TARGET_KEY
from asgi_llm.testing import Answer as Scripted
from asgi_llm.testing import ASGIDriver, ScriptedUpstream, no_leaks

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def make(settled: list[Exchange] | None = None, **more: Any) -> Gateway:
    settings = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}, **more}
    return Gateway(settings, on_settled=settled.append if settled is not None else ())


async def call(app: Any, path: str, method: str = "GET", **options: Any) -> tuple[int, Any, dict[str, str]]:
    exchange = await ASGIDriver(app).request(method, path, **options)
    head = await exchange.start()
    body = await exchange.body()
    await exchange.finished()
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return head.status, json.loads(body) if body else None, headers


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/v1/chat/completions", ""),
        ("/chat/completions", ""),
        ("/openai/v1/chat/completions", ""),
        ("/openai/chat/completions", ""),
        ("/anthropic/v1/chat/completions", ""),
        ("/v1/chat/completions/", ""),
        ("/llm/v1/chat/completions", "/llm"),
        ("/api/llm/v1/chat/completions", "/api/llm/"),
        ("/v1/chat/completions/", "/llm"),
    ],
)
async def test_a_call_is_found_under_every_spelling(path: str, root_path: str) -> None:
    status, _, _ = await call(make().asgi, path, "POST", json=CHAT, scope={"root_path": root_path})
    assert status == 200


async def test_a_name_that_only_begins_like_the_mount_is_not_found() -> None:
    status, _, _ = await call(make().asgi, "/", scope={"root_path": "/llm", "path": "foo/v1/models"})
    assert status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/openai", "/anthropic/", "/health", "/ready"])
async def test_probes_are_answered_without_a_key(method: str, path: str) -> None:
    status, value, headers = await call(make(auth={"anonymous": False}).asgi, path, method)
    assert status == 200
    assert (value is None) == (method == "HEAD")
    assert int(headers["content-length"]) > 2


async def test_readiness_ends_with_the_gateway() -> None:
    gateway = make()
    gateway.runtime().stopping = True
    status, value, _ = await call(gateway.asgi, "/ready")
    assert (status, value) == (503, {"status": "stopping"})
    assert (await call(gateway.asgi, "/health"))[0] == 200


MODELS = {"object": "list", "data": [{"id": "gpt-5", "object": "model", "created": 5}, {"id": "o3"}, {"id": "secret"}]}


async def test_models_are_listed_in_the_callers_shape() -> None:
    """What the settings name, then what the upstreams have, each once, nothing that is denied."""
    async with no_leaks(), ScriptedUpstream(Scripted.json(MODELS)) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-x"}
        target |= {"models": {"fast": "gpt-5-mini"}, "deny": ["secret"]}
        gateway = make(targets={"up": target, "echo": {"provider": "echo", "allow": ["echo"]}})
        async with gateway.running():
            for path in ("/v1/models", "/models", "/openai/v1/models"):
                _, value, _ = await call(gateway.asgi, path)
                assert value["object"] == "list"
                assert [model["id"] for model in value["data"]] == ["fast", "gpt-5", "o3", "echo"]
                assert value["data"][1] == {"id": "gpt-5", "object": "model", "created": 5, "owned_by": "up"}
            _, value, _ = await call(gateway.asgi, "/v1/models?limit=1000", headers={"anthropic-version": "2023-06-01"})
            assert [model["id"] for model in value["data"]] == ["fast", "gpt-5", "o3", "echo"]
            assert value["data"][0]["type"] == "model"
            assert (value["first_id"], value["last_id"], value["has_more"]) == ("fast", "echo", False)
            assert len(upstream.requests) == 1
            assert upstream.requests[0].path == "/v1/models"
            assert upstream.requests[0].header("authorization") == "Bearer sk-x"


async def test_one_model_by_its_id() -> None:
    gateway = make(targets={"echo": {"provider": "echo", "models": {"org/a:b": "echo"}}})
    async with gateway.running():
        status, value, _ = await call(gateway.asgi, "/v1/models/org/a:b")
        assert (status, value["id"]) == (200, "org/a:b")
        status, value, _ = await call(gateway.asgi, "/v1/models/none", headers={"anthropic-version": "2023-06-01"})
        assert (status, value["error"]["type"]) == (404, "not_found_error")


async def test_models_of_an_upstream_that_is_down_are_left_out() -> None:
    async with ScriptedUpstream(Scripted.html(502)) as upstream:
        down = {"provider": "openai", "base_url": upstream.url, "models": {"fast": "x"}}
        gateway = make(targets={"down": down, "echo": {"provider": "echo"}})
        async with gateway.running():
            _, value, _ = await call(gateway.asgi, "/v1/models")
            assert [model["id"] for model in value["data"]] == ["fast", "echo", "echo-thinking"]


async def test_models_need_a_key_where_calls_do() -> None:
    status, _, _ = await call(make(auth={"anonymous": False}).asgi, "/v1/models")
    assert status == 401


async def test_endpoints_can_be_switched_off() -> None:
    gateway = make(endpoints={"disable": ["messages"], "prefixes": {"x": "/x"}})
    assert (await call(gateway.asgi, "/v1/messages", "POST", json=CHAT))[0] == 404
    assert (await call(gateway.asgi, "/x/v1/chat/completions", "POST", json=CHAT))[0] == 200
    assert (await call(gateway.asgi, "/openai/v1/chat/completions", "POST", json=CHAT))[0] == 404


async def test_the_hosts_identity_and_target_reach_the_pipeline() -> None:
    settled: list[Exchange] = []
    gateway = make(settled, targets={"a": {"provider": "echo"}, "b": {"provider": "echo"}}, auth={"anonymous": False})
    who = Identity(subject="user:42", tenant="acme", roles=("staff",))
    status, _, _ = await call(
        gateway.asgi, "/v1/chat/completions", "POST", json=CHAT, scope={IDENTITY_KEY: who, TARGET_KEY: "b"}
    )
    assert status == 200
    assert settled[0].identity is who
    assert settled[0].leg is not None
    assert settled[0].leg.crew.target.name == "b"
    status, value, _ = await call(
        gateway.asgi, "/v1/chat/completions", "POST", json=CHAT, scope={IDENTITY_KEY: who, TARGET_KEY: "zz"}
    )
    assert (status, value["error"]["code"]) == (500, "unknown_target")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the middleware; takes part in the lifespan."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = json.dumps({"app": scope["path"], "root": scope["root_path"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def test_the_middleware_takes_its_prefix_and_nothing_else() -> None:
    wrapped = LLMMiddleware(app, make(), prefix="/llm/")
    assert (await call(wrapped, "/llm/v1/chat/completions", "POST", json=CHAT))[0] == 200
    assert (await call(wrapped, "/llm"))[1] == {"service": "asgi-llm"}
    assert (await call(wrapped, "/llm/nothing"))[0] == 404
    assert (await call(wrapped, "/llmfoo"))[1] == {"app": "/llmfoo", "root": ""}
    assert (await call(wrapped, "/v1/models"))[1] == {"app": "/v1/models", "root": ""}


async def test_a_shared_prefix_leaves_unknown_paths_to_the_application() -> None:
    wrapped = LLMMiddleware(app, make(), prefix="/api", shared=True)
    assert (await call(wrapped, "/api/v1/chat/completions", "POST", json=CHAT))[0] == 200
    assert (await call(wrapped, "/api/users"))[1] == {"app": "/api/users", "root": ""}


async def test_at_the_root_the_application_keeps_all_other_paths() -> None:
    wrapped = LLMMiddleware(app, make(endpoints={"disable": ["health"]}), prefix="")
    assert (await call(wrapped, "/v1/messages", "POST", json={**CHAT, "max_tokens": 5}))[0] == 200
    assert (await call(wrapped, "/health"))[1] == {"app": "/health", "root": ""}


@pytest.mark.parametrize("stripped", [False, True], ids=["spec", "stripped"])
async def test_the_middleware_below_a_root_path(stripped: bool) -> None:
    """Whether the host leaves root_path in path (the specification) or takes it out."""
    wrapped = LLMMiddleware(app, make(), prefix="/llm")
    path = "/llm/v1/chat/completions" if stripped else "/api/llm/v1/chat/completions"
    assert (await call(wrapped, path, "POST", json=CHAT, scope={"root_path": "/api"}))[0] == 200


async def test_the_middleware_leaves_the_callers_scope_alone() -> None:
    wrapped = LLMMiddleware(app, make(), prefix="/llm")
    exchange = await ASGIDriver(wrapped).request("POST", "/llm/v1/chat/completions", json=CHAT)
    await exchange.body()
    assert exchange.scope["root_path"] == ""
    assert exchange.scope["path"] == "/llm/v1/chat/completions"


def test_a_prefix_that_is_no_path() -> None:
    with pytest.raises(ConfigError, match="must begin with a slash"):
        LLMMiddleware(app, make(), prefix="llm")


async def test_the_lifespan_runs_the_gateway_around_the_application() -> None:
    gateway = make()
    async with no_leaks(), ASGIDriver(LLMMiddleware(app, gateway)).lifespan():
        assert gateway.runtime().users == 1
        assert (await call(gateway.asgi, "/ready"))[0] == 200
    assert not gateway._runtimes


async def test_the_lifespan_of_the_gateway_alone() -> None:
    gateway = make()
    async with no_leaks(), ASGIDriver(gateway.asgi).lifespan():
        assert gateway.runtime().users == 1
    assert not gateway._runtimes


async def test_an_application_that_fails_to_start_leaves_no_gateway_running() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    gateway = make()
    with pytest.raises(RuntimeError, match="no database"):
        async with ASGIDriver(LLMMiddleware(broken, gateway)).lifespan():
            pass
    assert not gateway._runtimes


async def test_two_hosts_can_run_one_gateway() -> None:
    gateway = make()
    async with gateway.running():
        async with gateway.running():
            pass
        assert not gateway.runtime().stopping
        assert (await call(gateway.asgi, "/v1/chat/completions", "POST", json=CHAT))[0] == 200
    async with gateway.running():
        assert (await call(gateway.asgi, "/v1/chat/completions", "POST", json=CHAT))[0] == 200


def test_a_gateway_serves_one_loop_after_another() -> None:
    """Without any lifespan; nothing is left open when a loop ends (warnings are errors here)."""
    import asyncio

    gateway = make()
    for _ in range(3):
        status, _, _ = asyncio.run(call(gateway.asgi, "/v1/chat/completions", "POST", json=CHAT))
        assert status == 200
    assert len(gateway._runtimes) <= 1


async def test_a_sink_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def slow(exchange: Exchange) -> None:
        seen.append(exchange.id)

    def broken(_exchange: Exchange) -> None:
        raise RuntimeError("sink")

    gateway = Gateway({"targets": {"e": {"provider": "echo"}}, "auth": {"anonymous": True}}, on_settled=[broken, slow])
    async with gateway.running():
        assert (await call(gateway.asgi, "/v1/chat/completions", "POST", json=CHAT))[0] == 200
    assert len(seen) == 1
    assert "a settlement sink failed" in caplog.text


@pytest.mark.parametrize("extension", [True, False])
async def test_a_websocket_is_refused_so_that_agents_fall_back(extension: bool) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    extensions: dict[str, Any] = {"websocket.http.response": {}} if extension else {}
    scope = {"type": "websocket", "path": "/v1/responses", "headers": [], "extensions": extensions}
    await make().asgi(scope, receive, send)
    assert sent[0].get("status", sent[0].get("code")) == (426 if extension else 1000)
