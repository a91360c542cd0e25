"""Which backend is chosen, and options that cannot work."""

import sys

import httpx
import httpx2
import pytest

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.upstream.address import parse_base_url
from asgi_llm.upstream.choose import open_client
from asgi_llm.upstream.http1 import Http1Client
from asgi_llm.upstream.httpx import HttpxClient
from asgi_llm.upstream.interface import ClientOptions, Timeouts

URL = "http://upstream.example/v1"


def test_our_own_http1_unless_something_else_is_asked_for():
    assert isinstance(open_client(ClientOptions(base_url=URL)), Http1Client)
    assert isinstance(open_client(ClientOptions(base_url=URL, http2=True)), HttpxClient)
    assert isinstance(open_client(ClientOptions(base_url=URL, proxy="http://proxy:3128")), HttpxClient)
    assert isinstance(open_client(ClientOptions(base_url=URL), httpx.MockTransport(print)), HttpxClient)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_given_transport_is_used(library, ask, whole):
    def handle(request):
        assert str(request.url) == URL + "/chat?a=b"
        assert request.headers["host"] == "upstream.example"
        return library.Response(207, headers=[("X-A", "1"), ("x-a", "2")], content=request.content[::-1])

    client = open_client(ClientOptions(base_url=URL), library.MockTransport(handle))
    answer = await client.send(ask(b"abc", b"/chat?a=b"))
    assert answer.status == 207
    assert [value for name, value in answer.headers if name == b"x-a"] == [b"1", b"2"]
    assert await whole(answer) == b"cba"
    await client.aclose()


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("ConnectError", Cause.CONNECT),
        ("ConnectTimeout", Cause.CONNECT_TIMEOUT),
        ("ProxyError", Cause.CONNECT),
        ("PoolTimeout", Cause.POOL_TIMEOUT),
        ("ReadTimeout", Cause.FIRST_BYTE_TIMEOUT),
        ("ReadError", Cause.RESET),
        ("WriteError", Cause.RESET),
        ("RemoteProtocolError", Cause.PROTOCOL),
    ],
)
async def test_what_a_transport_raises_gets_its_cause(library, ask, error, cause):
    def handle(request):
        raise getattr(library, error)("secret address 10.0.0.1")

    client = open_client(ClientOptions(base_url=URL), library.MockTransport(handle))
    with pytest.raises(UpstreamError) as caught:
        await client.send(ask())
    assert caught.value.cause is cause
    assert "10.0.0.1" not in str(caught.value)
    await client.aclose()


async def test_a_given_transport_that_hangs_is_timed_out(ask):
    import asyncio

    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await asyncio.Event().wait()

    client = open_client(ClientOptions(base_url=URL, timeouts=Timeouts(connect=0.05, first_byte=0.05)), Hanging())
    with pytest.raises(UpstreamError) as caught:
        await client.send(ask())
    assert caught.value.cause is Cause.FIRST_BYTE_TIMEOUT
    await client.aclose()


async def test_a_proxy_is_used(serve, ask, whole):
    async def proxy(peer):
        request = await peer.request()
        assert request.startswith(b"POST http://upstream.example/v1/chat HTTP/1.1\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with serve(proxy) as server:
        client = open_client(ClientOptions(base_url=URL, proxy=f"http://127.0.0.1:{server.port}"))
        assert await whole(await client.send(ask())) == b"ok"
        await client.aclose()


async def test_the_environments_proxy_is_not_used(backend, serve, ask, whole, monkeypatch):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok")

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert answer.status == 302  # not followed
        assert await whole(answer) == b"ok"  # not decoded


@pytest.mark.parametrize(
    "url",
    [
        "",
        "upstream.example/v1",
        "ftp://upstream.example",
        "http://",
        "http://user:pass@upstream.example",
        "http://upstream.example/v1?key=x",
        "http://upstream.example/v1?",
        "http://upstream.example/v1#x",
        "http://upstream.example/a b",
        "http://upstream.example:99999",
        "http://upstream.example:x",
        "http://upstream.example\r\nx: y/",
        "http://up stream.example/",
        "http://[::1",
    ],
)
def test_a_base_url_that_cannot_work_is_refused(backend, url):
    with pytest.raises(ValueError):
        backend.open(url)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://Upstream.example", b"upstream.example", b""),
        ("http://upstream.example:80/v1/", b"upstream.example", b"/v1"),
        ("https://upstream.example:443", b"upstream.example", b""),
        ("https://upstream.example:80", b"upstream.example:80", b""),
        ("http://[::1]:8000/a%20b", b"[::1]:8000", b"/a%20b"),
        ("http://[::1]", b"[::1]", b""),
        ("http://bücher.example", b"xn--bcher-kva.example", b""),
    ],
)
def test_the_host_header_names_the_port_unless_it_is_the_schemes_own(url, authority, path):
    address = parse_base_url(url)
    assert (address.authority, address.path) == (authority, path)


@pytest.mark.parametrize(
    "options", [{"proxy": "ftp://proxy"}, {"proxy": "nonsense"}, {"max_connections": 0}, {"max_connections": -1}]
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ValueError):
        open_client(ClientOptions(base_url=URL, **options))


async def test_an_ipv6_address_is_dialled(backend, serve, ask, whole):
    async def script(peer):
        assert b"host: [::1]:%d\r\n" % server.port in (await peer.request()).lower()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await peer.gone()

    async with serve(script, "::1") as server, backend.client(f"http://[::1]:{server.port}") as client:
        assert await whole(await client.send(ask())) == b"ok"


async def test_a_name_is_dialled_at_the_address_that_answers(backend, serve, ask, whole):
    """localhost may stand for ::1 and 127.0.0.1; only the latter listens."""

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await peer.gone()

    async with serve(script) as server, backend.client(f"http://localhost:{server.port}") as client:
        assert await whole(await client.send(ask())) == b"ok"


def test_httpx_is_not_imported_for_the_hot_path():
    import subprocess

    code = "import sys, asgi_llm.upstream.choose; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
