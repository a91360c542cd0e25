"""How much output a request lets itself be answered, in whichever field its dialect says so; and lowering that.

Only the number is exchanged in the caller's bytes, or put in where there is none.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from asgi_llm.neutral.request import DialectName

from .splice import member_span

__all__ = ["clamp", "read_cap"]


class _Chat(Struct, gc=False):
    max_completion_tokens: Any = None
    max_tokens: Any = None
    n: Any = None


class _Messages(Struct, gc=False):
    max_tokens: Any = None


class _Responses(Struct, gc=False):
    max_output_tokens: Any = None


class _Config(Struct, gc=False):
    camel: Any = field(name="maxOutputTokens", default=None)
    snake: Any = field(name="max_output_tokens", default=None)
    candidates: Any = field(name="candidateCount", default=None)
    candidates_snake: Any = field(name="candidate_count", default=None)


class _Gemini(Struct, gc=False):
    camel: _Config | None = field(name="generationConfig", default=None)
    snake: _Config | None = field(name="generation_config", default=None)


_DECODERS: "dict[str, msgspec.json.Decoder[Any]]" = {
    "chat": msgspec.json.Decoder(_Chat),
    "messages": msgspec.json.Decoder(_Messages),
    "responses": msgspec.json.Decoder(_Responses),
    "gemini": msgspec.json.Decoder(_Gemini),
}
_NAMES = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "gemini": ("maxOutputTokens", "max_output_tokens"),
}
_CONFIGS = ("generationConfig", "generation_config")
_CANDIDATES = 4
"""Places that look like the field and are tried before the body is read token by token."""


def read_cap(dialect: DialectName, body: bytes, absent: int | None = None) -> int | None:
    """The most tokens of output that ``body`` allows, of all its choices together. Where it does not say, or says
    something that is no number, ``absent`` counts for each choice; None where that is not given either."""
    found = _decode(dialect, body)
    if found is None:
        return absent
    caps, choices = _said(found)
    if not caps:
        return None if absent is None else absent * choices
    return max(caps) * choices


def clamp(dialect: DialectName, body: bytes, most: int, absent: str) -> bytes:
    """``body`` with at most ``most`` tokens of output for each choice. ``absent`` is the field that is put in where the
    body does not limit itself. A body that cannot be read is left to those who say what is wrong with it."""
    found = _decode(dialect, body)
    if found is None:
        return body
    caps, _ = _said(found)
    if not caps:
        return _put_in(dialect, body, most, absent)
    if max(caps) <= most:
        return body
    for name in _NAMES[dialect]:
        body = _lower(dialect, body, name, most)
    return body


def _decode(dialect: DialectName, body: bytes) -> Any:
    try:
        return _DECODERS[dialect].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _said(found: Any) -> tuple[list[int], int]:
    """Every limit that is given, and how many choices are asked for."""
    match found:
        case _Chat():
            values, choices = [found.max_completion_tokens, found.max_tokens], [found.n]
        case _Gemini():
            configs = [config for config in (found.camel, found.snake) if config is not None]
            values = [value for config in configs for value in (config.camel, config.snake)]
            choices = [value for config in configs for value in (config.candidates, config.candidates_snake)]
        case _Messages():
            values, choices = [found.max_tokens], []
        case _:
            values, choices = [found.max_output_tokens], []
    asked = [int(value) for value in choices if _is_number(value) and value < 1000]
    # None at all is asked of nobody: whoever takes it means one.
    return [int(value) for value in values if _is_number(value)], max([1, *asked])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def _put_in(dialect: DialectName, body: bytes, most: int, absent: str) -> bytes:
    """At the front, where it costs nothing. What stands there as null, or as no number, is overridden by it in no
    parser, so it is replaced."""
    if dialect == "gemini":
        for config in _CONFIGS:
            for start, end in reversed(member_span(body, config)) if config.encode() in body else ():
                inner = body[start:end]
                told = (
                    _put_member(inner, _NAMES["gemini"], absent, most)
                    if inner[:1] == b"{"
                    else b'{"%b":%d}'
                    % (
                        absent.encode(),
                        most,
                    )
                )
                return body[:start] + told + body[end:]
        return _front(body, b'"generationConfig":{"%b":%d}' % (absent.encode(), most))
    return _put_member(body, _NAMES[dialect], absent, most)


def _put_member(body: bytes, names: tuple[str, ...], absent: str, most: int) -> bytes:
    for name in names:
        spans = member_span(body, name) if b'"%b"' % name.encode() in body else []
        if spans:
            for start, end in reversed(spans):
                body = body[:start] + b"%d" % most + body[end:]
            return body
    return _front(body, b'"%b":%d' % (absent.encode(), most))


def _front(body: bytes, member: bytes) -> bytes:
    at = body.index(b"{") + 1
    rest = body[at:]
    return body[:at] + member + (b"" if rest.lstrip()[:1] == b"}" else b",") + rest


def _lower(dialect: DialectName, body: bytes, name: str, most: int) -> bytes:
    """``body`` with ``name``, where it is above ``most``, lowered to it. Which of the places that look like it is it
    shows in the result, at the price of reading it once."""
    read = _reader(dialect, name)
    value = read(body)
    if value is None or value <= most:
        return body
    pattern = re.compile(rb'"%b"\s*:\s*([0-9.eE+-]+)' % name.encode())
    for match in list(pattern.finditer(body))[: -_CANDIDATES - 1 : -1]:
        edited = body[: match.start(1)] + b"%d" % most + body[match.end(1) :]
        if read(edited) == most:
            return edited
    return _lower_slowly(dialect, body, name, most)


def _lower_slowly(dialect: DialectName, body: bytes, name: str, most: int) -> bytes:
    if dialect != "gemini":
        for start, end in reversed(member_span(body, name)):
            body = body[:start] + b"%d" % most + body[end:]
        return body
    for config in _CONFIGS:
        for start, end in reversed(member_span(body, config)):
            inner = body[start:end]
            for from_, to in reversed(member_span(inner, name)):
                inner = inner[:from_] + b"%d" % most + inner[to:]
            body = body[:start] + inner + body[end:]
    return body


def _reader(dialect: DialectName, name: str) -> Callable[[bytes], int | None]:
    def read(body: bytes) -> int | None:
        found = _decode(dialect, body)
        if isinstance(found, _Gemini):
            place = "camel" if name == "maxOutputTokens" else "snake"
            values = [getattr(config, place) for config in (found.camel, found.snake) if config is not None]
        else:
            values = [getattr(found, name, None)]
        return max((int(value) for value in values if _is_number(value)), default=None)

    return read
