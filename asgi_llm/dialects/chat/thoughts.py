"""Thoughts and their proofs in chat messages: ``reasoning_content``, ``reasoning_details``, ``extra_content``.

The API itself has no place for them. Readable text goes where compatible servers put it. What only its maker can
read goes into ``reasoning_details`` (OpenRouter, "Reasoning tokens"), one entry for each carrier. Entries of ours are
told apart by their ``format``, which starts with ``asgi-llm/`` and then says the carrier's kind; ``start`` and ``end``
are code point offsets of the thought into the message's readable reasoning, so that several come back apart.
Entries of anybody else are kept whole, as ``openrouter.detail``.
"""

from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.request import Carrier, Reasoning

from .wire import given

__all__ = ["OURS", "Detail", "call_carriers", "detail", "detail_text", "extra_content", "read_details", "read_thoughts"]

OURS = "asgi-llm/"
_KINDS: frozenset[str] = frozenset(get_args(get_type_hints(Carrier)["kind"]))


class Detail(Struct, omit_defaults=True):
    """An entry of ``reasoning_details``. ``index`` must be an integer for the official client's accumulator."""

    type: str = ""
    index: int | None = None
    format: str | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    start: int | None = None
    end: int | None = None
    provider: str | None = None
    model: str | None = None


_details = msgspec.json.Decoder(list[Raw])
_detail = msgspec.json.Decoder(Detail)


class _Google(Struct):
    thought_signature: str | None = None


class _ExtraContent(Struct):
    google: _Google | None = None


_extra = msgspec.json.Decoder(_ExtraContent)


def call_carriers(extra: Raw) -> tuple[Carrier, ...]:
    """The signature on a tool call, as Gemini's chat endpoint writes it (``extra_content.google``)."""
    if not extra or given(extra) is None:
        return ()
    try:
        google = _extra.decode(extra).google
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    if google is None or not google.thought_signature:
        return ()
    return (Carrier("google.thought_signature", google.thought_signature, provider="google"),)


def extra_content(carriers: tuple[Carrier, ...]) -> dict[str, Any] | None:
    """The ``extra_content`` of a tool call, or None."""
    for carrier in carriers:
        if carrier.kind == "google.thought_signature":
            return {"google": {"thought_signature": carrier.data}}
    return None


def detail(carrier: Carrier, index: int, start: int, end: int) -> Detail | Raw:
    """The entry that carries ``carrier``, which proves the readable reasoning from ``start`` to ``end``."""
    if carrier.kind == "openrouter.detail":
        return _indexed(carrier.data, index)
    signed = carrier.kind == "anthropic.signature"
    return Detail(
        type="reasoning.text" if signed else "reasoning.encrypted",
        index=index,
        format=OURS + carrier.kind,
        signature=carrier.data if signed else None,
        data=None if signed else carrier.data,
        id=carrier.item_id,
        start=start,
        end=end,
        provider=carrier.provider,
        model=carrier.model,
    )


def _indexed(data: str, index: int) -> Raw:
    try:
        entry = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        entry = {"type": "reasoning.encrypted", "data": data}
    if isinstance(entry, dict) and isinstance(entry.get("index"), int):
        return Raw(data.encode())
    return Raw(msgspec.json.encode({**entry, "index": index} if isinstance(entry, dict) else {"index": index}))


def read_details(raw: Raw) -> list[tuple[Detail, Raw]]:
    """The entries with their bytes; what is no list of objects is no details."""
    if given(raw) is None:
        return []
    try:
        return [(_detail.decode(entry), entry) for entry in _details.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def detail_text(entries: list[tuple[Detail, Raw]]) -> str:
    """What can be read in the entries."""
    return "".join(entry.text or entry.summary or "" for entry, _ in entries)


def carrier_of(entry: Detail, raw: Raw) -> Carrier | None:
    """The carrier in an entry, or None where the entry is only text."""
    blob = entry.signature or entry.data
    if not blob:
        return None
    kind = (entry.format or "").removeprefix(OURS)
    if entry.format and entry.format.startswith(OURS) and kind in _KINDS:
        made = {"kind": kind, "data": blob, "provider": entry.provider, "model": entry.model, "item_id": entry.id}
        return msgspec.convert(made, Carrier)
    return Carrier("openrouter.detail", bytes(raw).decode())


def read_thoughts(readable: str, raw: Raw) -> list[Reasoning]:
    """The thoughts of an assistant message, apart where our own entries tell them apart."""
    if not raw:
        return [Reasoning(readable)] if readable else []
    entries = read_details(raw)
    readable = readable or detail_text(entries)
    carried = [(entry, carrier) for entry, source in entries if (carrier := carrier_of(entry, source)) is not None]
    if any(entry.start is None or entry.end is None for entry, _ in carried) or not carried:
        carriers = tuple(carrier for _, carrier in carried)
        return [Reasoning(readable, carriers=carriers)] if readable or carriers else []
    return _apart(readable, carried)


def _apart(readable: str, carried: list[tuple[Detail, Carrier]]) -> list[Reasoning]:
    thoughts: list[Reasoning] = []
    done = 0
    for entry, carrier in carried:
        start, end = max(entry.start or 0, done), entry.end or 0
        if start > done and readable[done:start]:
            thoughts.append(Reasoning(readable[done:start]))
        text = readable[start:end]
        done = max(start, min(end, len(readable)))
        thoughts.append(_thought(text, carrier))
    if readable[done:]:
        thoughts.append(Reasoning(readable[done:]))
    return thoughts


def _thought(text: str, carrier: Carrier) -> Reasoning:
    if carrier.kind == "openai.encrypted":
        return Reasoning(summary=(text,) if text else (), carriers=(carrier,), id=carrier.item_id)
    return Reasoning(text, carriers=(carrier,), redacted=carrier.kind == "anthropic.redacted")
