"""One suite for every way of mounting the gateway in an application.

A way is a small class in ``mounts``. Where its framework is missing it is a visible skip; tox runs each where its
framework is installed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llm.testing.patience import within

sys.path.insert(0, str(Path(__file__).parent))

from mounts.base import Mount
from mounts.serving import serving, threaded
from mounts.ways import ALL

WANTED = os.environ.get("ASGI_LLM_WAYS", "").split()
"""Names of those to try, where not all are; one that is missing then is a failure."""
WAYS = [way for way in ALL if not WANTED or way.__name__ in WANTED]
ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


@pytest.fixture(params=WAYS, ids=[way.__name__ for way in WAYS])
def way(request: pytest.FixtureRequest) -> type[Mount]:
    """Each in its turn."""
    found: type[Mount] = request.param
    if (missing := found.missing()) and not WANTED:
        pytest.skip(f"{' and '.join(missing)} not installed")
    return found


class Served:
    """A mounted gateway behind a server. ``base`` is its address, with the prefix."""

    def __init__(self, mount: Mount, client: httpx.AsyncClient, base: str) -> None:
        self.mount = mount
        self.client = client
        self.base = base

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.client.post(self.base + path, json=json, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(self.base + path, **options)

    async def settled(self, count: int) -> list[Any]:
        """The exchanges, once there are so many."""

        async def wait() -> None:
            while len(self.mount.settled) < count:
                await asyncio.sleep(0.01)

        await within(wait(), 60, f"waiting for {count} settlements")
        return self.mount.settled


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(way: type[Mount]) -> Serve:
    """``serve(tree, prefix=..., shared=..., lifespan=..., root_path=...)`` serves the application for as long as the
    block runs. ``tree`` is laid over the echo's settings."""

    @asynccontextmanager
    async def served(
        tree: dict[str, Any] | None = None, *, lifespan: str = "on", root_path: str = "", **options: Any
    ) -> AsyncIterator[Served]:
        async with AsyncExitStack() as stack:
            mount = await stack.enter_async_context(way({**ECHO, **(tree or {})}, **options).opened())
            if mount.wsgi:
                url = stack.enter_context(threaded(mount.app, script_name=root_path))
            else:
                url = await stack.enter_async_context(serving(mount.app, lifespan=lifespan, root_path=root_path))
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=60))
            yield Served(mount, client, url + mount.prefix)

    return served
