"""What a caller wants of the web search that a provider runs, from the definition of any dialect.

Chat Completions puts the user's place into ``approximate``, Responses the domains into ``filters``.
"""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_llm.neutral.request import HostedTool

__all__ = ["SearchWish", "search_wish"]


class _Place(Struct):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class _Location(_Place):
    approximate: _Place | None = None


class _Filters(Struct):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class _Definition(_Filters):
    filters: _Filters | None = None
    user_location: _Location | None = None
    search_context_size: str | None = None


class SearchWish(Struct, frozen=True):
    """``place``: those of city, country, region and timezone that are known. ``size``: low, medium or high."""

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    place: dict[str, Any] = {}
    size: str | None = None


_definition = msgspec.json.Decoder(_Definition)


def search_wish(tool: HostedTool) -> SearchWish:
    """No wish at all where the definition is no such thing: whether to search matters more than where."""
    try:
        said = _definition.decode(tool.raw) if tool.raw is not None else _Definition()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return SearchWish()
    filters = said.filters or said
    place = said.user_location and (said.user_location.approximate or said.user_location)
    names = ("city", "country", "region", "timezone")
    return SearchWish(
        tuple(filters.allowed_domains or ()),
        tuple(filters.blocked_domains or ()),
        {name: value for name in names if (value := getattr(place, name, None))},
        said.search_context_size,
    )
