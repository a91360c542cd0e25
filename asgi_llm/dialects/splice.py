"""Surgical edits of JSON bytes: one member's value is replaced or one member put in, and every other byte stays.

Objects are never dumped again: key order, escapes, numbers and white space are the caller's, and prompt caches
(and signatures over the prefix) depend on them.
"""

import json
import re

import msgspec
from msgspec import Raw, Struct

__all__ = ["ask_for_usage", "member_span", "put_member", "replace_member", "set_model"]

_STRING = rb'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\],:]", re.DOTALL)
# A quote behind a backslash opens no key: it stands inside one, as in {"x\"model": ...}.
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*(' + _STRING + rb")", re.DOTALL)
_OPEN = re.compile(rb"\s*\{")


class _Model(Struct, gc=False):
    model: str


_model = msgspec.json.Decoder(_Model)
_raw_members = msgspec.json.Decoder(dict[str, Raw])


def set_model(body: bytes, model: str) -> bytes:
    """``body`` with the value of its top-level ``model`` replaced. It has exactly one (``peek`` made sure)."""
    value = msgspec.json.encode(model)
    match = _MODEL.search(body)
    if match is not None and _surely_top_level(body, match.start()):
        return _replaced(body, *match.span(1), value)
    if _model.decode(body).model == model:
        return body
    # SDKs that write the model behind the conversation leave it as one of the last candidates. Which one it is shows
    # in the result, at the price of reading it once: a candidate inside something else leaves the model as it was.
    for candidate in list(_MODEL.finditer(body))[:-4:-1]:
        edited = _replaced(body, *candidate.span(1), value)
        if _model.decode(edited).model == model:
            return edited
    return replace_member(body, "model", value)


def ask_for_usage(body: bytes, options: bytes) -> bytes:
    """``body`` of a streamed chat request, asking for usage. ``options`` is the raw value of its top-level
    ``stream_options``, empty when it has none."""
    if not options:
        at = body.index(b"{") + 1
        return b'%b"stream_options":{"include_usage":true},%b' % (body[:at], body[at:])
    members = _raw_members.decode(options) if options != b"null" else {}
    members["include_usage"] = Raw(b"true")
    return replace_member(body, "stream_options", msgspec.json.encode(members))


def replace_member(body: bytes, name: str, value: bytes) -> bytes:
    """``body`` (a JSON object) with the value of every top-level member ``name`` replaced.

    Raises:
        KeyError: there is no such member.
    """
    spans = member_span(body, name)
    if not spans:
        raise KeyError(name)
    for start, end in reversed(spans):
        body = _replaced(body, start, end, value)
    return body


def put_member(body: bytes, name: str, value: bytes) -> bytes:
    """``body`` (a JSON object) with its top-level member ``name`` being ``value``, whether it had one or not; what is
    no object stays as it is."""
    key = msgspec.json.encode(name)
    # Without a backslash a key is spelt in one way only, so that a look tells whether it can be there.
    if (key in body or b"\\u" in body) and member_span(body, name):
        return replace_member(body, name, value)
    opening = _OPEN.match(body)
    if opening is None:
        return body
    at = opening.end()
    rest = body[at:]
    comma = b"" if rest.lstrip()[:1] == b"}" else b","
    return b"%b%b:%b%b%b" % (body[:at], key, value, comma, rest)


def member_span(body: bytes, name: str) -> list[tuple[int, int]]:
    """Where the values of the top-level members called ``name`` stand, however the name is escaped.

    ``body`` must be a valid JSON object. Reads it token by token, so it is for bodies in which the quick ways found
    nothing certain.
    """
    opening = _OPEN.match(body)
    if opening is None:
        return []
    spans: list[tuple[int, int]] = []
    depth, key, start = 1, b"", -1
    for token in _TOKEN.finditer(body, opening.end()):
        mark = token.group()[:1]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]" or (mark == b"," and depth == 1):
            depth -= mark in b"}]"
            if start >= 0 and (depth == 0 or (depth == 1 and mark == b",")):
                spans += _trimmed(body, start, token.start()) if _spells(key, name) else []
                key, start = b"", -1
        elif depth == 1 and mark == b":":
            start = token.end()
        elif depth == 1 and start < 0:
            key = token.group()
        if depth == 0:
            break
    return spans


def _spells(key: bytes, name: str) -> bool:
    try:
        return bool(json.loads(key) == name)
    except ValueError:  # an upstream's answer may be no JSON after all
        return False


def _trimmed(body: bytes, start: int, end: int) -> list[tuple[int, int]]:
    text = body[start:end]
    return [(start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip()))]


def _surely_top_level(body: bytes, at: int) -> bool:
    # One opening brace and no bracket before the key, even counting those inside strings: nothing was nested.
    return body.count(b"{", 0, at) == 1 and body.find(b"[", 0, at) < 0


def _replaced(body: bytes, start: int, end: int, value: bytes) -> bytes:
    return b"%b%b%b" % (body[:start], value, body[end:])
