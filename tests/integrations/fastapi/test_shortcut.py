"""Requests that need nothing of FastAPI pass it by; all that is asked of it is still asked."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.routing import Match

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver
from asgi_llm_fastapi import llm_router

ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/llm/v1/chat/completions"
UNTRACED: dict[str, Any] = {}
"""FastAPI traces of its own accord where another test has given the process a provider, and that is not passed by."""
if "telemetry" in inspect.signature(FastAPI).parameters:
    UNTRACED["telemetry"] = {"tracing": False, "metrics": False, "logs": False}


def refuse() -> None:
    raise HTTPException(401, "log in first")


class Seen:
    """In front of an application: keeps the scopes, as they are when the answer has been given."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            self.scopes.append(scope)

    @property
    def passed(self) -> bool:
        """Whether the last request went through FastAPI's middleware."""
        return "fastapi_middleware_astack" in self.scopes[-1]


@asynccontextmanager
async def lifespan(app: Any, *, run: bool) -> AsyncIterator[ASGIDriver]:
    driver = ASGIDriver(app)
    async with driver.lifespan() if run else nullcontext():
        yield driver


async def status(driver: ASGIDriver, path: str = PATH, method: str = "POST", **scope: Any) -> int:
    exchange = await driver.request(method, path, json=CHAT if method == "POST" else None, scope=scope)
    head = await exchange.start()
    await exchange.body()
    return head.status


def plain(**options: Any) -> FastAPI:
    app = FastAPI(**(UNTRACED | options))
    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    return app


def for_the_router() -> FastAPI:
    app = FastAPI()
    app.include_router(llm_router(Gateway(ECHO), dependencies=[Depends(refuse)]), prefix="/llm")
    return app


def for_the_inclusion() -> FastAPI:
    app = FastAPI()
    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm", dependencies=[Depends(refuse)])
    return app


def for_the_application() -> FastAPI:
    app = FastAPI(dependencies=[Depends(refuse)])
    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    return app


def for_a_router_around_it() -> FastAPI:
    app, around = FastAPI(), APIRouter(dependencies=[Depends(refuse)])
    around.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    app.include_router(around)
    return app


@pytest.mark.parametrize("run", [True, False])
@pytest.mark.parametrize("make", [for_the_router, for_the_inclusion, for_the_application, for_a_router_around_it])
async def test_dependencies_are_asked_wherever_they_stand(make: Callable[[], FastAPI], run: bool) -> None:
    async with lifespan(make(), run=run) as driver:
        for path in (PATH, "/llm/chat/completions", "/llm/openai/v1/chat/completions", "/llm/v1/models/x"):
            assert await status(driver, path, "GET" if "models" in path else "POST") == 401


@pytest.mark.parametrize("run", [True, False])
async def test_one_inclusion_asks_and_another_does_not(run: bool) -> None:
    app, router = FastAPI(), llm_router(Gateway(ECHO))
    app.include_router(router, prefix="/open")
    app.include_router(router, prefix="/closed", dependencies=[Depends(refuse)])
    async with lifespan(app, run=run) as driver:
        assert await status(driver, "/open/v1/chat/completions") == 200
        assert await status(driver, "/closed/v1/chat/completions") == 401


async def test_fastapi_is_passed_by_while_the_application_runs() -> None:
    app = plain()
    seen = Seen(app)
    assert await status(ASGIDriver(seen)) == 200
    assert seen.passed
    stack = app.middleware_stack
    async with lifespan(seen, run=True) as driver:
        assert await status(driver) == 200
        assert not seen.passed
        assert await status(driver, root_path="/shop") == 200
        assert not seen.passed
        assert await status(driver, f"/shop{PATH}", root_path="/shop") == 200
        assert seen.passed
        assert await status(driver, "/llm/chat/completions") == 200
        assert await status(driver, "/docs", "GET") == 200
        assert await status(driver, PATH, "GET") == 405
    assert app.middleware_stack is stack


