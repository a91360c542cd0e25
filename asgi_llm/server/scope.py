"""What ASGI says of a request (ASGI HTTP specification 2.3, HTTP connection scope), and what the access log says."""

from typing import Any
from urllib.parse import quote, unquote

import httptools

from asgi_llm.types import Headers, Scope

__all__ = ["connection_scope", "logged", "request_scope", "wants_websocket"]

_METHODS = {name.encode(): name for name in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")}


def connection_scope(transport: Any, root_path: str) -> dict[str, Any]:
    """What is the same for all requests of a connection."""
    client = transport.get_extra_info("peername")
    return {
        "type": "http",
        "http_version": "1.1",
        "server": _address(transport.get_extra_info("sockname")),
        "client": _address(client) if isinstance(client, tuple) else None,
        "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        "root_path": root_path,
    }


def _address(found: Any) -> tuple[str, int | None] | None:
    if isinstance(found, tuple) and len(found) >= 2:
        return str(found[0]), int(found[1])
    return (found, None) if found and isinstance(found, str) else None


def request_scope(common: dict[str, Any], method: bytes, url: bytes, version: str, headers: Headers) -> dict[str, Any]:
    """The scope of one request, but for ``asgi`` and ``state``, which every request has copies of its own of.

    Raises:
        HttpParserError, UnicodeDecodeError: ``url`` is no target of a request (RFC 9112, 3.2).
    """
    root: str = common["root_path"]
    raw, query = _split(url)
    path = raw.decode("ascii")
    return {
        **common,
        "http_version": version,
        "method": _METHODS.get(method) or method.decode("ascii"),
        "path": root + (unquote(path) if "%" in path else path),
        "raw_path": root.encode("ascii") + raw if root else raw,
        "query_string": query,
        "headers": headers,
    }


def _split(url: bytes) -> tuple[bytes, bytes]:
    if url[:1] == b"/" and url.find(b"#") < 0:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def wants_websocket(headers: Headers) -> bool:
    """Whether the request asks for a WebSocket (RFC 6455, 4.1)."""
    found = dict(headers)
    connection = [token.strip() for token in found.get(b"connection", b"").lower().split(b",")]
    return b"upgrade" in connection and found.get(b"upgrade", b"").lower() == b"websocket"


def logged(scope: Scope, status: int) -> tuple[str, str, str, str, int]:
    """What a line of uvicorn's access log is made of: client, method, path with query, version of HTTP, status."""
    path = quote(scope["path"])
    if scope["query_string"]:
        path = f"{path}?{scope['query_string'].decode('ascii')}"
    client = ":".join(map(str, scope["client"] or ()))
    return client, scope["method"], path, scope["http_version"], status
