"""The endpoints of the dashboard. Its page is the same for everybody and holds no figures; those take a role."""

from typing import Any

from asgi_llm.dashboard.page import file
from asgi_llm.dashboard.state import state
from asgi_llm.endpoints import Endpoint
from asgi_llm.runtime import Runtime

from .caller import ASGICaller
from .metrics import check_roles

__all__ = ["answer_dashboard"]


async def answer_dashboard(runtime: Runtime, caller: ASGICaller, endpoint: Endpoint) -> tuple[int, Any] | None:
    """Status and JSON of the figures; the page's files it answers by itself.

    Raises:
        PolicyError: the caller may not see the figures.
    """
    if endpoint.name == "dashboard_data":
        settings = runtime.blueprint.settings.dashboard
        if not settings.anonymous:
            await check_roles(runtime, caller, settings.roles)
        return 200, await state(runtime, days=b"days=1" in caller.scope["query_string"])
    slash = caller.scope["path"].endswith("/")
    headers, body = file(endpoint.path.removeprefix("/dashboard"), slash=slash)
    await caller.answer(200, headers, b"" if caller.scope["method"] == "HEAD" else body)
    return None
