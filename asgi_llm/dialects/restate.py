"""A caller's body that says something else: only the members that say it are written anew, all others stay as they are.

What a dialect has no neutral word for, and what only some servers take, is so not lost when something else is changed.
"""

from typing import Any

import msgspec
from msgspec import Raw, structs

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import Request

from .interface import Dialect
from .profile import Profile
from .spans import AmbiguousError, Edits, members

__all__ = ["SPELLINGS", "restate", "spoken"]

_PROFILES: dict[str, Profile] = {
    name: Profile(provider=provider, engine_sampling=True, cache_marks=True, max_stop=None)
    for name, provider in {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}.items()
}
"""Servers that take all there is: what the real one cannot take is seen to when the request is made for it."""
_SAME = {
    "max_completion_tokens": ("max_tokens",),
    "safety_identifier": ("user",),
    "systemInstruction": ("system_instruction",),
    "generationConfig": ("generation_config",),
    "toolConfig": ("tool_config",),
    "tools": ("functions",),
    "tool_choice": ("function_call",),
}
"""Members that are another spelling of one."""
SPELLINGS = {other: name for name, others in _SAME.items() for other in others}
_members = msgspec.json.Decoder(dict[str, Raw])


def restate(dialect: Dialect, body: bytes, before: Request, after: Request) -> bytes:
    """``body``, which says ``before``, made to say ``after``, but for the model.

    Raises:
        ClientError: the dialect cannot say it, or the body names a member twice.
    """
    old = spoken(dialect, before)
    new = spoken(dialect, structs.replace(after, model=before.model))
    values = {name: raw for name, raw in new.items() if name not in old or bytes(old[name]) != bytes(raw)}
    gone = {name for name in old if name not in new}
    for name in (*values, *gone):
        gone = gone.union(_SAME.get(name, ()))
    return _edited(body, values, gone - values.keys())


def spoken(dialect: Dialect, request: Request) -> dict[str, Raw]:
    """The members of the body that says ``request`` to a server that takes all there is.

    Raises:
        ClientError: the dialect cannot say it.
    """
    return _members.decode(dialect.encode_request(request, _PROFILES[dialect.name]).body)


def _edited(body: bytes, values: dict[str, Raw], gone: set[str]) -> bytes:
    try:
        found = members(body)
    except AmbiguousError:
        raise ClientError("a member occurs more than once in the body", code="invalid_json") from None
    edits = Edits(body)
    places: list[Any] = [(place.start, place.end) for place in found.values()]
    edits.remove(places, [at for at, name in enumerate(found) if name in gone])
    fresh = []
    for name, raw in values.items():
        if (place := found.get(name)) is not None:
            edits.replace(place.value, place.end, bytes(raw))
        else:
            fresh.append(b"%b:%b" % (msgspec.json.encode(name), bytes(raw)))
    body = edits.apply()
    if not fresh:
        return body
    start = body.index(b"{") + 1
    comma = b"" if body[start:].lstrip()[:1] == b"}" else b","
    return b"%b%b%b%b" % (body[:start], b",".join(fresh), comma, body[start:])
