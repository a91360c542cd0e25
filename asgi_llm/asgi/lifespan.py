"""The lifespan protocol: alone, and around another application's."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from asgi_llm.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Running", "serve_lifespan", "wrap_lifespan"]

logger = logging.getLogger("asgi_llm")

Running = Callable[[], AbstractAsyncContextManager[object]]


async def serve_lifespan(running: Running, receive: Receive, send: Send) -> None:
    """Answers a server's lifespan when the gateway is the whole application."""
    await receive()
    try:
        async with running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
    except Exception as error:
        logger.exception("the gateway could not be run")
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.shutdown.complete"})


async def wrap_lifespan(app: ASGIApp, running: Running, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs the gateway around ``app``'s own lifespan: it starts before and stops after."""
    context = running()
    entered = False

    async def leave() -> None:
        nonlocal entered
        if entered:
            entered = False
            await context.__aexit__(None, None, None)

    async def receive_around() -> Message:
        nonlocal entered
        message = await receive()
        if message["type"] == "lifespan.startup":
            await context.__aenter__()
            entered = True
        return message

    async def send_around(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"):
            await leave()
        await send(message)

    try:
        await app(scope, receive_around, send_around)
    finally:
        await leave()
