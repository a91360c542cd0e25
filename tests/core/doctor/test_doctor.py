"""The doctor, before gateways with this and that in front of them."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Gateway, LLMMiddleware
from asgi_llm.doctor.probe import Found, examine
from asgi_llm.doctor.words import findings
from asgi_llm.testing import ASGIDriver
from asgi_llm.testing.patience import within

uvicorn = pytest.importorskip("uvicorn")
pytestmark = pytest.mark.once
KEYED: dict[str, Any] = {
    "targets": {"echo": {"provider": "echo"}},
    "auth": {"keys": [{"key": "k-1", "subject": "me"}]},
}


async def site(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<p>a page</p>"})


def app(**settings: Any) -> Any:
    return LLMMiddleware(site, Gateway({**KEYED, **settings}), prefix="/llm", forward_lifespan=False)


@asynccontextmanager
async def served(application: Any, **options: Any) -> AsyncIterator[int]:
    """The port."""
    config = uvicorn.Config(application, log_level="critical", loop="none", ws="none", server_header=False, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


def told(found: Found) -> dict[bool | None, list[str]]:
    said: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for finding in findings(found):
        said[finding.sound].append(f"{finding.told} {finding.advice}")
    return said


async def test_a_sound_gateway() -> None:
    async with served(app()) as port:
        found = await examine(f"http://127.0.0.1:{port}/llm/", "k-1")
    said = told(found)
    assert (said[False], said[None]) == ([], [])
    assert len(said[True]) == 6
    assert found.disconnect is True
    assert found.body == 9_000_000


async def test_wrong_addresses() -> None:
    async with served(app()) as port:
        nothing = told(await examine(f"http://127.0.0.1:{port}", "k-1"))
        assert "with the gateway's prefix" in nothing[False][0]
        assert "Give a key with --key" in told(await examine(f"http://127.0.0.1:{port}/llm", None))[False][0]
    assert "cannot be reached" in told(await examine(f"http://127.0.0.1:{port}/llm", None))[False][0]
    assert "cannot be reached" in told(await examine("nonsense", None))[False][0]
    async with served(app(endpoints={"disable": ["diagnose"]})) as port:
        assert "switched off" in told(await examine(f"http://127.0.0.1:{port}/llm", "k-1"))[None][0]


def collecting(application: Any) -> Any:
    """Middleware that has the whole answer before it passes it on, and takes a header away on the way in."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        headers = [pair for pair in scope["headers"] if pair[0] != b"anthropic-beta"]
        await application({**scope, "headers": headers}, receive, keep)
        for message in messages:
            await send(message)

    return middleware


async def test_middleware_that_buffers() -> None:
    async with served(collecting(app())) as port:
        said = told(await examine(f"http://127.0.0.1:{port}/llm", "k-1"))
    assert "streams are buffered" in said[False][0]
    assert "middleware" in said[False][0]
    assert "anthropic-beta" in said[False][1]


