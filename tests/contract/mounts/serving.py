"""Real servers in the test's own process, on sockets."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

__all__ = ["serving", "threaded"]


@asynccontextmanager
async def serving(app: Any, *, lifespan: str = "on", root_path: str = "") -> AsyncIterator[str]:
    """Serves an ASGI application with uvicorn; gives its address."""
    options: Any = {"lifespan": lifespan, "root_path": root_path}
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", loop="none", ws="none", **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@contextmanager
def threaded(app: Any, *, script_name: str = "") -> Iterator[str]:
    """Serves a WSGI application with Django's own server; gives its address."""
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            pass

    class Server(ThreadedWSGIServer):
        block_on_close = True
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    def below(environ: Any, start_response: Any) -> Any:
        return app({**environ, "SCRIPT_NAME": script_name}, start_response)

    with Server(("127.0.0.1", 0), Quiet) as server:
        server.set_app(below)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
