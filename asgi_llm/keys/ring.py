"""Whose key is it? Issued keys as one event loop knows them: asked for once, remembered for a while.

What was good goes on being good while the store does not answer, within bounds; what is revoked here is out at once,
and in other processes when they ask again.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from asgi_llm.errors import StoreError
from asgi_llm.identity import Identity
from asgi_llm.settings import IssuedSettings
from asgi_llm.stores.keys import IssuedKey, KeyStore

from .token import digest_of, id_of

__all__ = ["KeyRing"]

logger = logging.getLogger("asgi_llm.keys")

_KEPT = 10_000
"""Most keys remembered, known and unknown."""
_ABREAST = 16
"""Questions to the store at the same time: whoever invents keys must not use up its connections."""
_PATIENCE = 10.0
"""Seconds to wait for the store."""

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


class _Known(Struct, gc=False):
    """A key, or None where there is none, and when that was learned, in seconds of the clock."""

    key: IssuedKey | None
    identity: Identity | None
    at: float


class KeyRing:
    """``clock`` is seconds since the epoch."""

    def __init__(
        self, settings: IssuedSettings, store: KeyStore, spawn: Spawn, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self._pepper = None if settings.pepper is None else settings.pepper.get_secret_value()
        self._spawn = spawn
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}
        self._slots = asyncio.Semaphore(_ABREAST)
        self._used: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def find(self, shown: bytes) -> Identity | None:
        """Whose key this is; None where it is no issued one, or does not work any more.

        Raises:
            StoreError: the store does not answer, and the key is not remembered.
        """
        name = id_of(self.settings.prefix, shown)
        if name is None:
            return None
        now = self.clock()
        known = self._known.get(name)
        if known is None or now - known.at >= (self.settings.unknown if known.key is None else self.settings.fresh):
            known = await self._ask(name, known, now)
        key = known.key
        # The digest is made and compared in any case, so that answers take as long for ids that exist.
        digest = digest_of(shown, self._pepper)
        if not hmac.compare_digest(digest, _NOBODYS if key is None else key.digest) or key is None:
            return None
        if not key.works(now):
            return None
        self._note(name, now)
        return known.identity

    def forget(self, name: str) -> None:
        """What is known of the key with that id is asked for again; an answer that is under way may be of before."""
        self._known.pop(name, None)
        self._asking.pop(name, None)

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._touch()

    async def _ask(self, name: str, known: _Known | None, now: float) -> _Known:
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.get_running_loop().create_task(self._learn(name))
            task.add_done_callback(lambda done: self._asked(name, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if known is not None and known.key is not None and now - known.at < self.settings.stale:
                return known
            logger.warning("a key could not be looked up: %s", type(error).__name__)
            raise StoreError("keys cannot be checked now; try again later") from error

    async def _learn(self, name: str) -> _Known:
        async with asyncio.timeout(_PATIENCE), self._slots:
            key = await self.store.find(name)
        known = _Known(key, None if key is None else _identity(key), self.clock())
        if self._asking.get(name) is asyncio.current_task():
            self._remember(name, known)
        return known

    def _remember(self, name: str, known: _Known) -> None:
        if len(self._known) >= _KEPT:
            # The oldest half; those in use are soon known again.
            for old in list(self._known)[: _KEPT // 2]:
                del self._known[old]
        self._known.pop(name, None)
        self._known[name] = known

    def _asked(self, name: str, task: "asyncio.Task[_Known]") -> None:
        if self._asking.get(name) is task:
            del self._asking[name]
        if not task.cancelled():
            task.exception()  # told to those who wait

    def _note(self, name: str, now: float) -> None:
        if not self.settings.touch:
            return
        self._used[name] = now
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.settings.touch, self._begin_touch)

    def _begin_touch(self) -> None:
        self._timer = None
        self._spawn(self._touch(), "keys used")

    async def _touch(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.store.touch(used)
        except Exception as error:  # noqa: BLE001  # it is only told when a key was used last
            logger.warning("when keys were used last could not be written: %s", type(error).__name__)


_NOBODYS = bytes(32)


def _identity(key: IssuedKey) -> Identity:
    scopes = {name: globs for name in ("endpoints", "models", "targets") if (globs := getattr(key, name))}
    return Identity(subject=key.subject, tenant=key.tenant, roles=key.roles, source="key", key_id=key.id, scopes=scopes)
