"""The view among Django's own settings, middleware and URLs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import reverse

from asgi_llm import ConfigError
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_completion, chat_events
from asgi_llm_django import get_gateway, intercept, with_lifespan

CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
JSON = "application/json"


Status = Callable[..., Awaitable[int]]


@pytest.fixture
def status(driven: Any) -> Status:
    async def status(path: str, method: str = "POST", **scope: Any) -> int:
        body = CHAT if method == "POST" else None
        exchange = await driven(get_asgi_application()).request(method, path, json=body, scope=scope)
        head = await exchange.start()
        await exchange.finished()
        return int(head.status)

    return status


@pytest.fixture
def bare(configured: Any) -> None:
    configured(MIDDLEWARE=[])


@pytest.mark.usefixtures("bare")
class TestPaths:
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
    @pytest.mark.parametrize("prefix", ["/llm", "/acme/deep/llm"])
    async def test_every_spelling_under_every_prefix(self, prefix: str, path: str, status: Status) -> None:
        assert await status(prefix + path) == 200
        response = await asyncio.to_thread(Client().post, prefix + path, CHAT, JSON)
        assert response.status_code == 200

    async def test_behind_a_root_path(self, configured: Any, status: Status) -> None:
        """Where the server leaves it in the path, as uvicorn does; where it takes it out; where the project sets it."""
        assert await status("/api/llm/v1/chat/completions", root_path="/api") == 200
        assert await status("/llm/v1/chat/completions", root_path="/api") == 200
        assert await status("/llm/llm/v1/chat/completions", root_path="/llm") == 200
        configured(FORCE_SCRIPT_NAME="/shop")
        assert await status("/shop/llm/v1/chat/completions") == 200
        assert (await asyncio.to_thread(Client().post, "/llm/v1/chat/completions", CHAT, JSON)).status_code == 200

    async def test_wsgi_behind_a_script_name(self) -> None:
        client = Client(SCRIPT_NAME="/shop")
        assert (await asyncio.to_thread(client.post, "/llm/v1/chat/completions", CHAT, JSON)).status_code == 200

    async def test_what_is_unknown_is_told_in_the_dialect(self, status: Status) -> None:
        exchange = await ASGIDriver(get_asgi_application()).request("POST", "/llm/v1/messages/x", json=CHAT)
        assert (await exchange.start()).status == 404
        assert (await exchange.json())["type"] == "error"
        assert await status("/llm/v1/chat/completions", "GET") == 405
        assert await status("/llmfoo", "GET") == 404
        assert await status("/page", "GET") == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_clients_that_look_whether_anything_is_there(self, method: str, status: Status) -> None:
        for path in ("/llm/", "/llm/v1/models", "/llm/v1/models/echo", "/llm/health"):
            assert await status(path, method) == 200, path

    def test_it_has_a_name(self) -> None:
        assert reverse("asgi_llm:gateway", kwargs={"rest": "v1/models"}) == "/llm/v1/models"

    async def test_intercepted_paths_never_reach_django(self) -> None:
        seen: list[str] = []

        async def django(scope: Any, _receive: Any, send: Any) -> None:
            seen.append(scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        driver = ASGIDriver(intercept(django, "/ai", shared=True))
        for path, root in (("/ai/v1/models", ""), ("/api/ai/v1/models", "/api"), ("/ai/page", ""), ("/aim", "")):
            await (await driver.request("GET", path, scope={"root_path": root})).body()
        assert seen == ["/ai/page", "/aim"]
        broken = await driver.request("GET", "/ai/v1/models?q", scope={"query_string": b"\xff"})
        assert (await broken.start()).status == 400


class TestBody:
    async def test_it_goes_upstream_byte_for_byte(self, way: str, serve: Any, configured: Any) -> None:
        raw = b' {"messages" :[{"role":"user","content":"hi"}],  "model":"m","stream":false} '
        async with ScriptedUpstream([Answer.json(chat_completion("x"))]) as upstream:
            configured({"targets": {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}})
            async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
                answer = await client.post(
                    f"{url}/llm/v1/chat/completions", content=raw, headers={"content-type": JSON, "x-trace": "a"}
                )
            assert answer.json()["choices"][0]["message"]["content"] == "x"
            assert upstream.requests[0].body == raw

    @pytest.mark.parametrize("size", [3_000_000, 9_000_000])
    async def test_djangos_limit_on_forms_does_not_count(self, way: str, serve: Any, size: int) -> None:
        """A picture is larger than DATA_UPLOAD_MAX_MEMORY_SIZE; some are larger than a piece."""
        body = {**CHAT, "messages": [{"role": "user", "content": "x" * size}], "max_tokens": 1}
        async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{url}/llm/v1/chat/completions", json=body)
        assert answer.status_code == 200

    async def test_the_gateways_own_does(self, way: str, serve: Any, configured: Any) -> None:
        configured({"limits": {"body": 1000}})
        body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 1000}]}).encode()

        async def pieces() -> Any:
            yield body

        async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for content in (body, pieces()) if way != "wsgi" else (body,):
                answer = await client.post(f"{url}/llm/v1/messages", content=content, headers={"content-type": JSON})
                assert answer.status_code == 413
                assert answer.json()["error"]["type"] == "request_too_large"

    async def test_forms_with_files_have_another(self, way: str, serve: Any, configured: Any) -> None:
        configured({"limits": {"body": 1000, "upload": 6_000_000}})
        async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for size, status in ((5_000_000, 200), (7_000_000, 413)):
                answer = await client.post(
                    f"{url}/llm/v1/audio/transcriptions", data={"model": "echo"}, files={"file": ("a", b"x" * size)}
                )
                assert answer.status_code == status
                if status == 200:
                    assert int(answer.json()["text"].split()[3]) > size

    async def test_an_absurd_length_is_no_reason_to_fail(self) -> None:
        headers = {"content-length": "9" * 5000, "content-type": JSON}
        response = await AsyncClient().generic("POST", "/llm/v1/messages", b"{}", headers=headers)
        assert response.status_code in (400, 413)

    async def test_what_middleware_has_read_is_still_there(
        self, configured: Any, monkeypatch: Any, status: Status
    ) -> None:
        def reads(get_response: Any) -> Any:
            def middleware(request: Any) -> Any:
                assert request.body
                return get_response(request)

            return middleware

        monkeypatch.setattr("django.middleware.common.reads", reads, raising=False)
        configured(MIDDLEWARE=["django.middleware.common.reads"])
        assert await status("/llm/v1/chat/completions") == 200


class TestAmongMiddleware:
    async def test_login_required_does_not_redirect(self, configured: Any, settings_middleware: list[str]) -> None:
        configured(
            {"auth": {}},
            MIDDLEWARE=[*settings_middleware, "django.contrib.auth.middleware.LoginRequiredMiddleware"],
        )
        response = await AsyncClient().post("/llm/v1/chat/completions", CHAT, content_type=JSON)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "missing_api_key")

    async def test_atomic_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Django refuses to run asynchronous views in transactions; a stream must not be in one anyway."""
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        for ask in (AsyncClient().post, lambda *a, **k: asyncio.to_thread(Client().post, *a, **k)):
            response = await ask("/llm/v1/chat/completions", CHAT, content_type=JSON)
            assert response.status_code == 200

    async def test_compression_leaves_streams_alone(
        self, way: str, serve: Any, configured: Any, settings_middleware: list[str]
    ) -> None:
        configured(MIDDLEWARE=["django.middleware.gzip.GZipMiddleware", *settings_middleware])
        long = {**CHAT, "messages": [{"role": "user", "content": "word " * 100}]}
        async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            stream = await client.post(f"{url}/llm/v1/chat/completions", json={**long, "stream": True})
            assert "content-encoding" not in stream.headers
            assert stream.text.endswith("data: [DONE]\n\n")
            whole = await client.post(f"{url}/llm/v1/chat/completions", json=long)
            assert whole.headers.get("content-encoding") == (None if way == "intercept" else "gzip")
            assert whole.json()["choices"][0]["message"]["content"].startswith("word")

    async def test_caches_of_the_site_keep_nothing(self) -> None:
        """They go by cookies, and the caller is known by an Authorization header."""
        response = await AsyncClient().get("/llm/v1/models")
        assert response.headers["cache-control"] == "private"

    async def test_headers_are_the_gateways(self, way: str, serve: Any, configured: Any) -> None:
        """Upstream's rate limits reach the caller, a provider's other headers do not."""
        told = {"x-ratelimit-remaining-requests": "9", "set-cookie": "a=b"}
        answer = Answer.json(chat_completion("x"), headers=told)
        async with ScriptedUpstream([answer]) as upstream:
            configured({"targets": {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}})
            async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
                found = await client.post(f"{url}/llm/v1/chat/completions", json=CHAT)
        assert found.headers["content-type"] == JSON
        assert found.headers["x-ratelimit-remaining-requests"] == "9"
        assert "set-cookie" not in found.headers
        assert found.headers["x-llm-request-id"].startswith("req_")


