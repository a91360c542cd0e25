"""Citations: ``annotations`` of a chat message <-> neutral. Both count code points, but chat counts them over the
whole content and neutral within the part."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.request import Citation

from .wire import given

__all__ = ["annotation", "read_annotations"]


class _UrlCitation(Struct):
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(Struct):
    url_citation: _UrlCitation | None = None


_raws = msgspec.json.Decoder(list[Raw])
_annotation = msgspec.json.Decoder(_Annotation)


def read_annotations(raw: Raw, offset: int = 0) -> list[Citation]:
    """The url citations, their offsets made relative to a part that starts at ``offset``."""
    if given(raw) is None:
        return []
    citations = []
    try:
        for entry in _raws.decode(raw):
            cited = _annotation.decode(entry).url_citation
            if cited is not None:
                citations.append(_citation(cited, entry, offset))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return citations
    return citations


def _citation(cited: _UrlCitation, entry: Raw, offset: int) -> Citation:
    start, end = cited.start_index, cited.end_index
    if start is None or end is None or not offset <= start <= end:
        start = end = None
    else:
        start, end = start - offset, end - offset
    return Citation("chat", cited.url, cited.title, start=start, end=end, raw=Raw(bytes(entry)))


def annotation(citation: Citation, offset: int, length: int) -> dict[str, Any] | None:
    """The annotation for a citation of a part of ``length`` code points that starts at ``offset`` of the content; None
    where it names no address, which is all that chat can cite."""
    if citation.url is None:
        return None
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    cited = {
        "start_index": offset + start,
        "end_index": offset + end,
        "title": citation.title or citation.url,
        "url": citation.url,
    }
    return {"type": "url_citation", "url_citation": cited}
