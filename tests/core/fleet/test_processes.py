"""Gateways in processes of their own that share a Redis: what one of them is told about its workers, all of them do."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

OFF = {"interval": 0, "slow_start": 0}
PROCESS = Path(__file__).with_name("process.py")


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, do: str, **more: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        async with asyncio.timeout(60):
            return json.loads(await stdout.readline())

    async def sees(self, *states: str) -> list[dict[str, Any]]:
        """The workers, as soon as they are in these states."""
        async with asyncio.timeout(60):
            while True:
                found: list[dict[str, Any]] = await self("workers")
                if [worker["state"] for worker in found] == list(states):
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def process(settings: dict[str, Any], **environment: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), json.dumps(settings),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20, env=os.environ | environment,
    )  # fmt: skip
    try:
        yield Process(child)
    finally:
        child.kill()
        await child.communicate()


async def test_all_processes_have_the_workers_that_one_was_told_of(engines, redis_url) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    target = {"provider": "vllm", "workers": [{"url": one.url}], "health": OFF, "discover": False}
    state = {"url": redis_url, "prefix": uuid.uuid4().hex, "interval": 0.05}
    settings = {"targets": {"fleet": target}, "auth": {"anonymous": True}, "state": state}
    async with process(settings, WORKER_KEY="sk-here") as here, process(settings, WORKER_KEY="sk-there") as there:
        await there.sees("ready")
        worker = {"url": two.url, "weight": 3, "api_key": "env://WORKER_KEY", "timeouts": {"connect": 1.5}}
        added = await here("add", worker=worker)
        found = await there.sees("ready", "ready")
        assert found[1]["client"] == added["client"]
        assert found[1]["settings"] == added["settings"]
        assert await here("ask", times=2) == await there("ask", times=2) == [200, 200]
        # A secret goes from process to process by its name, and each looks up its own.
        assert [request.header("authorization") for request in two.chats] == ["Bearer sk-here", "Bearer sk-there"]
        await there("drain", id=added["id"])
        await here.sees("ready", "draining")
        assert await here("ask", times=2) == [200, 200]
        assert len(two.chats) == 2
        await here("remove", id=added["id"])
        await there.sees("ready")
        async with process(settings, WORKER_KEY="sk-late") as late:
            await late.sees("ready")
