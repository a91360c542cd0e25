"""Paths, the document, the lifespan."""

import inspect
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.openapi.models import OpenAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_llm import Gateway
from asgi_llm.endpoints import ENDPOINTS, STORED
from asgi_llm.testing import ASGIDriver
from asgi_llm_fastapi import llm_router

ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


def application(prefix: str = "/llm", **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.include_router(llm_router(Gateway(ECHO)), prefix=prefix)
    return app


async def status(app: Any, path: str, method: str = "POST", **scope: Any) -> int:
    body = None if method in ("GET", "HEAD") else CHAT
    exchange = await ASGIDriver(app).request(method, path, json=body, scope=scope)
    head = await exchange.start()
    await exchange.body()
    return head.status


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
@pytest.mark.parametrize("prefix", ["", "/llm", "/a/b", "/{team}/llm"])
async def test_every_spelling_under_every_prefix(prefix: str, path: str) -> None:
    assert await status(application(prefix), prefix.replace("{team}", "acme") + path) == 200


async def test_behind_a_root_path() -> None:
    """Where the server leaves it in the path, as uvicorn does, and where it takes it out."""
    app = application()
    assert await status(app, "/api/llm/v1/chat/completions", root_path="/api") == 200
    assert await status(app, "/llm/v1/chat/completions", root_path="/api") == 200
    assert await status(app, "/llm/llm/v1/chat/completions", root_path="/llm") == 200


async def test_inside_a_mounted_application() -> None:
    outer = Starlette(routes=[Mount("/shop", app=application())])
    assert await status(outer, "/shop/llm/v1/chat/completions") == 200
    assert await status(outer, "/shop/llm/openai/chat/completions") == 200
    assert await status(outer, "/api/shop/llm/v1/chat/completions", root_path="/api") == 200


async def test_inside_a_router_with_a_prefix() -> None:
    inner = APIRouter(prefix="/v2")
    inner.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    app = FastAPI()
    app.include_router(inner, prefix="/api")
    assert await status(app, "/api/v2/llm/v1/chat/completions") == 200
    assert await status(app, "/api/v2/llm/v1/models/echo", "GET") == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_clients_that_look_whether_anything_is_there(method: str) -> None:
    app = application()
    assert await status(app, "/llm/", method) == 200
    assert await status(app, "/llm/v1/models", method) == 200
    assert await status(app, "/llm/v1/models/echo", method) == 200


async def test_what_is_not_there_is_told_in_the_callers_dialect() -> None:
    driver = ASGIDriver(application())
    chat = await driver.request("POST", "/llm/v1/nothing", json=CHAT)
    assert (await chat.start()).status == 404
    assert (await chat.json())["error"]["code"] == "unknown_endpoint"
    message = await driver.request("POST", "/llm/anthropic/v1/nothing", json=CHAT)
    assert (await message.start()).status == 404
    assert (await message.json())["type"] == "error"
    method = await driver.request("GET", "/llm/v1/messages")
    assert (await method.start()).status == 405
    assert (await method.json())["type"] == "error"


async def test_the_applications_other_routes_stay_its_own() -> None:
    app = application()

    @app.get("/llmfoo")
    async def other() -> str:
        return "other"

    assert await status(app, "/llmfoo", "GET") == 200
    assert await status(app, "/v1/chat/completions") == 404


async def test_prefix_in_the_routers_own_options() -> None:
    app = FastAPI()
    app.include_router(llm_router(Gateway(ECHO), prefix="/llm"))
    assert await status(app, "/llm/v1/chat/completions") == 200
    assert await status(app, "/llm/messages") == 400


async def test_the_document_describes_each_endpoint_once() -> None:
    document = application().openapi()
    paths = document["paths"]
    assert list(paths) == [f"/llm{endpoint.path}" for endpoint in ENDPOINTS]
    assert paths["/llm/v1/files/{id}"].keys() == {"get", "delete"}
    form = paths["/llm/v1/audio/transcriptions"]["post"]["requestBody"]["content"]
    assert form["multipart/form-data"]["schema"]["required"] == ["model", "file"]
    for path in ("/llm/v1/chat/completions", "/llm/v1/messages", "/llm/v1/responses"):
        described = paths[path]["post"]
        answers = described["responses"]["200"]["content"]
        assert answers.keys() == {"application/json", "text/event-stream"}
        assert "model" in described["requestBody"]["content"]["application/json"]["schema"]["required"]
        assert described["tags"] == ["llm"]
        assert described["responses"]["4XX"]["content"]["application/json"]["schema"]["required"] == ["error"]


async def test_the_document_is_valid() -> None:
    """As far as FastAPI's own model of OpenAPI 3.1 goes."""
    OpenAPI.model_validate(application().openapi())


async def test_what_is_kept_is_documented_where_something_is() -> None:
    app = FastAPI()
    app.include_router(llm_router(Gateway({**ECHO, "responses": {"stateful": True}})), prefix="/llm")
    document = app.openapi()
    OpenAPI.model_validate(document)
    assert {f"/llm{endpoint.path}" for endpoint in STORED} <= document["paths"].keys()
    assert document["paths"]["/llm/v1/conversations/{id}"].keys() == {"get", "post", "delete"}
    assert await status(app, "/llm/v1/responses/resp_x", "GET") == 404
    assert await status(app, "/llm/v1/conversations/conv_x/items/msg_x", "DELETE") == 404


async def test_operations_have_ids_of_their_own_even_with_two_gateways() -> None:
    app = application()
    app.include_router(llm_router(Gateway(ECHO), tags=["second"]), prefix="/other")
    ids = [operation["operationId"] for item in app.openapi()["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == 2 * sum(len(item.methods - {"HEAD"}) for item in ENDPOINTS)


async def test_it_can_be_left_out_of_the_document() -> None:
    app = FastAPI()
    app.include_router(llm_router(Gateway(ECHO), include_in_schema=False), prefix="/llm")
    assert app.openapi()["paths"] == {}


async def test_disabled_endpoints_are_neither_documented_nor_there() -> None:
    app = FastAPI()
    app.include_router(llm_router(Gateway({**ECHO, "endpoints": {"disable": ["responses"]}})), prefix="/llm")
    assert "/llm/v1/responses" not in app.openapi()["paths"]
    assert await status(app, "/llm/v1/responses") == 404


async def test_the_gateway_runs_as_long_as_the_application() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def own(_app: FastAPI) -> Any:
        seen.append("application up")
        yield {"shop": "open"}
        seen.append("application down")

    gateway = Gateway(ECHO)
    app = FastAPI(lifespan=own)
    app.include_router(llm_router(gateway), prefix="/llm")
    driver = ASGIDriver(app)
    async with driver.lifespan():
        runtime = gateway.runtime()
        assert (runtime.users, seen) == (1, ["application up"])
        assert await status(app, "/llm/v1/chat/completions") == 200
    assert runtime.stopping
    assert seen == ["application up", "application down"]


async def test_two_applications_share_a_gateway() -> None:
    """The first to stop does not take it from the other."""
    gateway = Gateway(ECHO)
    first, second = FastAPI(), FastAPI()
    for app in (first, second):
        app.include_router(llm_router(gateway), prefix="/llm")
    async with ASGIDriver(second).lifespan():
        async with ASGIDriver(first).lifespan():
            runtime = gateway.runtime()
            assert runtime.users == 2
        assert not runtime.stopping
        assert await status(second, "/llm/v1/chat/completions") == 200
    assert runtime.stopping


async def test_it_works_where_no_lifespan_was_run() -> None:
    assert await status(application(), "/llm/v1/chat/completions") == 200


async def test_a_limit_of_the_application_does_not_cut_prompts() -> None:
    """Where FastAPI has limits on bodies; the gateway's own counts here, and is told in the dialect."""
    options = {"max_body_size": 100} if accepts("max_body_size") else {}
    app = FastAPI(**options)
    app.include_router(llm_router(Gateway({**ECHO, "limits": {"body": 5000}})), prefix="/llm")
    driver = ASGIDriver(app)
    for size, expected in ((2000, 200), (6000, 413)):
        body = {**CHAT, "messages": [{"role": "user", "content": "x" * size}]}
        exchange = await driver.request("POST", "/llm/v1/chat/completions", json=body)
        assert (await exchange.start()).status == expected
        answer = await exchange.json()
        assert expected == 200 or answer["error"]["code"] == "request_too_large"


async def test_a_limit_set_on_the_router_counts() -> None:
    if not accepts("max_body_size"):
        pytest.skip("this FastAPI has no limits on bodies")
    app = FastAPI()
    app.include_router(llm_router(Gateway(ECHO), max_body_size=50), prefix="/llm")
    exchange = await ASGIDriver(app).request("POST", "/llm/v1/messages", json=CHAT)
    assert (await exchange.start()).status == 413
    assert (await exchange.json())["type"] == "error"


async def test_what_a_host_raises_out_of_receive_is_the_hosts_to_answer() -> None:
    """Also where the gateway is mounted: Starlette says with an exception that the body is too large."""

    class Limit:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def refuse() -> Any:
                raise HTTPException(413, "too much for this shop")

            await self.app(scope, refuse if scope["type"] == "http" else receive, send)

    app = FastAPI()
    app.mount("/llm", Limit(Gateway(ECHO).asgi))
    exchange = await ASGIDriver(app).request("POST", "/llm/v1/chat/completions", json=CHAT)
    assert (await exchange.start()).status == 413
    assert await exchange.json() == {"detail": "too much for this shop"}


def accepts(option: str) -> bool:
    return option in inspect.signature(APIRouter).parameters
