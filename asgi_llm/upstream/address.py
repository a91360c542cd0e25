"""Where a worker is: the base URL, taken apart once, so that a request costs no parsing.

The checks of what may stand in a request line and in a header live here too, because both backends and the base URL
itself need them (RFC 9110 section 5, RFC 9112 section 3): whatever could end a line early is refused, not escaped.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from asgi_llm.errors import ClientError

from .interface import UpstreamRequest

__all__ = ["ILLEGAL_IN_HEADERS", "Address", "check_name", "check_request", "check_target", "joined", "parse_base_url"]

ILLEGAL_IN_HEADERS = bytes([*range(9), *range(10, 32), 127])
"""Control characters other than tab."""

_ILLEGAL_IN_TARGET = bytes([*range(33), 35, *range(127, 256)])
"""Control characters, space, ``#`` and everything that is not ASCII."""

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_WRITTEN_BY_THE_CLIENT = frozenset((b"host", b"content-length", b"connection", b"transfer-encoding"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """``host`` is without brackets, ``authority`` is what the Host header says, ``path`` has no slash at its end."""

    secure: bool
    host: str
    port: int
    authority: bytes
    path: bytes


def parse_base_url(url: str) -> Address:
    """Take a base URL apart.

    Raises:
        ValueError: it is not an absolute http or https URL, or has a query, a fragment or credentials in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("base_url must begin with http:// or https://")
    if not parts.hostname:
        raise ValueError("base_url names no host")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("base_url must have no query and no fragment")
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not contain credentials")
    path = parts.path.rstrip("/").encode()
    if path.translate(None, _ILLEGAL_IN_TARGET) != path:
        raise ValueError("the path of base_url contains characters that must be percent-encoded")
    secure = parts.scheme == "https"
    default = 443 if secure else 80
    port = default if parts.port is None else parts.port
    host = _ascii_host(parts.hostname)
    name = f"[{host}]" if ":" in host else host
    authority = name if port == default else f"{name}:{port}"
    return Address(secure=secure, host=host, port=port, authority=authority.encode(), path=path)


def joined(base: bytes, path: bytes) -> bytes:
    """``path`` behind the path of a base URL; one that begins with ``/../`` stands beside its last segment."""
    if not path.startswith(b"/../"):
        return base + path
    return base.rpartition(b"/")[0] + path[3:]


def _ascii_host(host: str) -> str:
    try:
        ascii_host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise ValueError("the host of base_url is not a valid name") from None
    if not re.fullmatch(r"[0-9A-Za-z._~\-]+|[0-9A-Fa-f:.]+", ascii_host):
        raise ValueError("the host of base_url is not a valid name")
    return ascii_host


def check_request(request: UpstreamRequest) -> None:
    """Refuse a request that could be read as something else than what was meant.

    Raises:
        ClientError: bytes that are illegal where they stand. Method, path and headers may stem from the caller.
    """
    check_target(request.method, request.path)
    for name, value in (*request.fixed, *request.headers):
        check_name(name)
        if value.translate(None, ILLEGAL_IN_HEADERS) != value:
            raise ClientError("A header value contains control characters.")


def check_target(method: bytes, path: bytes) -> None:
    """The method and path of a request line; see ``check_request``."""
    if not _METHOD.fullmatch(method) or method.upper() == b"CONNECT":
        raise ClientError("The request method is not valid.")
    if path.translate(None, _ILLEGAL_IN_TARGET) != path or path[:1] not in (b"", b"/", b"?"):
        raise ClientError("The request path contains characters that must be percent-encoded.")


def check_name(name: bytes) -> None:
    """A header name as ``UpstreamRequest`` wants it; see ``check_request``."""
    if not _NAME.fullmatch(name):
        raise ClientError("A header name is not valid.")
    if name in _WRITTEN_BY_THE_CLIENT:
        raise ClientError("A header that frames the request cannot be set.")
