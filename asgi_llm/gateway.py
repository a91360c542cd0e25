"""The composition root: settings in, an ASGI application out."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from asgi_llm.asgi.app import GatewayApp
from asgi_llm.endpoints import Table
from asgi_llm.explain import Explanation, explain
from asgi_llm.fleet.target import compile_targets
from asgi_llm.history.opening import history_opener
from asgi_llm.neutral.request import DialectName
from asgi_llm.routing.resolve import Ladder, Route
from asgi_llm.runtime import Blueprint, Runtime, Sink
from asgi_llm.settings import Settings
from asgi_llm.stores.keys import SettingsKeys
from asgi_llm.stores.opening import database_opener

__all__ = ["Gateway"]


class Gateway:
    """An LLM gateway.

    Making one does no I/O beyond reading the settings and the secrets they refer to, and needs no event loop: it is
    safe at import time and before a fork. Everything bound to an event loop is opened when that loop first needs it.

    Args:
        settings: a dict, the path of a TOML file, or ``Settings``.
        transports: target name -> an httpx transport to reach it through.
        on_settled: called with every settled exchange; may be asynchronous (it then runs in a task of the gateway's).

    Raises:
        ConfigError: with every problem of the settings, each with its path.

    Attributes:
        asgi: the ASGI application to mount or to serve.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | str | os.PathLike[str],
        *,
        transports: Mapping[str, Any] | None = None,
        on_settled: Sequence[Sink] | Sink = (),
    ) -> None:
        self.settings = Settings.load(settings)
        sinks = (on_settled,) if callable(on_settled) else tuple(on_settled)
        routes = [Route(route.model, route.target, route.fallback) for route in self.settings.routes]
        self._blueprint = Blueprint(
            settings=self.settings,
            targets=compile_targets(self.settings, transports or {}),
            ladder=Ladder(self.settings.targets, routes, self.settings.default_target),
            keys=SettingsKeys(self.settings.auth.keys),
            sinks=sinks,
            open_database=database_opener(self.settings.store),
            open_history=history_opener(self.settings),
        )
        self._runtimes: dict[asyncio.AbstractEventLoop, Runtime] = {}
        self.asgi = GatewayApp(
            Table(self.settings.endpoints, stored=self.settings.responses.stateful is True), self.runtime, self.running
        )

    def runtime(self) -> Runtime:
        """The running event loop's runtime, opened if this is its first use."""
        loop = asyncio.get_running_loop()
        runtime = self._runtimes.get(loop)
        if runtime is None:
            # Loops come and go where a host makes one for each request; those that are closed need nothing any more.
            self._runtimes = {known: value for known, value in self._runtimes.items() if not known.is_closed()}
            runtime = self._runtimes[loop] = Runtime(self._blueprint)
        return runtime

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Runs the gateway in this event loop. Counts references: the last one to leave lets running streams end
        within ``limits.shutdown_grace`` seconds, then closes everything. It can be entered again."""
        runtime = self.runtime()
        runtime.users += 1
        try:
            yield self
        finally:
            runtime.users -= 1
            if not runtime.users:
                await self.aclose()

    async def aclose(self) -> None:
        """Closes this event loop's runtime, if it has one."""
        runtime = self._runtimes.get(asyncio.get_running_loop())
        if runtime is not None:
            await runtime.aclose()
            self._runtimes.pop(runtime.loop, None)

    def explain(self, model: str, dialect: DialectName = "chat", target: str | None = None) -> Explanation:
        """Where a request for ``model`` would go and why; ``target`` is one the host would name. Sends nothing."""
        return explain(self._blueprint.ladder, self._blueprint.targets, model, dialect, target)

    def __repr__(self) -> str:
        return f"<Gateway targets={', '.join(self.settings.targets)}>"
