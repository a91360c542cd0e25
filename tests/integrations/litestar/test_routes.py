"""Paths, the document, the lifespan, the injected gateway."""

import json
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

pytest.importorskip("litestar")

from litestar import Litestar, get

from asgi_llm import ConfigError, Gateway
from asgi_llm.endpoints import ENDPOINTS
from asgi_llm.testing import ASGIDriver
from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

OPEN: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
PREFIXES = ["/", "/llm", "llm/", "/a/b", "/{team:str}/llm"]


def application(path: str = "/llm", *handlers: Any, settings: Any = OPEN, **options: Any) -> Litestar:
    plugin = LLMPlugin(LLMPluginConfig(settings=settings, path=path))
    return Litestar(list(handlers), plugins=[plugin], logging_config=None, **options)


async def call(app: Any, path: str, method: str = "POST", **scope: Any) -> tuple[int, Any, dict[str, str]]:
    body = None if method in ("GET", "HEAD") else CHAT
    exchange = await ASGIDriver(app).request(method, path, json=body, scope=scope)
    head, answer = await exchange.start(), await exchange.body()
    await exchange.finished()
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return head.status, json.loads(answer) if answer else None, headers


async def status(app: Any, path: str, method: str = "POST", **scope: Any) -> int:
    return (await call(app, path, method, **scope))[0]


def base(prefix: str) -> str:
    return f"/{prefix.strip('/')}".rstrip("/").replace("{team:str}", "acme")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/anthropic/chat/completions",
        "/v1/chat/completions/",
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_spelling_under_every_path(prefix: str, path: str) -> None:
    assert await status(application(prefix), base(prefix) + path) == 200


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_clients_that_look_whether_anything_is_there(method: str, prefix: str) -> None:
    app = application(prefix)
    for path in ("/", "/health", "/ready", "/v1/models", "/models", "/v1/models/echo", "/openai/v1/models/echo"):
        assert await status(app, base(prefix) + path, method) == 200, path


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_what_is_not_there_is_told_in_the_callers_dialect(prefix: str) -> None:
    app = application(prefix)
    for path in ("/v1/nothing", "/v1/chat/completions/more", "/v1/chat/./nothing", "/nothing"):
        code, answer, _ = await call(app, base(prefix) + path)
        assert (code, answer["error"]["code"]) == (404, "unknown_endpoint"), path
    assert (await call(app, base(prefix) + "/anthropic/v1/nothing"))[1]["type"] == "error"
    code, answer, headers = await call(app, base(prefix) + "/v1/messages", "GET")
    assert (code, answer["type"], headers["allow"]) == (405, "error", "POST")
    assert await status(app, base(prefix) + "/v1/models", "DELETE") == 405
    assert await status(app, base(prefix) or "/", "POST") == 405


async def test_behind_a_root_path() -> None:
    """Where the server leaves it in the path, as uvicorn does, and where it takes it out."""
    app = application()
    assert await status(app, "/api/llm/v1/chat/completions", root_path="/api") == 200
    assert await status(app, "/llm/v1/chat/completions", root_path="/api") == 200
    assert await status(app, "/llm/llm/v1/chat/completions", root_path="/llm") == 200
    assert await status(app, "/llm/llm", "GET", root_path="/llm") == 200


async def test_below_the_path_of_the_application() -> None:
    app = application(path="/llm", settings=OPEN)
    nested = Litestar(path="/shop/{city:str}", plugins=[LLMPlugin(LLMPluginConfig(settings=OPEN))], logging_config=None)
    assert await status(nested, "/shop/oslo/llm/v1/chat/completions") == 200
    assert await status(nested, "/shop/oslo/llm/openai/chat/completions") == 200
    assert (await call(nested, "/shop/oslo/llm/v1/x"))[1]["error"]["code"] == "unknown_endpoint"
    assert await status(app, "/shop/oslo/llm/v1/chat/completions") == 404


async def test_the_applications_other_routes_stay_its_own() -> None:
    @get("/llmfoo")
    async def other() -> dict[str, str]:
        return {"shop": "other"}

    @get("/{page:path}")
    async def anything() -> dict[str, str]:
        return {"shop": "anything"}

    app = application("/llm", other, anything)
    assert await status(app, "/llmfoo", "GET") == 200
    assert await status(app, "/somewhere/else", "GET") == 200
    assert await status(app, "/v1/chat/completions") == 405
    assert await status(app, "/llm/v1/chat/completions") == 200


async def test_the_callers_scope_shows_no_mount() -> None:
    """What stands outside of Litestar sees the path and root_path it has always seen."""
    exchange = await ASGIDriver(application()).request("GET", "/llm/v1/models/echo", scope={"root_path": "/api"})
    assert (await exchange.start()).status == 200
    await exchange.finished()
    assert exchange.scope["root_path"] == "/api"
    assert exchange.scope["path"] == "/llm/v1/models/echo"


