"""Media is fetched from where the settings say, from nowhere else, and no further than they say."""

import asyncio
import socket
from typing import Any

import pytest

from asgi_llm.errors import ClientError
from asgi_llm.settings import MediaSettings
from asgi_llm.testing import Answer, ScriptedUpstream, Stall
from asgi_llm.testing.recorded import Recorded
from asgi_llm.upstream.download import Downloader
from asgi_llm.upstream.guard import Guard

LOCAL = {"hosts": ["127.0.0.1:*", "media.test:*"], "schemes": ["http"], "addresses": ["127.0.0.1/32"]}
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::",
    "::1",
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip


def downloader(clock: Any = None, **more: Any) -> Downloader:
    settings = MediaSettings.model_validate({**LOCAL, **more})
    return Downloader(settings, clock or asyncio.get_running_loop().time)


def file(data: bytes = b"data", kind: str = "image/png", status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer.http([data], status=status, headers={"content-type": kind, **named})


async def refusal(fetching: Downloader, *urls: str) -> str:
    with pytest.raises(ClientError) as caught:
        await fetching.fetch("t", urls)
    assert "secret" not in caught.value.message
    assert caught.value.status == 400
    return caught.value.code


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_gone_to(address: str) -> None:
    assert Guard().permits(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_all_others_may_not(address: str) -> None:
    assert not Guard().permits(address)


def test_those_that_are_listed_may() -> None:
    guard = Guard(MediaSettings(addresses=("10.1.0.0/16", "fd00::/8")).addresses)  # type: ignore[arg-type]  # as in a file
    assert [guard.permits(one) for one in ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "fd12::1", "fc00::1")] == [
        True, True, False, True, False,
    ]  # fmt: skip


async def test_a_file_is_fetched_and_nothing_of_the_caller_is_sent() -> None:
    async with ScriptedUpstream([file(b"\x89PNG", "Image/PNG; x=y")]) as site:
        url = f"{site.url}/a b/ü.png?sig=secret#part"
        found = await downloader().fetch("t", [url])
        (asked,) = site.requests
    assert (found[url].media_type, found[url].data) == ("image/png", b"\x89PNG")
    assert (asked.method, asked.path, asked.query) == ("GET", "/a%20b/%C3%BC.png", "sig=secret")
    assert {name for name, _ in asked.headers} == {b"host", b"accept", b"accept-encoding", b"user-agent"}


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.test/a",
        "https://127.0.0.1:1/a",
        "ftp://127.0.0.1:1/a",
        "http://127.0.0.1/a",
        "http://127.0.0.1.evil.test:1/a",
    ],
)
async def test_places_that_are_not_listed_are_refused(url: str) -> None:
    assert await refusal(downloader(), url) == "media_not_allowed"


@pytest.mark.parametrize(
    "url", ["http://u:secret@127.0.0.1:1/a", "http://[::1/a", "http://127.0.0.1:99999/a", "http:///a"]
)
async def test_what_is_no_sound_url_is_refused(url: str) -> None:
    assert await refusal(downloader(), url) == "media_unavailable"


async def test_a_listed_name_that_leads_to_a_private_address_is_refused() -> None:
    async with ScriptedUpstream() as site:
        fetching = downloader(addresses=[])
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
            url = f"http://{host}:{site.port}/a?secret"
            assert await refusal(downloader(addresses=[], hosts=["*"]), url) == "media_not_allowed", host
        assert await refusal(fetching, f"{site.url}/a?secret") == "media_not_allowed"
        assert not site.accepted


