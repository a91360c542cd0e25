"""Where in a project the gateway's URLs are included."""

from collections.abc import Iterator

from django.urls import URLResolver, get_resolver

from .views import llm

__all__ = ["prefixes"]


def prefixes() -> Iterator[str]:
    """Each with its slashes, as the URLconf spells it: ``/llm/``, ``/<slug:team>/llm/``."""
    return _below(get_resolver(), "/")


def _below(resolver: URLResolver, above: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _below(pattern, above + str(pattern.pattern))
        elif pattern.callback is llm:
            yield above
