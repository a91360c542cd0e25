"""What the server processes serve. The upstream and the place to report settlements to are in the environment."""

import json
import os
import socket
from typing import Any

from asgi_llm import Exchange, Gateway, LLMMiddleware


def report(exchange: Exchange) -> None:
    """Blocks for a moment, which is all right for a test and nothing else."""
    with socket.create_connection(("127.0.0.1", int(os.environ["SINK"]))) as connection:
        connection.sendall(json.dumps({"id": exchange.id, "outcome": exchange.outcome}).encode())


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the middleware: takes part in the lifespan, and shows whether it ran."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            scope["state"]["open"] = True
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    said = {"path": scope["path"], "root_path": scope["root_path"], "open": scope.get("state", {}).get("open", False)}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def old_site(scope: Any, receive: Any, send: Any) -> None:
    """An application that has never heard of a lifespan."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await site(scope, receive, send)


targets: dict[str, Any] = {"echo": {"provider": "echo"}}
if os.environ["UPSTREAM"]:
    targets["up"] = {"provider": "openai_compatible", "base_url": f"{os.environ['UPSTREAM']}/v1"}
gateway = Gateway(
    {
        "targets": targets,
        "routes": [{"model": "echo", "target": "echo"}],
        "default_target": list(targets)[-1],
        "auth": {"anonymous": True},
        "limits": {"shutdown_grace": 10},
    },
    on_settled=report,
)
wrapped = LLMMiddleware(site, gateway, prefix="/llm")
old = LLMMiddleware(old_site, gateway, prefix="/llm")
alone = gateway.asgi