async def test_the_document_describes_each_endpoint_once() -> None:
    document = application().openapi_schema.to_schema()
    paths = {path: item for path, item in document["paths"].items() if path.startswith("/llm")}
    assert sorted(paths) == sorted(f"/llm{item.path}".rstrip("/").replace("{id}", "{llm_id}") for item in ENDPOINTS)
    for path in ("/llm/v1/chat/completions", "/llm/v1/messages", "/llm/v1/responses"):
        assert list(paths[path]) == ["post"]
        described = paths[path]["post"]
        assert described["responses"].keys() == {"200", "4XX", "5XX"}
        assert described["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
        assert "model" in described["requestBody"]["content"]["application/json"]["schema"]["required"]
        assert described["tags"] == ["llm"]
        assert described["summary"].startswith("Create a")
        assert "API does" in described["description"]
    assert list(paths["/llm/v1/models"]) == ["get"]


async def test_the_document_is_valid() -> None:
    """As far as FastAPI's model of OpenAPI 3.1 goes; the document is also what Litestar serves."""
    models = pytest.importorskip("fastapi.openapi.models")
    app = application()
    models.OpenAPI.model_validate(app.openapi_schema.to_schema())
    code, served, _ = await call(app, "/schema/openapi.json", "GET")
    assert code == 200
    assert served["paths"]["/llm/v1/messages"] == app.openapi_schema.to_schema()["paths"]["/llm/v1/messages"]


async def test_two_gateways_in_one_application() -> None:
    second = LLMPluginConfig(settings=OPEN, path="/other", dependency_key="other_gateway", tags=["second"])
    first = LLMPluginConfig(settings=OPEN)
    app = Litestar(plugins=[LLMPlugin(first), LLMPlugin(second)], logging_config=None)
    assert await status(app, "/llm/v1/chat/completions") == 200
    assert await status(app, "/other/v1/chat/completions") == 200
    items = app.openapi_schema.to_schema()["paths"].values()
    ids = [operation["operationId"] for item in items for operation in item.values()]
    assert len(ids) == len(set(ids)) == 2 * sum(len(item.methods - {"HEAD"}) for item in ENDPOINTS)


async def test_it_can_be_left_out_of_the_document() -> None:
    app = Litestar(plugins=[LLMPlugin(LLMPluginConfig(settings=OPEN, include_in_schema=False))], logging_config=None)
    assert app.openapi_schema.to_schema().get("paths", {}) == {}


async def test_disabled_endpoints_are_neither_documented_nor_there() -> None:
    app = application(settings={**OPEN, "endpoints": {"disable": ["responses"]}})
    assert "/llm/v1/responses" not in app.openapi_schema.to_schema()["paths"]
    assert await status(app, "/llm/v1/responses") == 404


async def test_the_gateway_runs_as_long_as_the_application() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def own(_app: Litestar) -> Any:
        seen.append("application up")
        yield
        seen.append("application down")

    gateway = Gateway(OPEN)
    app = Litestar(lifespan=[own], plugins=[LLMPlugin(LLMPluginConfig(gateway=gateway))], logging_config=None)
    async with ASGIDriver(app).lifespan():
        runtime = gateway.runtime()
        assert (runtime.users, seen) == (1, ["application up"])
        assert await status(app, "/llm/v1/chat/completions") == 200
    assert runtime.stopping
    assert seen == ["application up", "application down"]


async def test_it_works_where_no_lifespan_was_run() -> None:
    assert await status(application(), "/llm/v1/chat/completions") == 200


async def test_handlers_are_given_the_gateway() -> None:
    seen: list[Gateway] = []

    @get("/own")
    async def own(llm_gateway: Annotated[Gateway, "injected"]) -> str:
        seen.append(llm_gateway)
        return llm_gateway.explain("gpt-5").legs[0].target

    gateway = Gateway(OPEN)
    app = Litestar([own], plugins=[LLMPlugin(LLMPluginConfig(gateway=gateway))], logging_config=None)
    exchange = await ASGIDriver(app).request("GET", "/own")
    assert await exchange.body() == b"echo"
    assert seen == [gateway]


def test_a_gateway_or_its_settings() -> None:
    for options in ({}, {"gateway": Gateway(OPEN), "settings": OPEN}):
        with pytest.raises(ConfigError, match="give either gateway or settings"):
            LLMPluginConfig(**options)


def test_mistakes_in_the_settings_are_told_when_the_application_is_made() -> None:
    with pytest.raises(ConfigError, match=r"targets\.x\.provider"):
        application(settings={"targets": {"x": {"provider": "nobody"}}})
