"""A gateway that is mounted where something in front of it answers would never be asked. It is noticed at the start."""

from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway, LLMMiddleware
from asgi_llm.testing import ASGIDriver

OPEN: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


@pytest.mark.parametrize(("prefix", "inner"), [("/llm", "/llm"), ("/llm", "/llm/inner"), ("/api", "/api/llm")])
async def test_behind_a_middleware(way: Any, prefix: str, inner: str) -> None:
    if way.wsgi or way.__name__ in ("RawASGI", "StarletteMount"):
        pytest.skip("in code of its own a host can hide what it likes")
    async with way(OPEN, inner).opened() as mount:
        app = LLMMiddleware(mount.app, Gateway(OPEN), prefix=prefix)
        with pytest.raises(AssertionError, match=f'"{inner}" is taken by a gateway'):
            async with ASGIDriver(app).lifespan():
                pass


async def test_beside_a_middleware(way: Any) -> None:
    if way.wsgi:
        pytest.skip("it is no ASGI application")
    async with way(OPEN, "/llm").opened() as mount:
        for prefix, shared in (("/llmfoo", False), ("/llm/inner", False), ("/llm", True)):
            app = LLMMiddleware(mount.app, Gateway(OPEN), prefix=prefix, shared=shared)
            async with ASGIDriver(app).lifespan():
                pass


async def test_a_starlette_mount_behind_a_middleware() -> None:
    routing = pytest.importorskip("starlette.routing")
    applications = pytest.importorskip("starlette.applications")
    gateway = Gateway(OPEN)
    app = applications.Starlette(routes=[routing.Mount("/api", routes=[routing.Mount("/llm", app=gateway.asgi)])])
    with pytest.raises(ConfigError, match='"/api/llm" has a gateway behind'):
        LLMMiddleware(app, gateway, prefix="/api")
    LLMMiddleware(app, Gateway(OPEN), prefix="/llm")
    later = applications.Starlette()
    wrapped = LLMMiddleware(later, gateway, prefix="/llm")
    later.mount("/llm", gateway.asgi)
    with pytest.raises(AssertionError, match='"/llm" has a gateway behind'):
        async with ASGIDriver(wrapped).lifespan():
            pass


async def test_a_router_that_is_included_twice() -> None:
    fastapi = pytest.importorskip("fastapi")
    integration = pytest.importorskip("asgi_llm_fastapi")
    gateway = Gateway(OPEN)
    app = fastapi.FastAPI()
    for prefix in ("/one", "/two", "/two"):
        app.include_router(integration.llm_router(gateway), prefix=prefix)
    with pytest.raises(AssertionError, match="lifespan"):
        async with ASGIDriver(app).lifespan():
            pass