@pytest.mark.parametrize("run", [True, False])
async def test_whoever_looks_at_the_scope_sees_the_route(run: bool) -> None:
    """As metrics and traces do."""
    app = plain()
    seen = Seen(app)
    async with lifespan(seen, run=run) as driver:
        await status(driver)
        await status(driver, "/llm/v1beta/models/a/b:generateContent")
    chat, gemini = seen.scopes
    assert (chat["route"].name, chat["path_params"]) == ("chat_completions", {})
    assert chat["endpoint"] is chat["route"].endpoint
    assert (gemini["route"].name, gemini["path_params"]) == ("generate_content", {"model": "a/b"})
    assert not chat.get("root_path")


async def test_two_routers_in_one_application() -> None:
    app = plain()
    app.include_router(llm_router(Gateway(ECHO)), prefix="/other")
    seen = Seen(app)
    async with lifespan(seen, run=True) as driver:
        for path in (PATH, "/other/v1/chat/completions"):
            assert await status(driver, path) == 200
            assert not seen.passed
    assert await status(driver, PATH) == 200
    assert seen.passed


async def test_middleware_of_the_application_sees_every_request() -> None:
    calls = []

    class Count:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            calls.append(scope["type"])
            await self.app(scope, receive, send)

    app = plain()
    app.add_middleware(Count)
    async with lifespan(app, run=True) as driver:
        assert await status(driver) == 200
    assert calls == ["lifespan", "http"]


@pytest.mark.skipif(not UNTRACED, reason="this FastAPI traces nothing itself")
async def test_fastapi_traces_what_it_traces() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with lifespan(plain(telemetry={"tracer_provider": provider}), run=True) as driver:
        assert await status(driver) == 200
    assert f"POST {PATH}" in [span.name for span in exporter.get_finished_spans()]


async def test_a_route_that_was_there_first_answers() -> None:
    app = FastAPI()

    @app.post(PATH)
    async def own() -> JSONResponse:
        return JSONResponse({}, 418)

    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    async with lifespan(app, run=True) as driver:
        assert await status(driver) == 418
        assert await status(driver, "/llm/v1/messages") == 400


async def test_other_kinds_of_routes_beside_it() -> None:
    app = FastAPI(**UNTRACED)
    app.mount("/static", Starlette())
    app.websocket("/ws")(lambda websocket: websocket.close())
    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    seen = Seen(app)
    async with lifespan(seen, run=True) as driver:
        assert await status(driver) == 200
    assert not seen.passed


async def test_a_host_of_its_own_is_asked_first() -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({}, 418)(scope, receive, send)

    app = FastAPI()
    app.host("phones.example", other)
    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    async with lifespan(app, run=True) as driver:
        assert await status(driver) == 200
        exchange = await driver.request("POST", PATH, {"host": "phones.example"}, json=CHAT)
        assert (await exchange.start()).status == 418


async def test_routes_that_look_at_more_than_the_path_are_asked() -> None:
    class ForPhones(APIRoute):
        def matches(self, scope: Any) -> Any:
            phone = (b"user-agent", b"phone") in scope.get("headers", ())
            return super().matches(scope) if phone else (Match.NONE, {})

    app = FastAPI()
    app.router.route_class = ForPhones

    @app.post(PATH)
    async def own() -> JSONResponse:
        return JSONResponse({}, 418)

    app.include_router(llm_router(Gateway(ECHO)), prefix="/llm")
    async with lifespan(app, run=True) as driver:
        assert await status(driver) == 200
        exchange = await driver.request("POST", PATH, {"user-agent": "phone"}, json=CHAT)
        assert (await exchange.start()).status == 418


@pytest.mark.parametrize("run", [True, False])
async def test_what_the_server_raises_is_the_applications_to_answer(run: bool) -> None:
    class ShopClosedError(Exception):
        pass

    class Closed:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def fail() -> Any:
                raise ShopClosedError

            await self.app(scope, fail if scope["type"] == "http" else receive, send)

    app = plain()

    @app.exception_handler(ShopClosedError)
    async def tell(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    async with lifespan(Closed(app), run=run) as driver:
        assert await status(driver) == 418
