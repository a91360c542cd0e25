"""Headers as a test writes and reads them."""

from collections.abc import Iterable, Mapping

from asgi_llm.types import Headers

__all__ = ["Pairs", "encode", "joined", "merge"]

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]
"""What a test gives: names in any case, duplicates only as pairs."""


def merge(defaults: Mapping[str, str], headers: Pairs) -> list[tuple[str, str]]:
    """The defaults that ``headers`` does not name, then ``headers``; names in lower case, duplicates kept."""
    given = [(name.lower(), value) for name, value in (headers.items() if isinstance(headers, Mapping) else headers)]
    named = {name for name, _ in given}
    return [*((name, value) for name, value in defaults.items() if name not in named), *given]


def encode(headers: Pairs) -> Headers:
    """As on the wire."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in merge({}, headers)]


def joined(headers: Headers, name: str) -> str | None:
    """The value of a header, several joined by a comma, or None."""
    wanted = name.lower().encode("latin-1")
    values = [value.decode("latin-1") for key, value in headers if key == wanted]
    return ", ".join(values) if values else None
