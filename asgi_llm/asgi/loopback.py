"""For a gateway that is open to everybody on this machine: keeps out the web pages that a browser on it shows.

A page of any origin can send requests to an address of the machine it is shown on, and by a name that is made to
resolve to that address it can even read the answers. Neither gets past a check of the Host and Origin headers.
"""

import ipaddress
from urllib.parse import urlsplit

from asgi_llm.types import ASGIApp, Receive, Scope, Send

__all__ = ["LoopbackOnly", "is_loopback"]

_REFUSAL = b'{"error":{"message":"open to programs and pages of this machine only","type":"permission_error"}}'


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address without its port, means this machine and nothing else."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackOnly:
    """ASGI middleware that refuses requests sent to another name, or by a page of another origin, with 403."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_local(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_REFUSAL))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    @staticmethod
    def _is_local(scope: Scope) -> bool:
        for name, value in scope["headers"]:
            text = value.decode("latin-1")
            if name == b"host" and not _names_loopback(f"//{text}"):
                return False
            if name == b"origin" and not _names_loopback(text):
                return False
        return True


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
