"""Takes envelopes of this gateway's making out of a body that is otherwise passed on as it is.

A conversation can begin at an upstream of another dialect, whose proofs of thought the gateway put where a
``thoughtSignature`` stands, and go on at Google's, which refuses a signature that it did not make. On calls, which must
have one, its stand-in takes the place. Every other byte stays. Spec: Gemini API, "Thought signatures".
"""

import msgspec

from asgi_llm.dialects.spans import AmbiguousError, Edits, Member, Span, items, members

from .signatures import PREFIX, SENTINEL

__all__ = ["without_own_signatures"]

_MARK = PREFIX.encode()
_SPELLINGS = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_STAND_IN = msgspec.json.encode(SENTINEL)


def without_own_signatures(body: bytes) -> bytes:
    """``body`` without them. What is not as the API takes it is left to the upstream to judge."""
    if body.find(_MARK) < 0:  # `in` makes an exception for itself before it looks
        return body
    edits = Edits(body)
    try:
        contents = members(body)["contents"]
        for content in items(body, contents.value, contents.end):
            if _MARK in body[content.start : content.end]:
                parts = members(body, *content)["parts"]
                _edit(body, items(body, parts.value, parts.end), edits)
    except (AmbiguousError, KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    return edits.apply()


def _edit(body: bytes, parts: list[Span], edits: Edits) -> None:
    empty: list[int] = []
    for place, part in enumerate(parts):
        if _MARK not in body[part.start : part.end]:
            continue
        found = members(body, *part)
        ours = [name for name in found if name in _SPELLINGS and _is_own(body, found[name])]
        if any(name in found for name in _CALLS):
            for name in ours:
                edits.replace(found[name].value, found[name].end, _STAND_IN)
        elif ours and len(parts) > 1 and _says_nothing(body, found):
            empty.append(place)
        else:
            spans = [(member.start, member.end) for member in found.values()]
            edits.remove(spans, (at for at, name in enumerate(found) if name in ours))
    if len(empty) < len(parts):
        edits.remove(parts, empty)


def _is_own(body: bytes, member: Member) -> bool:
    return body[member.value : member.end].startswith(b'"' + _MARK)


def _says_nothing(body: bytes, found: dict[str, Member]) -> bool:
    """Whether the part was there for its signature alone."""
    others = [name for name in found if name not in _SPELLINGS]
    return others == ["text"] and body[found["text"].value : found["text"].end] == b'""'
