"""A server on a socket, for what only a socket shows."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

Serve = Callable[[Any], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """Serves an app with uvicorn for as long as the block runs; gives its address."""

    @asynccontextmanager
    async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
        config = uvicorn.Config(app, log_level="warning", loop="none", ws="none", lifespan="on", **options)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.create_task(server._serve(sockets=[listener]))
            try:
                while not server.started and not running.done():
                    await asyncio.sleep(0.005)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running

    return serving
