"""The page's files, as answers."""

from functools import cache
from importlib.resources import files

from asgi_llm.types import Headers

__all__ = ["file"]

_TYPES = {"": ("page.html", b"text/html"), "/script.js": ("script.js", b"text/javascript"),
          "/style.css": ("style.css", b"text/css")}  # fmt: skip
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def file(name: str, *, slash: bool) -> tuple[Headers, bytes]:
    """Headers and body of what stands at ``/dashboard`` followed by ``name``. ``slash``: the page was asked for with a
    slash behind it, so that what it refers to stands beside it and not below."""
    source, content_type = _TYPES[name]
    body = _read(source)
    if not name:
        body = body.replace(b"{here}", b"." if slash else b"dashboard")
    headers: Headers = [
        (b"content-type", content_type + b"; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
    return headers, body


@cache
def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()