def cutting(application: Any, pieces: int, *, clean: bool) -> Any:
    """Something that ends answers after so many pieces: as if they were whole, or by breaking the connection off. It
    takes no large bodies."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].endswith("/diagnose"):
            await application(scope, receive, send)
            return
        if scope["method"] == "POST":
            raise ConnectionAbortedError
        passed = 0

        async def pass_on(message: Any) -> None:
            nonlocal passed
            passed += message["type"] == "http.response.body"
            if passed > pieces:
                raise ConnectionAbortedError
            await send(message)

        await application(scope, receive, pass_on)
        if clean:
            await send({"type": "http.response.body", "body": b""})

    return middleware


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(("pieces", "when"), [(0, "before its first event"), (3, r"after 0\.\d s")])
async def test_what_cuts_answers_off(pieces: int, when: str, clean: bool) -> None:
    """And what cannot be measured then is not called sound."""
    async with served(cutting(app(), pieces, clean=clean), lifespan="off") as port:
        said = told(await examine(f"http://127.0.0.1:{port}/llm", "k-1"))
    stream, body = said[False]
    assert re.match(f"a stream of one second broke off {when} .*time-out", stream)
    assert "a body of 0.9 MB was " in body
    assert not any("streams arrive" in one or "bodies" in one for one in said[True])


async def test_a_gateway_that_nobody_started() -> None:
    async with served(app(), lifespan="off") as port:
        said = told(await examine(f"http://127.0.0.1:{port}/llm", "k-1"))
    assert said[False] == []
    assert "gateway.running()" in said[None][0]


async def test_the_gateways_own_limit() -> None:
    async with served(app(limits={"body": 1_000_000})) as port:
        said = told(await examine(f"http://127.0.0.1:{port}/llm", "k-1"))
    assert "limits.body" in said[None][0]


@pytest.fixture
def nginx(tmp_path: Path, free_port: Any) -> Any:
    """``nginx(port, directives)`` puts nginx in front; gives its port."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")

    @asynccontextmanager
    async def running(port: int, directives: str) -> AsyncIterator[int]:
        own: int = free_port()
        scratch = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n{scratch}"
            f"server {{ listen 127.0.0.1:{own};\n"
            f"location / {{ proxy_pass http://127.0.0.1:{port}; {directives} }} }} }}\n"
        )
        process = await asyncio.create_subprocess_exec(
            program, "-e", str(tmp_path / "error.log"), "-p", str(tmp_path), "-c", str(config)
        )
        try:
            await within(_listening(own, process), 60, "waiting for nginx")
            yield own
        finally:
            process.terminate()
            await process.wait()

    return running


async def _listening(port: int, process: Any) -> None:
    while True:
        assert process.returncode is None
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@pytest.mark.parametrize("directives", ["client_max_body_size 32m;", "client_max_body_size 32m; proxy_buffering off;"])
async def test_nginx_that_lets_streams_stream(nginx: Any, directives: str) -> None:
    """With its buffers on as well, since the gateway says that this answer is not for them."""
    async with served(app()) as port, nginx(port, directives) as front:
        said = told(await examine(f"http://127.0.0.1:{front}/llm", "k-1"))
    assert (said[False], said[None]) == ([], [])
    assert "nginx" in said[True][0]


COMPRESSED = "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;"


async def test_nginx_that_does_not(nginx: Any) -> None:
    """Told to ignore what the gateway says, it holds back what it compresses."""
    directives = f"{COMPRESSED} proxy_ignore_headers X-Accel-Buffering; proxy_set_header Authorization '';"
    async with served(app()) as port, nginx(port, directives) as front:
        said = told(await examine(f"http://127.0.0.1:{front}/llm", "k-1"))
    buffered, compressed, lost, limit = said[False]
    assert "streams are buffered" in buffered
    assert "proxy_buffering off" in buffered
    assert "streams are compressed (gzip)" in compressed
    assert "headers are taken out of requests on their way: authorization" in lost
    assert "client_max_body_size" in limit


async def test_nginx_that_compresses(nginx: Any) -> None:
    async with served(app()) as port, nginx(port, f"{COMPRESSED} client_max_body_size 32m;") as front:
        said = told(await examine(f"http://127.0.0.1:{front}/llm", "k-1"))
    assert [one.partition(" Leave")[0] for one in said[False]] == ["streams are compressed (gzip)"]


async def test_the_endpoint_is_for_those_who_may_call_and_bounded() -> None:
    gateway = Gateway(KEYED)
    driver = ASGIDriver(gateway.asgi)
    async with gateway.running():
        refused = await driver.request("GET", "/diagnose")
        assert (await refused.start()).status == 401
        streams = [await driver.request("GET", f"/diagnose?hold={n}", {"x-api-key": "k-1"}) for n in range(16)]
        for stream in streams:
            assert (await stream.start()).status == 200
        more = await driver.request("GET", "/diagnose", {"x-api-key": "k-1"})
        assert (await more.start()).status == 429
        for stream in streams:
            stream.disconnect()
            await stream.finished()
        left = await driver.request("GET", "/diagnose?left=3", {"x-api-key": "k-1"})
        assert await left.json() == {"left": True}
        unknown = await driver.request("GET", "/diagnose?left=no", {"x-api-key": "k-1"})
        assert await unknown.json() == {"left": None}
