"""Forged requests (CSRF): checked where a cookie may say who calls, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace

from litestar.config.csrf import CSRFConfig
from litestar.middleware.csrf import CSRFMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

__all__ = ["check_without_key"]

_SENT_BY_BROWSERS = (b"basic", b"digest", b"negotiate", b"ntlm")
"""Schemes of ``Authorization`` that a browser adds to requests on its own, like cookies."""


def check_without_key(config: CSRFConfig) -> Callable[..., ASGIApp]:
    """Middleware: Litestar's own check, for requests that show no key.

    No page of another site can make a browser send a key, and programs that have one know nothing of cookies."""
    config = replace(config, exclude_from_csrf_key="asgi_llm_litestar.never")

    def middleware(app: ASGIApp) -> ASGIApp:
        checked = CSRFMiddleware(app, config)

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            shown = any(_is_key(name, value) for name, value in scope["headers"])
            await (app if shown else checked)(scope, receive, send)

        return check

    return middleware


def _is_key(name: bytes, value: bytes) -> bool:
    if name == b"authorization":
        return value.split(b" ", 1)[0].lower() not in _SENT_BY_BROWSERS
    return name in (b"x-api-key", b"x-goog-api-key")
