"""Request bodies that come compressed (RFC 9110, section 8.4). Coding agents send them so.

gzip and deflate are in the standard library; zstd is from Python 3.14 on and otherwise in the ``zstd`` extra, br in
``brotli``. However small a body is sent, no more than the limit on bodies is ever made of it.
"""

import asyncio
import importlib
import zlib
from collections.abc import Callable
from typing import Any

from asgi_llm.errors import ClientError, Kind

__all__ = ["decompressed"]

_INLINE = 32 * 1024
"""Compressed bytes up to which decompressing is quicker than asking a thread to do it."""

Decoder = Callable[[bytes, int], bytes]
"""Compressed bytes and a limit -> at most one byte more than the limit. Raises ValueError when they are no such
thing, or end too early."""


async def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """``body`` without its content encodings, which are undone from the last to the first.

    Raises:
        ClientError: an encoding that is not known here, a body that is not so encoded, or larger than ``limit``.
    """
    names = [name.strip().lower() for name in encoding.decode("latin-1").split(",")]
    for name in reversed([name for name in names if name not in ("", "identity")]):
        decode = _decoder(name)
        try:
            if len(body) <= _INLINE:
                body = decode(body, limit)
            else:
                body = await asyncio.to_thread(decode, body, limit)
        except ValueError as error:
            raise ClientError(
                f"the body is not {name}: {error}", code="invalid_content_encoding", param="content-encoding"
            ) from None
        if len(body) > limit:
            raise ClientError(f"the body is larger than {limit} bytes", code="request_too_large", kind=Kind.TOO_LARGE)
    return body


def _decoder(name: str) -> Decoder:
    match name:
        case "gzip" | "x-gzip":
            return _gzip
        case "deflate":
            return _deflate
        case "zstd" if (module := _first("compression.zstd", "backports.zstd")) is not None:
            return _zstd(module)
        case "br" if (module := _first("brotli")) is not None:
            return _brotli(module)
    raise ClientError(
        f'the content encoding "{name[:40]}" is not supported here; send the body as it is',
        code="unsupported_content_encoding",
        param="content-encoding",
        kind=Kind.UNSUPPORTED_MEDIA_TYPE,
    )


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, 16 + zlib.MAX_WBITS)


def _deflate(body: bytes, limit: int) -> bytes:
    # "deflate" means the zlib format; some clients send the bare one, without its header.
    try:
        return _inflate(body, limit, zlib.MAX_WBITS)
    except ValueError:
        return _inflate(body, limit, -zlib.MAX_WBITS)


def _inflate(body: bytes, limit: int, window: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(data) <= limit and not inflater.eof:
        raise ValueError("it ends too early")
    return data


def _zstd(module: Any) -> Decoder:
    def decode(body: bytes, limit: int) -> bytes:
        decompressor = module.ZstdDecompressor()
        try:
            data: bytes = decompressor.decompress(body, limit + 1)
        except module.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(data) <= limit and not decompressor.eof:
            raise ValueError("it ends too early")
        return data

    return decode


def _brotli(module: Any) -> Decoder:
    def decode(body: bytes, limit: int) -> bytes:
        decompressor = module.Decompressor()
        try:
            data: bytes = decompressor.process(body, output_buffer_limit=limit + 1)
        except module.error as error:
            raise ValueError(str(error)) from None
        if len(data) <= limit and not decompressor.is_finished():
            raise ValueError("it ends too early")
        return data

    return decode


def _first(*names: str) -> Any:
    """The first of these modules that is installed."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
