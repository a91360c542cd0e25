"""The fields in which a body names a user, and what is done about them: in the caller's bytes, nothing else changes.

Sources: OpenAI, ``user``, ``safety_identifier``, ``metadata``; Anthropic, ``metadata.user_id``. Gemini has none.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import DialectName

from .spans import AmbiguousError, Edits, Member, members

__all__ = ["named_users", "overwrite_users", "remove_users"]


class _Body(Struct, gc=False):
    user: Raw = Raw()
    safety_identifier: Raw = Raw()
    metadata: Raw = Raw()


_body = msgspec.json.Decoder(_Body)
_TOP = {"chat": ("user", "safety_identifier"), "responses": ("user", "safety_identifier"), "messages": (), "gemini": ()}
_IN_METADATA = ("user_id",)


def named_users(dialect: DialectName, body: bytes) -> list[tuple[str, object]]:
    """The fields that name a user, each with its path and its value.

    Raises:
        ClientError: a name occurs twice, so that servers may see different users.
    """
    return [(path, msgspec.json.decode(body[at.value : at.end])) for path, at in _places(dialect, body)]


def overwrite_users(dialect: DialectName, body: bytes, name: str) -> bytes:
    """``body`` with ``name`` in each of the fields that are there."""
    edits, value = Edits(body), msgspec.json.encode(name)
    for _, at in _places(dialect, body):
        edits.replace(at.value, at.end, value)
    return edits.apply()


def remove_users(dialect: DialectName, body: bytes) -> bytes:
    """``body`` without these fields."""
    found = {path for path, _ in _places(dialect, body)}
    if not found:
        return body
    edits, outside = Edits(body), members(body)
    _cut(edits, outside, found)
    if "metadata" in outside:
        place = outside["metadata"]
        if body[place.value : place.value + 1] == b"{":
            inside = members(body, place.value, place.end)
            _cut(edits, inside, {path.removeprefix("metadata.") for path in found if path.startswith("metadata.")})
    return edits.apply()


def _cut(edits: Edits, found: dict[str, Member], unwanted: set[str]) -> None:
    positions = [position for position, name in enumerate(found) if name in unwanted]
    edits.remove([(place.start, place.end) for place in found.values()], positions)


def _places(dialect: DialectName, body: bytes) -> Iterator[tuple[str, Member]]:
    if dialect == "gemini":
        return
    try:
        look = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # nobody will take it
    if not (look.user or look.safety_identifier or look.metadata):
        return
    try:
        outside = members(body)
        for name in _TOP[dialect]:
            if name in outside:
                yield name, outside[name]
        place = outside.get("metadata")
        if place is not None and body[place.value : place.value + 1] == b"{":
            inside = members(body, place.value, place.end)
            for name in _IN_METADATA:
                if name in inside:
                    yield f"metadata.{name}", inside[name]
    except AmbiguousError:
        raise ClientError("a name occurs more than once in the body", code="invalid_request") from None
