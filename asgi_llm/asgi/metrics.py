"""The endpoint that Prometheus reads: its text, for operators and for whoever has the key for it."""

import asyncio
import hmac
from typing import Any

from asgi_llm.errors import Kind, PolicyError
from asgi_llm.pipeline.admit import identify
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers

from .caller import ASGICaller
from .gauges import families

__all__ = ["answer_metrics", "check_roles"]


async def answer_metrics(runtime: Runtime, caller: ASGICaller) -> tuple[int, Any] | None:
    """Answers by itself.

    Raises:
        PolicyError: the caller may not read them.
    """
    settings = runtime.blueprint.settings.telemetry
    if settings.key is None or not _shows(caller, settings.key.get_secret_value()):
        await check_roles(runtime, caller, settings.roles)
    telemetry = runtime.telemetry
    assert telemetry is not None  # noqa: S101  # the endpoint would not be there
    assert telemetry.expose is not None  # noqa: S101
    found = [*telemetry.meters.families(), *families([runtime])]
    accept = caller.fields.get(b"accept", b"").decode("latin-1")
    body, content_type = await asyncio.to_thread(telemetry.expose, found, accept)
    headers: Headers = [
        (b"content-type", content_type.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await caller.answer(200, headers, b"" if caller.scope["method"] == "HEAD" else body)
    return None


async def check_roles(runtime: Runtime, caller: ASGICaller, roles: tuple[str, ...]) -> None:
    """
    Raises:
        PolicyError: the caller is not known, or has none of ``roles``.
        StoreError: issued keys cannot be looked up now.
    """
    identity = await identify(runtime, caller)
    if identity.source == "anonymous" or set(roles).isdisjoint(identity.roles):
        raise PolicyError("this takes a role that you do not have", kind=Kind.PERMISSION, code="role_required")


def _shows(caller: ASGICaller, key: str) -> bool:
    scheme, _, shown = caller.fields.get(b"authorization", b"").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), key.encode("utf-8"))
