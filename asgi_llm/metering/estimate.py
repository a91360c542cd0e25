"""How many tokens a request has, roughly, where no tokenizer of its model can be asked.

A rule, not a tokenizer: every character has a price in hundredths of a token, by what it is.

    letters of ASCII                              22    five to a token, with the space before a word
    white space                                   10
    digits                                        40
    punctuation of ASCII                          60    which makes code dearer than prose
    Latin letters with accents, Latin signs       100   they part a word's tokens
    Greek 75, Cyrillic 50, Armenian 110, Hebrew 85, Arabic 70
    Thai and the scripts of India                 100
    Georgian, Khmer, the accents of Vietnamese    130
    typographic signs, Chinese, Japanese, Korean  100
    four-byte characters (emoji, rare Han)        200
    in runs of base64, 80 characters and more     70    each

An image costs ``IMAGE``. Other media cost by their decoded size (``BYTES_PER_TOKEN``), and ``UNSEEN`` where only the
upstream can fetch them. Turns, tools and calls cost a little for what the model's template puts around them.

Held against two published vocabularies of 65 and 100 thousand tokens, on texts of thousands of words (what comes out,
for each token there is): English prose and code 0.8 to 1.1, JSON 0.9 to 1.3, Chinese, Japanese and Korean 0.7 to 0.95,
Russian 0.8 to 1.0, German, French and Spanish 0.7 to 0.8, other languages of Latin letters 0.6 to 0.8, Greek, Hebrew,
Arabic, Hindi and Thai 0.6 to 0.9, other scripts from 0.5. Newer vocabularies are larger and need fewer tokens outside
English, so that the figures are too low rather by a fifth than by half there.

No price is negative and a run of base64 costs more than its characters would, so a conversation never gets cheaper by
growing. The same request has the same estimate always and everywhere.
"""

import re
from collections.abc import Iterable
from typing import assert_never

from msgspec import Raw

from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    Compaction,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    HostedTool,
    Image,
    Inline,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    Request,
    ServerCall,
    ServerResult,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    TypedTool,
    Url,
    Video,
)

__all__ = ["BYTES_PER_TOKEN", "IMAGE", "UNSEEN", "estimate", "estimate_text"]

IMAGE = 1600
"""Tokens of an image: what a large one costs where images are dear."""
UNSEEN = 2000
"""Tokens of a document, recording or film that is not in the request."""
BYTES_PER_TOKEN = {"text": 4, "document": 30, "recording": 500}
"""Decoded bytes for each token of media in the request."""

_ENVELOPE, _TURN, _TOOL, _CALL, _RESULT = 3, 4, 12, 8, 6
"""Tokens around the whole, and around each of these."""
_SEALED = 8
"""Characters for each token of thought that only its maker can read."""

_UNIT = 100
_BASE64 = 70
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{80,}={0,2}")
_SLICE = 65536
"""Bytes that are looked at in one go: a long one would keep every other thread waiting."""


_TWO_BYTES = ((0xCD, 100), (0xCF, 75), (0xD3, 50), (0xD5, 110), (0xD7, 85), (0xDF, 70))
"""The last first byte of a script's characters -> their price."""


def _price(byte: int) -> int:
    """Hundredths of a token of a character that begins with ``byte`` in UTF-8."""
    character = chr(byte)
    if byte < 0x80:
        return 22 if character.isalpha() else 40 if character.isdigit() else 60 if 0x20 < byte < 0x7F else 10
    if byte < 0xC0:
        return 0  # goes on with a character
    if byte >= 0xE0:
        return 130 if byte == 0xE1 else 100 if byte < 0xF0 else 200
    return next(price for last, price in _TWO_BYTES if byte <= last)


_PRICES = bytes(_price(byte) for byte in range(256))


def estimate(request: Request) -> int:
    """Tokens of everything that a model is told."""
    hundredths = _UNIT * _ENVELOPE
    for said in request.instructions:
        hundredths += _UNIT * _TURN + _parts(said.parts)
    for turn in request.turns:
        hundredths += _turn(turn)
    for tool in request.tools:
        hundredths += _UNIT * _TOOL + _tool(tool)
    if request.output is not None:
        hundredths += _raw(request.output.schema)
    return -(-hundredths // _UNIT)


def estimate_text(text: str) -> int:
    """Tokens of a text."""
    return -(-_text(text) // _UNIT)


def _turn(turn: Turn) -> int:
    return _UNIT * _TURN + _text(turn.name) + _parts(turn.parts)


def _parts(parts: Iterable[Part]) -> int:
    return sum(map(_part, parts))


def _part(part: Part) -> int:
    match part:
        case Text() | Refusal():
            return _text(part.text)
        case Image():
            return _UNIT * IMAGE
        case Document():
            return _text(part.title) + _text(part.context) + _source(part.source, "document")
        case Audio() | Video():
            return _source(part.source, "recording")
        case Reasoning():
            return _reasoning(part)
        case ToolCall():
            return _UNIT * _CALL + _text(part.name) + _text(part.arguments)
        case ToolResult():
            return _UNIT * _RESULT + _parts(part.parts)
        case ServerCall() | ServerResult() | Opaque():
            return _provided(part)
        case Compaction():
            sealed = 0 if part.carrier is None else _sealed(part.carrier.data)
            return _text(part.text) + sealed
    assert_never(part)


def _reasoning(part: Reasoning) -> int:
    if part.redacted:
        return sum(_sealed(carrier.data) for carrier in part.carriers)
    return _text(part.text) + sum(map(_text, part.summary))


def _provided(part: ServerCall | ServerResult | Opaque) -> int:
    """Of a tool that the provider runs, or of what nobody here knows: as it was written, where it was."""
    if isinstance(part, Opaque) or part.raw is not None:
        return _raw(part.raw)
    return _text(part.arguments if isinstance(part, ServerCall) else part.text)


def _source(source: Source, kind: str) -> int:
    match source:
        case Inline():
            kind = "text" if source.media_type.startswith("text/") else kind
            return _UNIT * (len(source.data) * 3 // 4) // BYTES_PER_TOKEN[kind]
        case PlainText():
            return _text(source.text)
        case Blocks():
            return _parts(source.parts)
        case Url() | FileId():
            return _UNIT * UNSEEN
    assert_never(source)


def _tool(tool: Tool) -> int:
    match tool:
        case FunctionTool():
            return _text(tool.name) + _text(tool.description) + _raw(tool.schema) + _raw(tool.examples)
        case CustomTool():
            return _text(tool.name) + _text(tool.description) + _text(tool.grammar)
        case HostedTool() | TypedTool():
            return _raw(tool.raw)
    assert_never(tool)


def _sealed(data: str) -> int:
    return _UNIT * len(data) // _SEALED


def _raw(raw: Raw | None) -> int:
    return 0 if raw is None else _bytes(bytes(raw))


def _text(text: str | None) -> int:
    return _bytes(text.encode("utf-8", "surrogatepass")) if text else 0


def _bytes(data: bytes) -> int:
    if len(data) <= _SLICE:
        return _slice(data)
    return sum(_slice(data[start : start + _SLICE]) for start in range(0, len(data), _SLICE))


def _slice(data: bytes) -> int:
    hundredths = sum(data.translate(_PRICES))
    for run in _RUN.finditer(data):
        hundredths += _BASE64 * len(run.group()) - sum(run.group().translate(_PRICES))
    return hundredths
