"""Endpoints without turns: completions, embeddings, reranking, and SGLang's native generation."""

import msgspec
from msgspec import Raw, Struct

from .pieces import Pieces, RoutingText
from .reading import read, reader

__all__ = ["completions", "embeddings", "generate", "plain_text", "rerank"]


class Completions(Struct):
    prompt: Raw = Raw()
    suffix: Raw = Raw()


class Embeddings(Struct):
    input: Raw = Raw()


class Rerank(Struct):
    query: Raw = Raw()
    documents: Raw = Raw()


class Generate(Struct):
    text: Raw = Raw()
    input_ids: Raw = Raw()


class Document(Struct):
    text: str | None = None


_completions = reader(Completions)
_embeddings = reader(Embeddings)
_rerank = reader(Rerank)
_generate = reader(Generate)
_texts = msgspec.json.Decoder(str | list[str | Document])


def completions(body: bytes) -> RoutingText:
    request = read(_completions, body)
    return _join(request.prompt, request.suffix)


def embeddings(body: bytes) -> RoutingText:
    return _join(read(_embeddings, body).input)


def rerank(body: bytes) -> RoutingText:
    request = read(_rerank, body)
    return _join(request.query, request.documents)


def generate(body: bytes) -> RoutingText:
    request = read(_generate, body)
    return _join(request.text, request.input_ids)


def plain_text(raw: Raw) -> str:
    """A text, the texts of a list, or token ids as they were written: without the closing bracket, so that a list
    which grows at its end begins like the shorter one."""
    if not raw:
        return ""
    try:
        found = _texts.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        start = bytes(memoryview(raw)[:64])
        return str(raw, "utf-8").rstrip("] ") if _are_tokens(start) else ""
    if isinstance(found, str):
        return found
    return "\n".join((item if isinstance(item, str) else item.text or "") for item in found)


def _are_tokens(start: bytes) -> bool:
    return start.startswith(b"[") and start.lstrip(b"[ \t\r\n")[:1].isdigit()


def _join(*raws: Raw) -> RoutingText:
    found = Pieces()
    for raw in raws:
        found.add(plain_text(raw))
    return found.join()
