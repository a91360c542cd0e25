"""Compressed request bodies are read; nothing grows beyond the limit, however small it came."""

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
from backports import zstd

from asgi_llm import ClientError, Gateway
from asgi_llm.asgi.compression import decompressed
from asgi_llm.testing import ASGIDriver

BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi " * 40_000}]}).encode()


def bare_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


ENCODERS: dict[str, tuple[str, Any]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare_deflate),
    "zstd": ("zstd", zstd.compress),
    "br": ("br", brotli.compress),
    "upper case": ("GZIP", gzip.compress),
    "two of them": ("gzip, zstd", lambda data: zstd.compress(gzip.compress(data))),
    "identity": ("identity", bytes),
    "uncompressible": ("gzip", lambda data: gzip.compress(data, compresslevel=0)),
}
every_encoding = pytest.mark.parametrize("name", ENCODERS)


@every_encoding
async def test_a_compressed_request_is_served(name: str) -> None:
    encoding, encode = ENCODERS[name]
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    async with gateway.running():
        headers = {"content-type": "application/json", "content-encoding": encoding}
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", headers, encode(BODY))
        assert (await exchange.start()).status == 200
        assert (await exchange.json())["choices"][0]["message"]["content"].startswith("hi hi")


@every_encoding
async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(name: str) -> None:
    encoding, encode = ENCODERS[name]
    packed = encode(BODY)
    assert await decompressed(packed, encoding.encode(), len(BODY)) == BODY
    if name != "identity":
        with pytest.raises(ClientError) as caught:
            await decompressed(packed, encoding.encode(), len(BODY) - 1)
        assert (caught.value.status, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("name", ["gzip", "deflate", "bare deflate", "zstd", "br"])
async def test_a_bomb_is_not_unpacked(name: str) -> None:
    encoding, encode = ENCODERS[name]
    bomb = encode(bytes(50_000_000))
    with pytest.raises(ClientError, match="larger than 1000 bytes"):
        await decompressed(bomb, encoding.encode(), 1000)


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd", "br"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"hello", lambda data: data[:-10]])
async def test_a_damaged_body_is_named(name: str, damage: Any) -> None:
    encoding, encode = ENCODERS[name]
    with pytest.raises(ClientError) as caught:
        await decompressed(damage(encode(BODY)), encoding.encode(), 10_000_000)
    assert (caught.value.code, caught.value.param) == ("invalid_content_encoding", "content-encoding")