async def test_a_name_is_looked_up_once_and_every_address_of_it_must_be_permitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What answers otherwise the second time is not asked again; one bad address among good ones is enough."""
    asked: list[str] = []
    answers: list[list[str]] = [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]]

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        found = [host]
        if host[0].isalpha():  # an event loop may ask for the family of an address that is one already
            asked.append(host)
            found = answers[len(asked) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with ScriptedUpstream([file()]) as site:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        url = f"http://media.test:{site.port}/a"
        assert (await downloader().fetch("t", [url]))[url].data == b"data"
        assert asked == ["media.test"]
        assert site.requests[0].header("host") == f"media.test:{site.port}"
        assert await refusal(downloader(), url) == "media_not_allowed"
        assert site.accepted == 1


async def test_redirects_are_followed_as_far_as_each_is_allowed() -> None:
    def go(request: Recorded) -> Answer:
        to = {"/a": "/b?x=1", "/b": "b2", "/away": "http://elsewhere.test/secret", "/in": "http://10.0.0.1/"}
        ends = {"/b2": file(b"end"), "/loop": file(status=302, location="/loop")}
        return ends.get(request.path) or file(status=302, location=to[request.path])

    async with ScriptedUpstream(go) as site:
        url = f"{site.url}/a"
        assert (await downloader().fetch("t", [url]))[url].data == b"end"
        assert await refusal(downloader(), f"{site.url}/away") == "media_not_allowed"
        assert await refusal(downloader(hosts=["*"]), f"{site.url}/in") == "media_not_allowed"
        assert await refusal(downloader(), f"{site.url}/loop") == "media_unavailable"
        assert await refusal(downloader(redirects=1), url) == "media_unavailable"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (file(status=404), "media_unavailable"),
        (file(status=304), "media_unavailable"),
        (file(status=302), "media_unavailable"),
        (file(content_encoding="gzip"), "media_unavailable"),
        (file(b"x" * 101), "media_too_large"),
        (Answer.http([b"x" * 60, b"x" * 60], framing="chunked"), "media_too_large"),
        (Answer.http([b"x" * 60, b"x" * 60, Stall()], framing="close"), "media_too_large"),
        (Answer.http([b"x" * 60], truncated=True), "media_unavailable"),
        (Answer.raw([b"no http at all\r\n\r\n"]), "media_unavailable"),
        (Answer.http([b"x", Stall()], framing="close"), "media_unavailable"),
    ],
)
async def test_what_cannot_be_had_is_told(answer: Answer, code: str) -> None:
    async with ScriptedUpstream([answer]) as site:
        assert await refusal(downloader(max_bytes=100, timeout=0.5), f"{site.url}/a?secret") == code


async def test_a_request_is_bounded_in_number_and_in_sum() -> None:
    async with ScriptedUpstream(lambda _request: file(b"x" * 60)) as site:
        urls = [f"{site.url}/{number}" for number in range(3)]
        assert await refusal(downloader(max_items=2), *urls) == "media_too_many"
        assert not site.requests
        assert await refusal(downloader(total_bytes=150), *urls) == "media_too_large"
        assert len(await downloader(total_bytes=180).fetch("t", urls)) == 3


async def test_no_more_than_so_many_are_fetched_at_once() -> None:
    running = most = 0
    two = asyncio.Event()

    async def slowly(_request: Recorded) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            two.set()
        await asyncio.wait_for(two.wait(), 10)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return file()

    async with ScriptedUpstream(slowly) as site:
        await downloader(concurrency=2).fetch("t", [f"{site.url}/{number}" for number in range(9)])
    assert most == 2


async def test_what_was_fetched_is_kept_for_a_while_and_for_its_tenant() -> None:
    now = 0.0
    async with ScriptedUpstream(lambda request: file(request.path.encode() * 10)) as site:
        fetching = downloader(lambda: now, cache_seconds=60, cache_bytes=50)
        first, second, third = (f"{site.url}/{number}" for number in range(3))

        async def asked(tenant: str, url: str) -> int:
            before = len(site.requests)
            await fetching.fetch(tenant, [url])
            return len(site.requests) - before

        assert [await asked("t", first), await asked("t", first), await asked("other", first)] == [1, 0, 1]
        assert [await asked("t", second), await asked("t", third)] == [1, 1], "twenty bytes each, fifty in all"
        assert [await asked("t", third), await asked("t", first)] == [0, 1], "the longest unused one went"
        now = 61
        assert await asked("t", third) == 1
