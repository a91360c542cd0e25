"""Fetches the media that a request gives by URL and the upstream does not fetch itself, and puts it into the request.

Part of the third step, before a request is written for a leg. It exists only where the settings say from where media
may be fetched; elsewhere the leg's dialect refuses such media, or leaves it to the upstream.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator

from msgspec import structs

from asgi_llm.dialects.media import is_link, is_media_type
from asgi_llm.dialects.place import conversation_field
from asgi_llm.dialects.profile import adapted
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Exchange
from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    Document,
    Image,
    Inline,
    Media,
    Part,
    Request,
    ToolResult,
    Url,
    Video,
)
from asgi_llm.upstream.download import Download, Downloader

from .plan import Leg
from .prepare import decoded

__all__ = ["inline_media"]

_Found = dict[str, Download]
_AT_ONCE = 1024 * 1024
"""Bytes that are turned into base64 on the event loop, which takes about a millisecond."""


async def inline_media(downloader: Downloader, exchange: Exchange, leg: Leg) -> None:
    """Puts a request whose media is content, where the leg wants it so, in place of the caller's.

    Raises:
        ClientError: the caller's request is not what its dialect says, or media cannot be had; ``param`` names the
            field that it is in.
    """
    must_inline = leg.dialect.must_inline
    if must_inline is None or leg.mode == "verbatim" or not _may_link(exchange.body):
        return
    request = decoded(exchange)
    profile = adapted(leg.crew.target.profile, leg.model)
    wanted = {
        part.source.url: None
        for turn in request.turns
        for part in _linked(turn.parts)
        if isinstance(part.source, Url) and must_inline(part, profile)
    }
    if not wanted:
        return
    try:
        found = await downloader.fetch(exchange.identity.tenant, wanted)
        exchange.request = await _inlined(request, found, lambda part: must_inline(part, profile))
        exchange.fetched = True
    except ClientError as error:
        error.param = conversation_field(exchange.dialect.name)
        raise


def _may_link(body: bytes) -> bool:
    """Whether there can be a link in it; letters may be escaped."""
    return b"http" in body or b"HTTP" in body or b"\\u" in body


def _linked(parts: Iterable[Part]) -> Iterator[Media]:
    """Media that is given by a link, in results of tools and in documents of several parts, too."""
    for part in parts:
        match part:
            case Image(source=Url(url=url)) | Document(source=Url(url=url)) if is_link(url):
                yield part
            case Audio(source=Url(url=url)) | Video(source=Url(url=url)) if is_link(url):
                yield part
            case ToolResult(parts=inner) | Document(source=Blocks(parts=inner)):
                yield from _linked(inner)
            case _:
                pass


async def _inlined(request: Request, found: _Found, wanted: Callable[[Media], bool]) -> Request:
    """The request with what was found in place of the ``wanted`` links."""
    if sum(len(download.data) for download in found.values()) > _AT_ONCE:
        texts = await asyncio.to_thread(_texts, found)
    else:
        texts = _texts(found)

    def written(part: Part) -> Part:
        match part:
            case ToolResult():
                return structs.replace(part, parts=tuple(map(written, part.parts)))
            case Document(source=Blocks(parts=parts)):
                return structs.replace(part, source=Blocks(tuple(map(written, parts))))
            case Image() | Document() | Audio() | Video() if isinstance(part.source, Url):
                url = part.source.url
                if url in found and wanted(part):
                    return structs.replace(part, source=Inline(_media_type(part, found[url]), texts[url]))
        return part

    turns = tuple(
        structs.replace(turn, parts=tuple(map(written, turn.parts))) if any(_linked(turn.parts)) else turn
        for turn in request.turns
    )
    return structs.replace(request, turns=turns)


def _texts(found: _Found) -> dict[str, str]:
    return {url: b64encode(download.data).decode("ascii") for url, download in found.items()}


_GENERIC = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_FAMILIES: dict[type, tuple[str, ...]] = {
    Image: ("image/",),
    Audio: ("audio/",),
    Video: ("video/",),
    Document: ("application/", "text/", "image/"),
}
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


def _media_type(part: Media, download: Download) -> str:
    """What it is: as declared, else as the caller says, else as its first bytes show.

    Raises:
        ClientError: nothing that this part can hold.
    """
    kind = download.media_type
    if kind in _GENERIC:
        said = part.source.media_type if isinstance(part.source, Url) else None
        kind = _sniffed(download.data) or (said or "").lower()
    if kind in _GENERIC or not is_media_type(kind) or not kind.startswith(_FAMILIES[type(part)]):
        word = type(part).__name__.lower()
        raise ClientError(
            f"What was found where the {word} should be is of the media type {kind[:64] or 'unknown'}.",
            code="media_wrong_type",
        )
    return kind


def _sniffed(data: bytes) -> str | None:
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
