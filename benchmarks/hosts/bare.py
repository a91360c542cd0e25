"""The gateway as an application of its own, below a path."""

from target import PREFIX, SETTINGS

from asgi_llm import Gateway, LLMMiddleware
from asgi_llm.types import Receive, Scope, Send


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers nothing: only the gateway's paths are asked for."""
    del receive
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


app = LLMMiddleware(site, Gateway(SETTINGS), prefix=PREFIX)
