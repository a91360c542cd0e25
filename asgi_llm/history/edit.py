"""Edits of JSON bytes: members of an object are set, put in or taken out, and every other byte stays."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from asgi_llm.dialects.spans import AmbiguousError, Edits, members
from asgi_llm.errors import ClientError

__all__ = ["edit_event", "edited", "listed"]

_LINE_ENDS = (b"\r\n", b"\r")


def edited(body: bytes, values: Mapping[str, bytes], without: Iterable[str] = ()) -> bytes:
    """The object ``body`` with the members ``values``, as encoded JSON, and none of ``without``.

    Raises:
        ClientError: a member occurs twice.
    """
    try:
        found = members(body)
    except AmbiguousError:
        raise ClientError("a member occurs more than once in the body", code="invalid_json") from None
    gone = {name for name in without if name in found} - values.keys()
    edits = Edits(body)
    places = [(place.start, place.end) for place in found.values()]
    edits.remove(places, [at for at, name in enumerate(found) if name in gone])
    fresh = []
    for name, value in values.items():
        if (place := found.get(name)) is not None:
            edits.replace(place.value, place.end, value)
        else:
            fresh.append(b"%b:%b" % (msgspec.json.encode(name), value))
    body = edits.apply()
    if not fresh:
        return body
    start = body.index(b"{") + 1
    comma = b"," if len(found) > len(gone) else b""
    return b"%b%b%b%b" % (body[:start], b",".join(fresh), comma, body[start:])


def listed(items: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(items)


def edit_event(frame: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """A whole server-sent event with its data edited; its other lines stay."""
    text = frame
    for end in _LINE_ENDS:
        text = text.replace(end, b"\n")
    data, others = [], []
    for line in text.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line:
            others.append(line)
    said = edit(b"\n".join(data)).replace(b"\n", b" ")
    return b"".join(line + b"\n" for line in others) + b"data: " + said + b"\n\n"
