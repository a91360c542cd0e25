"""The seam between Litestar's routing and the gateway: a response that the gateway gives.

Litestar closes a handler's dependencies before it sends the response. Since the gateway is asked only then, no database
session of a dependency is held for as long as a model talks.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from litestar import Request, Response
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.response.base import ASGIResponse
from litestar.utils.scope.state import ScopeState

from asgi_llm.types import ASGIApp, Headers, Message, Receive, Scope, Send

__all__ = ["GatewayResponse", "below"]

_FIXED = (b"content-type", b"content-length")
"""Headers that belong to the body, which the application does not write."""


class GatewayResponse(Response[None]):
    """Hooks may add headers, cookies and background tasks to it, as to any response."""

    def __init__(self, app: ASGIApp, *, status_code: int | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(None, status_code=status_code, headers=headers)
        self.app = app

    def to_asgi_response(
        self,
        app: Any,  # Litestar's own parameters, of which these say something here
        request: Request[Any, Any, Any],
        *,
        background: BackgroundTask | BackgroundTasks | None = None,
        cookies: Iterable[Cookie] | None = None,
        headers: dict[str, str] | None = None,
        **_unused: Any,
    ) -> ASGIResponse:
        return _Forwarded(
            self.app,
            self.status_code,
            background=self.background or background,
            cookies=chain(self.cookies, cookies or ()),
            headers={**(headers or {}), **self.headers},
        )


class _Forwarded(ASGIResponse):
    """What ``app`` answers, with further headers. ``status`` replaces the answer's own if it is given."""

    def __init__(self, app: ASGIApp, status: int | None, **options: Any) -> None:
        super().__init__(**options)
        self._app = app
        self._status = status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = [(name.lower(), value) for name, value in self.encode_headers()]
        more = [pair for pair in more if pair[0] not in _FIXED]
        if more or self._status is not None:
            send = _changed(send, self._status, more)
        await self._app(scope, _with_body(scope, receive), send)
        await self.after_response()


def _changed(send: Send, status: int | None, more: Headers) -> Send:
    named = {name for name, _ in more}

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] not in named]
            message = {**message, "status": status or message["status"], "headers": headers + more}
        await send(message)

    return tell


def _with_body(scope: Scope, receive: Receive) -> Receive:
    """``receive``, or where the body was read already (Litestar's logging middleware does so) one that gives it
    again."""
    body = ScopeState.from_scope(scope).body  # type: ignore[arg-type]  # Litestar's scope types are closed, ASGI's open
    if not isinstance(body, bytes):
        return receive
    again: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeat() -> Message:
        return again.pop() if again else await receive()

    return repeat


def below(scope: Scope, depth: int, fixed: str | None = None) -> Scope:
    """A copy of ``scope`` as the ASGI specification has it, mounted below the first ``depth`` segments of the path,
    which are ``fixed`` where they have no parameters. Litestar takes ``root_path`` out of ``path``."""
    root: str = scope.get("root_path", "").rstrip("/")
    inner = dict(scope)
    if root or fixed is None:
        segments: list[str] = scope["path"].split("/")
        inner["path"], inner["root_path"] = root + scope["path"], root + "/".join(segments[: depth + 1])
    else:
        inner["root_path"] = fixed
    return inner
