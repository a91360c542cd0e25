"""Citations: ``groundingMetadata`` and ``citationMetadata`` <-> neutral.

The API counts UTF-8 bytes of one part's text, the neutral model code points.
Spec: Gemini API, "GroundingMetadata", "CitationMetadata".
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.searched import Searched
from asgi_llm.neutral.request import Citation

from .raws import NULL

__all__ = ["Cited", "Sources", "read_sources", "write_grounding"]


class _Web(Struct):
    uri: str | None = None
    title: str | None = None


class _Chunk(Struct, rename="camel"):
    web: _Web | None = None
    maps: _Web | None = None
    retrieved_context: _Web | None = None


class _Segment(Struct, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    part_index: int | None = None


class _Support(Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(Struct, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


class _Source(Struct, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None


class _CitationMetadata(Struct, rename="camel"):
    citation_sources: list[_Source] | None = None
    citations: list[_Source] | None = None


_GROUNDING = msgspec.json.Decoder(_Grounding, strict=False)
_CITATIONS = msgspec.json.Decoder(_CitationMetadata, strict=False)


class Cited(Struct, frozen=True):
    """A stretch of a part's text, in bytes, and where it comes from."""

    part: int
    start: int | None
    end: int | None
    url: str | None
    title: str | None

    def citation(self, text: str) -> Citation:
        """The citation within ``text``, the whole text of its part."""
        start = end = None
        if self.end is not None:
            data = text.encode("utf-8", "surrogatepass")
            start, end = _points(data, self.start or 0), _points(data, self.end)
        return Citation("gemini", self.url, self.title, start=start, end=end)


def _points(data: bytes, offset: int) -> int:
    return len(data[: max(offset, 0)].decode("utf-8", "ignore"))


Sources = tuple[Cited, ...]


def read_sources(grounding: Raw, citations: Raw) -> Sources:
    """All that is cited, in order. What cannot be read is left out: it is no part of the answer itself."""
    found: list[Cited] = []
    try:
        if grounding != NULL:
            found += _grounded(_GROUNDING.decode(grounding))
        if citations != NULL:
            wire = _CITATIONS.decode(citations)
            found += [
                Cited(0, source.start_index, source.end_index, source.uri, source.title)
                for source in wire.citation_sources or wire.citations or ()
            ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return tuple(found)
    return tuple(found)


def _grounded(wire: _Grounding) -> Iterable[Cited]:
    chunks = wire.grounding_chunks or []
    for support in wire.grounding_supports or ():
        segment = support.segment or _Segment()
        for index in support.grounding_chunk_indices or ():
            if 0 <= index < len(chunks):
                web = chunks[index].web or chunks[index].maps or chunks[index].retrieved_context or _Web()
                # Its text is the answer's, not the source's.
                yield Cited(segment.part_index or 0, segment.start_index, segment.end_index, web.uri, web.title)


def write_grounding(
    cited: Iterable[tuple[int, int, str, Citation]], searches: Iterable[Searched] = ()
) -> dict[str, Any] | None:
    """``groundingMetadata`` for citations, each with its part's number, the byte offset at which the part's text
    begins there, and that text, and for what was searched for; None where nothing was and none names a source."""
    chunks: dict[tuple[str, str], int] = {}
    supports: list[dict[str, Any]] = []
    for part, base, text, citation in cited:
        if citation.url is None:
            continue
        source = (citation.url, citation.title or citation.url)
        number = chunks.setdefault(source, len(chunks))
        start = citation.start or 0
        end = len(text) if citation.end is None else max(citation.end, start)
        before, within = _bytes(text[:start]), text[start:end]
        segment: dict[str, Any] = {"partIndex": part} if part else {}
        segment |= {"startIndex": base + before, "endIndex": base + before + _bytes(within), "text": within}
        supports.append({"segment": segment, "groundingChunkIndices": [number]})
    queries = dict.fromkeys(query for search in searches for query in search.queries)
    cited_urls = {url for url, _ in chunks}
    for page in (page for search in searches for page in search.pages):
        if page.url not in cited_urls:
            chunks.setdefault((page.url, page.title or page.url), len(chunks))
    grounding: dict[str, Any] = {"webSearchQueries": list(queries)} if queries else {}
    if chunks:
        grounding["groundingChunks"] = [{"web": {"uri": uri, "title": title}} for uri, title in chunks]
    if supports:
        grounding["groundingSupports"] = supports
    return grounding or None


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
