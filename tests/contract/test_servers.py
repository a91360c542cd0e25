"""The ways of mounting under the servers that people run them with, as processes."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llm.testing.patience import within

HERE = Path(__file__).parent
SERVERS = {
    "asgi_llm.server": "-m uvicorn --http asgi_llm.server:Protocol --port {port} mounts.served:app",
    "granian": "-m granian --interface asgi --port {port} mounts.served:app",
    "hypercorn": "-m hypercorn --bind 127.0.0.1:{port} mounts.served:app",
    "daphne": "-m daphne -p {port} mounts.served:app",
}
_FORGOTTEN = re.compile(r"Traceback \(most recent call last\):\n(?: .*\n)*django\.core\.exceptions\.RequestAborted\n?")
"""Django 5.2 listens for the caller's leaving in a task that it forgets when the answer is out."""
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Hello there"}]}
PACED = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "/repeat 30\n/delay 0.2\nword"}]}


@pytest.mark.parametrize("server", SERVERS)
async def test_answers_and_streams(way: Any, server: str, tmp_path: Path, free_port: Any) -> None:
    """uvicorn as it comes serves all the other tests."""
    if way.wsgi:
        pytest.skip("these serve ASGI")
    if find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    port = free_port()
    log = tmp_path / "log"
    paths = [str(HERE), *(str(Path(one).resolve()) for one in os.environ.get("PYTHONPATH", "").split(":") if one)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "WAY": way.__name__}
    command = [sys.executable, *SERVERS[server].format(port=port).split()]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            await within(answering(client, process, log), 60, f"waiting for {server}")
            whole = await client.post("/llm/v1/chat/completions", json=CHAT)
            assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
            assert (await client.get("/about")).text == "a page of the application"
            async with client.stream("POST", "/llm/v1/chat/completions", json=PACED) as answer:
                first = await anext(answer.aiter_bytes())
            assert first.count(b"word") < 30  # the others are not made yet
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 60)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    said = log.read_text()
    if way.__name__.startswith("Django") and version("django").startswith("5."):
        said = _FORGOTTEN.sub("", said)
    assert "Traceback" not in said


async def answering(client: httpx.AsyncClient, process: Process, log: Path) -> None:
    while True:
        assert process.returncode is None, log.read_text()
        try:
            await client.get("/llm/health")
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            return
