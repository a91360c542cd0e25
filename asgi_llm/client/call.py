"""One request of the application's own: who makes it, and how it reaches the gateway."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from urllib.parse import unquote

from asgi_llm.identity import IDENTITY_KEY, TARGET_KEY, Identity
from asgi_llm.types import ASGIApp, Headers, Scope

from .bridge import Bridge

__all__ = ["APPLICATION", "Door"]

APPLICATION = Identity(subject="application", source="application")
"""Who calls where the application names no user: itself."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Door:
    """The gateway's inner door: for one identity, and one target if the application chooses it.

    Args:
        app: the gateway.
        spawn: starts a task in the running loop that the gateway owns.
        identity: who calls; a text is the subject. None: the application itself.
        target: the name of the target that is to be asked, or None to go by the routes.
    """

    def __init__(self, app: ASGIApp, spawn: Spawn, identity: Identity | str | None, target: str | None) -> None:
        self._app = app
        self._spawn = spawn
        if isinstance(identity, str):
            identity = Identity(subject=identity, source="application")
        self._marks: dict[str, Any] = {IDENTITY_KEY: identity or APPLICATION}
        if target is not None:
            self._marks[TARGET_KEY] = target

    async def call(self, method: str, path: str, headers: Headers, body: bytes, query: bytes = b"") -> Bridge:
        """Has the gateway answer, and waits for the head of the answer. ``path`` is percent-encoded, ``headers`` have
        their names in lower case.

        Whoever does not take all of the answer calls ``leave`` of what is returned.
        """
        bridge = Bridge(partial(_whole, body))
        self._spawn(bridge.run(partial(self._app, self._scope(method, path, headers, query))), "request in process")
        try:
            # Cancelled with whoever waits here, this future could not be set any more.
            await asyncio.shield(bridge.head)
        except asyncio.CancelledError:
            bridge.leave()
            # Whatever is said there now has no reader.
            bridge.head.add_done_callback(lambda head: head.cancelled() or head.exception())
            raise
        return bridge

    def _scope(self, method: str, path: str, headers: Headers, query: bytes) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": None,
            **self._marks,
        }


async def _whole(body: bytes) -> tuple[bytes, bool]:
    return body, False
