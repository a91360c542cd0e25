"""Servers as real processes, an upstream in the test's hands, and what the served gateway settled."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from asgi_llm.testing import ScriptedUpstream
from asgi_llm.testing.patience import within

HERE = Path(__file__).parent
FAULT = re.compile(r"Traceback|never retrieved|never awaited|[Uu]nhandled|Exception in", re.MULTILINE)
PATIENCE = 60.0
"""Seconds that a process may take to start or to stop on a busy machine."""


class Server(NamedTuple):
    """``command`` is what follows the interpreter, ``mount`` the option that names a path in front of the application,
    ``lifespan`` whether it speaks that protocol, ``graceful`` whether it lets running answers end when it is told to
    stop."""

    name: str
    command: str
    mount: str
    lifespan: bool = True
    graceful: bool = True


SERVERS = [
    Server("uvicorn", "-m uvicorn {app} --port {port}", "--root-path"),
    Server("asgi_llm.server", "-m uvicorn --http asgi_llm.server:Protocol {app} --port {port}", "--root-path"),
    Server("granian", "-m granian --interface asgi --port {port} {app}", "--url-path-prefix"),
    Server("hypercorn", "-m hypercorn --bind 127.0.0.1:{port} --graceful-timeout 10 {app}", "--root-path"),
    Server("daphne", "-m daphne -p {port} {app}", "--root-path", lifespan=False, graceful=False),
]


@pytest.fixture(params=SERVERS, ids=[server.name for server in SERVERS])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of them in its turn. One that is not installed is a visible skip, in CI a failure."""
    found: Server = request.param
    if find_spec(found.name) is None and "CI" not in os.environ:
        pytest.skip(f"{found.name} is not installed")
    return found


class Running:
    """A server process that serves."""

    def __init__(self, process: Process, port: int, log: Path, settled: asyncio.Queue[dict[str, Any]]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._process = process
        self._settled = settled

    async def next_settled(self) -> dict[str, Any]:
        """What the gateway settled next."""
        return await within(self._settled.get(), 60, "waiting for a settlement")

    @property
    def unread(self) -> int:
        """Settlements that nobody has asked for."""
        return self._settled.qsize()

    def terminate(self) -> None:
        """Tell the server to stop, as process managers do."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def stopped(self) -> None:
        """Until the process has ended. What it said on its way contains no fault."""
        await within(self._process.wait(), PATIENCE, "waiting for the server to stop")
        said = self.log.read_text()
        assert FAULT.search(said) is None, said


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path, free_port: Callable[[], int]) -> Start:
    """``start(server, "served:app", upstream, *options)`` serves an app of a module of ``folder`` for as long as the
    block runs."""

    @asynccontextmanager
    async def starting(
        server: Server, app: str, upstream: ScriptedUpstream | None = None, *options: str, folder: Path = HERE
    ) -> AsyncIterator[Running]:
        settled: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            settled.put_nowait(json.loads(await reader.read()))
            writer.close()

        sink = await asyncio.start_server(note, "127.0.0.1", 0)
        port, log = free_port(), tmp_path / f"{server.name}.log"
        environment = _environment(folder) | {
            "UPSTREAM": upstream.url if upstream is not None else "",
            "SINK": str(sink.sockets[0].getsockname()[1]),
        }
        command = [sys.executable, *server.command.format(app=app, port=port).split(), *options]
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        running = Running(process, port, log, settled)
        try:
            await within(_answering(running, process), PATIENCE, f"waiting for {server.name} to start")
            yield running
            running.terminate()
            await running.stopped()
        finally:
            if process.returncode is None:
                # Its workers as well, which would outlive it.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            sink.close()

    return starting


async def _answering(running: Running, process: Process) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while True:
            assert process.returncode is None, running.log.read_text()
            try:
                await client.get(running.url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


def _environment(folder: Path) -> dict[str, str]:
    """This process's, from where relative paths have no meaning."""
    paths = [str(folder), *(str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
