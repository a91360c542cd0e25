"""Servers that people run: uvicorn and nginx."""

import asyncio
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import uvicorn

from asgi_llm.upstream.interface import UpstreamRequest


async def application(scope, receive, send):
    """Answers with what it got: in one piece, or as a stream."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(b"x-path", scope["raw_path"]), (b"x-query", scope["query_string"])]
    if scope["path"].endswith("/stream"):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), 10):
            await send({"type": "http.response.body", "body": body[at : at + 10], "more_body": True})
        await send({"type": "http.response.body"})
    else:
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def uvicorn_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


async def _exercise(client, ask, whole, prefix):
    for size in (0, 1, 5_000, 500_000):
        body = os.urandom(size)
        answer = await client.send(ask(body, b"/echo?a=b%20c"))
        assert answer.status == 201
        assert (b"x-path", prefix + b"/echo") in answer.headers
        assert (b"x-query", b"a=b%20c") in answer.headers
        assert await whole(answer) == body
    body = os.urandom(3_000)
    answer = await client.send(ask(body, b"/stream"))
    assert answer.status == 200
    assert await whole(answer) == body
    assert await whole(await client.send(UpstreamRequest(b"HEAD", b"/echo", []))) == b""
    assert await whole(await client.send(UpstreamRequest(b"GET", b"/stream", []))) == b""


async def test_uvicorn(backend, uvicorn_port, ask, whole):
    async with backend.client(f"http://127.0.0.1:{uvicorn_port}/v1") as client:
        await _exercise(client, ask, whole, b"/v1")


NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 1m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream app {{ server 127.0.0.1:{app}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 5;
    location /old/ {{ proxy_pass http://app/v1/; proxy_buffering off; }}
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


@pytest.fixture
async def nginx_port(uvicorn_port, tmp_path, free_port):
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    port = free_port()
    config = Path(tmp_path, "nginx.conf")
    config.write_text(
        NGINX.format(user="user root;" if os.getuid() == 0 else "", folder=tmp_path, app=uvicorn_port, port=port)
    )
    process = subprocess.Popen([binary, "-p", tmp_path, "-c", config, "-e", "stderr"], stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield port
    finally:
        process.terminate()
        process.wait(60)


async def test_nginx_and_a_connection_it_retires(backend, nginx_port, ask, whole):
    """keepalive_requests makes nginx close every fifth time; nobody notices."""
    async with backend.client(f"http://127.0.0.1:{nginx_port}/v1") as client:
        for _ in range(3):
            await _exercise(client, ask, whole, b"/v1")


async def test_nginx_refuses_a_body_that_is_too_large(backend, nginx_port, ask, whole):
    async with backend.client(f"http://127.0.0.1:{nginx_port}/v1") as client:
        answer = await client.send(ask(b"x" * 3_000_000, b"/echo"))
        assert answer.status == 413
        assert b"413" in await whole(answer)


async def test_nginx_speaking_http_1_0_to_the_application(backend, nginx_port, ask, whole):
    async with backend.client(f"http://127.0.0.1:{nginx_port}/old") as client:
        body = b"x" * 3_000
        assert await whole(await client.send(ask(body, b"/stream"))) == body
