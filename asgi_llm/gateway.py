"""The composition root: settings in, an ASGI application out.

Importing this must be cheap: every command of the host's does it, most of which ask no model. What a gateway is made of
(dialects, pipeline, stores) is imported when the first one is made, and never by a request.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.hooks import Hook, check_hooks, overrides
from asgi_llm.identity import Identity
from asgi_llm.settings import Settings

if TYPE_CHECKING:
    import httpx
    from prometheus_client.registry import Collector

    from asgi_llm.client.call import Door
    from asgi_llm.client.chat import Messages, Reply, ReplyStream
    from asgi_llm.explain import Explanation
    from asgi_llm.neutral.request import DialectName
    from asgi_llm.runtime import Runtime, Sink

__all__ = ["Gateway"]

logger = logging.getLogger("asgi_llm")

Source = Settings | Mapping[str, Any] | str | os.PathLike[str]


class Gateway:
    """An LLM gateway.

    Making one does no I/O beyond reading the settings and the secrets they refer to, and needs no event loop: it is
    safe at import time and before a fork. Everything bound to an event loop is opened when that loop first needs it.

    Args:
        settings: a dict, the path of a TOML file, or ``Settings``.
        transports: target name -> an httpx transport to reach it through.
        on_settled: called with every settled exchange; may be asynchronous (it then runs in a task of the gateway's).
        hooks: what looks at requests and answers, in the order in which requests pass them (``asgi_llm.hooks``).
        cache: where answers are kept, in place of ``cache.url``: any object with ``get`` and ``set``, such as the cache
            that the application has. Nothing is kept without ``[cache]``.

    Raises:
        ConfigError: with every problem of the settings, each with its path.

    Attributes:
        asgi: the ASGI application to mount or to serve.
        keys: issues API keys, where ``auth.issued`` is set.
        fleet: the workers: which there are and how they fare, and adding, draining and removing them at run time.
    """

    def __init__(
        self,
        settings: Source,
        *,
        transports: Mapping[str, Any] | None = None,
        on_settled: "Sequence[Sink] | Sink" = (),
        hooks: Sequence[Hook] = (),
        cache: Any = None,
    ) -> None:
        self._source = settings
        self._transports = transports or {}
        self._sinks: tuple[Sink, ...] = (on_settled,) if callable(on_settled) else tuple(on_settled)
        self._hooks = check_hooks(hooks)
        self._sinks += tuple(hook.on_settled for hook in self._hooks if overrides(hook, "on_settled"))
        self.settings = Settings.load(settings)

        from asgi_llm.asgi.admin import open_table
        from asgi_llm.asgi.app import GatewayApp
        from asgi_llm.fleet.admin import FleetAdmin
        from asgi_llm.foundation import Foundation
        from asgi_llm.keys.desk import KeyDesk

        self._foundation = Foundation(self._transports, self._sinks, self._hooks, cache, self._door)
        self._blueprint = self._foundation.blueprint(self.settings)
        if self._blueprint.telemetry is not None:
            self._blueprint.telemetry.take_effect()
        self._runtimes: dict[asyncio.AbstractEventLoop, Runtime] = {}
        self._retired: set[Runtime] = set()
        self.keys = KeyDesk(lambda: self.runtime(announced=True).keyring)
        self.fleet = FleetAdmin(lambda: self.runtime(announced=True).fleet)
        self.asgi = GatewayApp(open_table(self.settings), self.runtime, self.running)

    def runtime(self, *, announced: bool = False) -> "Runtime":
        """The running event loop's runtime, opened if this is its first use. ``announced``: by a lifespan, or by the
        application's own code; else it is a request that opens it, and a warning says what that means."""
        loop = asyncio.get_running_loop()
        runtime = self._runtimes.get(loop)
        if runtime is None:
            # Loops come and go where a host makes one for each request; those that are closed need nothing any more.
            self._runtimes = {known: value for known, value in self._runtimes.items() if not known.is_closed()}
            runtime = self._runtimes[loop] = self._foundation.runtime(self._blueprint)
            if not announced:
                logger.warning(
                    "started by a request, not with the application: the end of the server breaks off what runs then; "
                    "where the server has a lifespan, run the gateway in the application's (gateway.running())"
                )
        return runtime

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Runs the gateway in this event loop. Counts references: the last one to leave lets running streams end
        within ``limits.shutdown_grace`` seconds, then closes everything. It can be entered again."""
        self.runtime(announced=True).users += 1
        try:
            yield self
        finally:
            # It need not be the one that was entered.
            runtime = self._runtimes.get(asyncio.get_running_loop())
            if runtime is not None:
                runtime.users -= 1
                if not runtime.users:
                    await self.aclose()

    async def aclose(self) -> None:
        """Closes this event loop's runtime, if it has one, and those of earlier settings."""
        loop = asyncio.get_running_loop()
        runtime = self._runtimes.get(loop)
        old = [retired.aclose() for retired in self._retired if retired.loop is loop]
        await asyncio.gather(*old, *([] if runtime is None else [runtime.aclose()]))
        if runtime is not None:
            self._runtimes.pop(loop, None)

    def reload(self, settings: Source | None = None) -> None:
        """Goes on with other settings, or with those of the same source read again, secrets included. Requests that
        run end under the settings that they began with. May be called from any thread.

        What belongs to single workers (breakers, connections) begins anew.

        Raises:
            ConfigError: they cannot work. Nothing has changed then.
        """
        from asgi_llm.asgi.admin import open_table

        source = self._source if settings is None else settings
        loaded = Settings.load(source)
        blueprint, table = self._foundation.blueprint(loaded), open_table(loaded)
        self._source, self.settings, self._blueprint, self.asgi.table = source, loaded, blueprint, table
        if blueprint.telemetry is not None:
            blueprint.telemetry.take_effect()
        for loop in list(self._runtimes):
            if loop is _running_loop():
                self._replace(loop)
            elif not loop.is_closed():
                with suppress(RuntimeError):  # closed just now
                    loop.call_soon_threadsafe(self._replace, loop)

    def _replace(self, loop: asyncio.AbstractEventLoop) -> None:
        """In ``loop``: a runtime of the settings as they are now."""
        old = self._runtimes.get(loop)
        if old is None or old.stopping or old.blueprint is self._blueprint:
            return
        runtime = self._runtimes[loop] = self._foundation.runtime(self._blueprint)
        runtime.users = old.users
        self._retired.add(old)
        runtime.spawn(self._retire(old), "retirement of earlier settings")

    async def _retire(self, old: "Runtime") -> None:
        try:
            await old.retire()
        except asyncio.CancelledError:
            await old.aclose(0)
            raise
        finally:
            self._retired.discard(old)

    def metrics_collector(self) -> "Collector":
        """For a registry of prometheus_client that the application has: ``REGISTRY.register(...)``. Of use where it
        serves metrics of its own already; ``telemetry.metrics`` must be on.

        Raises:
            ConfigError: it is not.
        """
        if not self.settings.telemetry.metrics:
            raise ConfigError([Problem("telemetry.metrics", "is off, so there is nothing to collect")])
        from asgi_llm.asgi.gauges import families as gauges
        from asgi_llm.telemetry.prometheus import FamilyCollector

        meters = self._foundation.meters
        return FamilyCollector(lambda: [*meters.families(), *gauges(list(self._runtimes.values()))])

    async def forget(self, identity: Identity) -> int:
        """Deletes all that is kept for this user: responses, conversations, proofs of thought; how many of them. What
        upstreams keep for it (``native = "verbatim"``) they are asked to delete, too.

        Raises:
            StoreError: the store failed. It may be asked again.
        """
        from asgi_llm.stores.scope import Scope

        runtime = self.runtime(announced=True)
        if (history := runtime.history) is None:
            return 0
        count = 0
        if history.history is not None and self.settings.responses.native == "verbatim":
            from asgi_llm.history.forgetting import forget_elsewhere

            count = await forget_elsewhere(runtime, history.history, identity)
        return count + await history.forget(Scope.of(identity))

    @property
    def grace(self) -> float:
        """Seconds that running requests get to end when it is closed."""
        return self.settings.limits.shutdown_grace

    def client(
        self, *, identity: Identity | str | None = None, target: str | None = None, library: ModuleType | None = None
    ) -> "httpx.AsyncClient":
        """A client for this process's own calls, with nothing but an ``await`` between it and the gateway: the same
        endpoints, rules, accounts and traces as for callers from outside. The official SDKs take it as their
        ``http_client``; the host in their URLs does not matter.

        Args:
            identity: for whom it calls; a text is the subject. None: for the application itself.
            target: the name of the target that is to be asked; None goes by the routes.
            library: ``httpx`` or ``httpx2``. By default ``httpx2`` where it is installed, as the newest official SDKs
                want it, else ``httpx``.
        """
        from asgi_llm.client.transport import async_client

        return async_client(self._door(identity, target), library)

    def sync_client(
        self, *, identity: Identity | str | None = None, target: str | None = None, library: ModuleType | None = None
    ) -> "httpx.Client":
        """The same for code without an event loop; the gateway works in a thread of its own. Must not be used where an
        event loop runs, which it would block: it raises RuntimeError there."""
        from asgi_llm.client.thread import submit
        from asgi_llm.client.transport import sync_client

        return sync_client(self._door(identity, target), partial(submit, self), library)

    async def chat(
        self,
        model: str,
        messages: "Messages",
        *,
        identity: Identity | str | None = None,
        target: str | None = None,
        **fields: Any,
    ) -> "Reply":
        """What ``model`` answers to ``messages``: a text, or a conversation as Chat Completions has it. ``fields`` are
        more of that request's (``max_tokens``, ``tools``, ``temperature``, ...), ``identity`` and ``target`` as in
        ``client``.

        Raises:
            AsgiLLMError: it was refused (``ClientError``, ``PolicyError``), or it failed (``UpstreamError``).
        """
        from asgi_llm.client.chat import ask

        return await ask(self._door(identity, target), model, messages, fields)

    def chat_stream(
        self,
        model: str,
        messages: "Messages",
        *,
        identity: Identity | str | None = None,
        target: str | None = None,
        **fields: Any,
    ) -> "ReplyStream":
        """The same, piece by piece: ``async for text in gateway.chat_stream(model, "Hello")``."""
        from asgi_llm.client.chat import ReplyStream

        return ReplyStream(self._door(identity, target), model, messages, fields)

    def _door(self, identity: Identity | str | None, target: str | None) -> "Door":
        from asgi_llm.client.call import Door

        return Door(self.asgi, self._spawn, identity, target)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        return self.runtime(announced=True).spawn(coroutine, name)

    def explain(
        self, model: str, dialect: "DialectName" = "chat", target: str | None = None, endpoint: str | None = None
    ) -> "Explanation":
        """Where a request for ``model`` would go and why; ``target`` is one the host would name, ``endpoint`` one that
        is no dialect's, as ``embeddings``. Sends nothing.

        Raises:
            KeyError: there is no such endpoint.
        """
        from asgi_llm.explain import explain

        return explain(self._blueprint.ladder, self._blueprint.targets, model, dialect, target, endpoint)

    def __repr__(self) -> str:
        return f"<Gateway targets={', '.join(self.settings.targets)}>"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
