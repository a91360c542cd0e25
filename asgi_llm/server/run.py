"""Runs an ASGI application with uvicorn, one process, on a socket that is bound before anything is said about it."""

import importlib
import importlib.util
import math
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from asgi_llm.types import ASGIApp

from .memory import keep_memory
from .protocol import Protocol

__all__ = ["bind", "has_fast_loop", "installed", "on_hangup", "run"]

_ATTEMPTS = 20


def installed() -> bool:
    """Whether there is a server to run."""
    return importlib.util.find_spec("uvicorn") is not None


def bind(host: str, port: int, *, search: bool = False) -> socket.socket:
    """A listening socket on ``port``, or with ``search`` on the first free one of the twenty from there on.

    Raises:
        OSError: there is none, or ``host`` is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(port + _ATTEMPTS - 1, 65535) if search and port else port
    for candidate in range(port, last):
        try:
            return socket.create_server((host, candidate), family=family, backlog=2048)
        except OSError:
            continue
    return socket.create_server((host, last), family=family, backlog=2048)


def has_fast_loop() -> bool:
    """Whether there is the event loop that uvicorn takes if it can."""
    return importlib.util.find_spec("uvloop") is not None


def on_hangup(action: Callable[[], None]) -> None:
    """Calls ``action`` in a thread of its own, where files may be read, whenever the process is sent SIGHUP."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_signal: threading.Thread(target=action, name="asgi-llm reload").start())


def run(app: ASGIApp, listener: socket.socket, *, grace: float) -> bool:
    """Serves ``app`` until it is told to stop; requests that run then get ``grace`` seconds. False when its start
    failed, which uvicorn's log tells about."""
    keep_memory()
    uvicorn: Any = importlib.import_module("uvicorn")
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Nothing here goes by the caller's address or scheme, so nobody needs to say them.
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(grace),
        ws="none",
    )
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        # uvicorn has shut down in good order and only passes the signal on.
        return True
    return bool(server.started)