class TestTestClients:
    """With Django's own clients, as a project's tests use them."""

    async def test_the_asynchronous_one(self) -> None:
        client = AsyncClient()
        whole = await client.post("/llm/v1/chat/completions", CHAT, content_type=JSON)
        assert whole.json()["choices"][0]["message"]["content"] == "hi"
        stream = await client.post("/llm/v1/chat/completions", {**CHAT, "stream": True}, content_type=JSON)
        assert stream.streaming
        body = b"".join([piece async for piece in stream.streaming_content])
        assert body.endswith(b"data: [DONE]\n\n")

    def test_the_other(self) -> None:
        client = Client()
        whole = client.post("/llm/v1/chat/completions", CHAT, content_type=JSON)
        assert whole.json()["choices"][0]["message"]["content"] == "hi"
        stream = client.post("/llm/v1/chat/completions", {**CHAT, "stream": True}, content_type=JSON)
        assert b"".join(stream.streaming_content).endswith(b"data: [DONE]\n\n")


class TestLifespan:
    @pytest.mark.parametrize("way", ["view", "intercept"])
    async def test_the_gateway_runs_for_as_long_as_the_server(
        self, way: str, application: Any, driven: Any, bare: None
    ) -> None:
        driver = driven(application(way))
        async with driver.lifespan():
            runtime = get_gateway().runtime()
            assert runtime.users == 1
            exchange = await driver.request("GET", "/page")
            assert await exchange.body() == b"a page"
            await exchange.finished()
        assert runtime.stopping

    async def test_settings_that_cannot_work_stop_the_server(self, configured: Any) -> None:
        """In words, and not with the first request."""
        configured({"default_target": "nowhere"})
        driver = ASGIDriver(with_lifespan(get_asgi_application()))
        with pytest.raises(ConfigError, match=r'ASGI_LLM.default_target: there is no target "nowhere"'):
            async with driver.lifespan():
                pass

    async def test_without_one_it_starts_with_the_first_request(self, bare: None, status: Status) -> None:
        assert await status("/llm/v1/chat/completions") == 200
        assert get_gateway().runtime().users == 0
        await get_gateway().aclose()


async def test_an_upstream_that_fails_is_told_in_the_dialect(way: str, serve: Any, configured: Any) -> None:
    configured({"targets": {"up": {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"}}})
    async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(f"{url}/llm/v1/messages", json={**CHAT, "max_tokens": 9, "stream": True})
    assert (answer.status_code, answer.json()["type"]) == (502, "error")


async def test_a_translated_stream(way: str, serve: Any, configured: Any) -> None:
    async with ScriptedUpstream([Answer.sse(chat_events(("Hel", "lo")))]) as upstream:
        configured({"targets": {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}})
        async with serve(way) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{url}/llm/v1/messages", json={**CHAT, "max_tokens": 9, "stream": True})
    assert answer.text.count("event: content_block_delta") == 2
    assert answer.text.rstrip().endswith('{"type":"message_stop"}')
