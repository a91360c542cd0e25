"""What a web search that a provider ran was asked and found, from the call as any dialect tells it.

Messages names one ``query``; an ``action`` of Responses several, and the ``sources``, where it was asked for them.
"""

import msgspec
from msgspec import Struct

from asgi_llm.neutral.ran import Page
from asgi_llm.neutral.request import ServerCall

__all__ = ["Searched", "searched"]


class Searched(Struct, frozen=True):
    """``pages`` is empty where nobody said what was found; there is always a query."""

    queries: tuple[str, ...]
    pages: tuple[Page, ...] = ()
    failed: bool = False


class _Source(Struct):
    url: str | None = None
    title: str | None = None


class _Action(Struct):
    """Responses also calls it a search when a page is opened or looked through; those ask nothing."""

    type: str = "search"
    query: str | None = None
    queries: list[str] | None = None
    sources: list[_Source] | None = None


_action = msgspec.json.Decoder(_Action)


def searched(call: ServerCall, arguments: str) -> Searched | None:
    """None where the call is no search, or none that can be read. ``arguments`` are the call's, which a stream may
    tell after it."""
    if call.kind != "web_search":
        return None
    try:
        action = _action.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    queries = tuple(action.queries or ()) or ((action.query,) if action.query else ())
    if action.type != "search" or not queries:
        return None
    pages = (Page(source.url, source.title or "") for source in action.sources or () if source.url)
    return Searched(queries, tuple(dict.fromkeys(pages)), call.status == "failed")
