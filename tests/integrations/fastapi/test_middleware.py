"""Behind the middleware that applications of FastAPI and Starlette have: streams stream, and leaving is heard."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI, Response
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware

from asgi_llm import Exchange, Gateway, LLMMiddleware
from asgi_llm.doctor.probe import examine
from asgi_llm.doctor.words import findings
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, no_leaks
from asgi_llm_fastapi import llm_router

ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


async def read_first(request: Any, call_next: Any) -> Any:
    await request.body()
    return await call_next(request)


async def collect(request: Any, call_next: Any) -> Any:
    """What buffers: it wants to see answers whole."""
    answer = await call_next(request)
    body = b"".join([piece async for piece in answer.body_iterator])
    return Response(body, answer.status_code, dict(answer.headers))


def routed(app: FastAPI, gateway: Gateway) -> None:
    app.include_router(llm_router(gateway), prefix="/llm")


def mounted(app: FastAPI, gateway: Gateway) -> None:
    app.mount("/llm", gateway.asgi)


def wrapped(app: FastAPI, gateway: Gateway) -> None:
    app.add_middleware(LLMMiddleware, gateway=gateway, prefix="/llm")


async def test_the_usual_middleware_does_no_harm(serve: Any) -> None:
    app = FastAPI()
    routed(app, Gateway(ECHO))
    app.add_middleware(GZipMiddleware, minimum_size=0)
    app.add_middleware(BaseHTTPMiddleware, dispatch=read_first)
    async with serve(app) as url:
        said = list(findings(await examine(f"{url}/llm", None)))
    assert [finding.told for finding in said if not finding.sound] == []
    assert len(said) == 6


async def test_middleware_that_collects_answers_is_found_out(serve: Any) -> None:
    app = FastAPI()
    routed(app, Gateway(ECHO))
    app.add_middleware(BaseHTTPMiddleware, dispatch=collect)
    async with serve(app) as url:
        (bad,) = [finding for finding in findings(await examine(f"{url}/llm", None)) if finding.sound is False]
    assert "streams are buffered" in bad.told
    assert "body_iterator" in bad.advice


@pytest.mark.parametrize("mount", [routed, mounted, wrapped])
async def test_a_caller_that_leaves_before_there_is_an_answer(mount: Callable[[FastAPI, Gateway], None]) -> None:
    """It is heard at once, and Starlette does not take the gateway for broken because it says nothing."""
    async with no_leaks(), ScriptedUpstream([Answer.silence()]) as upstream:
        settled: list[Exchange] = []
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        gateway = Gateway({**ECHO, "targets": {"up": target}}, on_settled=settled.append)
        app = FastAPI()
        mount(app, gateway)
        app.add_middleware(BaseHTTPMiddleware, dispatch=read_first)
        async with gateway.running():
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            exchange = await ASGIDriver(app).request("POST", "/llm/v1/chat/completions", json=body)
            request = await upstream.wait_request(1)
            exchange.disconnect()
            await request.wait_disconnected()
            await exchange.finished()
    assert [item.outcome for item in settled] == ["disconnected"]
