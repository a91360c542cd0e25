"""A head like the last one is taken without asking httptools, and means what httptools would say of it."""

from itertools import pairwise
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.server.head import remembered

HEAD = (
    b"POST /v1/chat?a=b HTTP/1.1\r\nHost: a\r\nX-Said: Content-Length: 5\r\n"
    b"Content-Length: %d\r\nauthorization: Bearer x\r\n\r\n"
)
GET = b"GET /health HTTP/1.1\r\nHost: a\r\naccept: */*\r\n\r\n"


def request(body: bytes) -> bytes:
    return HEAD % len(body) + body


class Deaf:
    """Stands where httptools stood, and must not be asked."""

    def feed_data(self, data: bytes) -> None:
        raise AssertionError(data)


async def told(kit: Any, pieces: list[bytes], *, deaf: bool = False, http: Any = None) -> tuple[Any, bytes]:
    """What comes of pieces that come one after the other, each when there is nothing left to do for those before it."""
    seen = kit.Seen()
    async with kit.wired(seen.watch(kit.echo), http or kit.protocol) as wire:
        for number, piece in enumerate(pieces):
            if deaf and number == 1:
                wire.protocol._reader._parser = Deaf()
            wire.bring(piece)
            await kit.settled()
        return seen, wire.written


async def same(kit: Any, pieces: list[bytes]) -> Any:
    ours = await told(kit, pieces)
    theirs = await told(kit, pieces, http=kit.theirs)
    requests, invalid = read(b"".join(pieces))
    assert invalid == (kit.invalid in theirs[1])
    if invalid:
        # uvicorn says so at once and forgets the good requests in front of it, which are answered here.
        found = [
            (scope["method"].encode(), scope["headers"], messages[0]["body"])
            for scope, messages in zip(ours[0].scopes, ours[0].messages, strict=True)
        ]
        assert found == requests
        assert ours[1].endswith(kit.invalid)
        assert ours[1].count(b"HTTP/1.1 200 OK") == len(requests)
    else:
        assert (ours[0].scopes, ours[0].messages) == (theirs[0].scopes, theirs[0].messages)
        assert ours[1] == theirs[1]
    return ours[0]


class Reader:
    """What httptools makes of bytes, without any server."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.requests: list[Any] = []
        self.last = False

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_headers_complete(self) -> None:
        httptools.parse_url(self.url).path.decode("ascii")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.last = not self.parser.should_keep_alive()
        self.requests.append((self.parser.get_method(), self.headers, self.body))


def read(stream: bytes) -> tuple[list[Any], bool]:
    """The whole requests in ``stream``, and whether something comes behind them that is none."""
    reader = Reader()
    try:
        reader.parser.feed_data(stream)
    except httptools.HttpParserError:
        return reader.requests, not reader.last  # what comes behind the last one is ignored
    return reader.requests, False


@pytest.mark.parametrize("size", [0, 1, 9, 10, 1234, 400_000])
async def test_the_same_head_with_another_length_is_not_parsed(kit: Any, size: int) -> None:
    pieces = [request(b"first"), request(b"x" * size), request(b"third")]
    seen, heard = await told(kit, pieces, deaf=True)
    assert [messages[0]["body"] for messages in seen.messages] == [b"first", b"x" * size, b"third"]
    lengths = [dict(scope["headers"])[b"content-length"] for scope in seen.scopes]
    assert lengths == [b"5", b"%d" % size, b"5"]
    assert heard.count(b"HTTP/1.1 200 OK") == 3
    await same(kit, pieces)


async def test_nor_is_one_without_a_length(kit: Any) -> None:
    seen, _ = await told(kit, [GET, GET, GET], deaf=True)
    assert len(seen.scopes) == 3
    await same(kit, [GET, GET, GET, request(b"x"), GET])


async def test_a_body_that_comes_in_pieces_is_counted(kit: Any) -> None:
    body = bytes(range(256)) * 1000
    whole = request(body)
    pieces = [request(b"first"), *(whole[at : at + 70_000] for at in range(0, len(whole), 70_000)), request(b"third")]
    seen, _ = await told(kit, pieces, deaf=True)
    assert [messages[0]["body"] for messages in seen.messages] == [b"first", body, b"third"]
    await same(kit, pieces)


async def test_what_comes_behind_the_body_is_parsed(kit: Any) -> None:
    """Whether all comes at once, or the end of the body with the beginning of the next."""
    two = request(b"second") + request(b"third")
    for cut in range(len(two) + 1):
        seen = await same(kit, [request(b"first"), two[:cut], two[cut:], request(b"last"), GET])
        assert [messages[0]["body"] for messages in seen.messages] == [b"first", b"second", b"third", b"last", b""]


DIGITS = (
    b"", b"0", b"00", b"007", b"+1", b"-1", b" 3", b"3 ", b"3\t", b"3,3", b"0x3", b"1_0", b"\xb2", b"3.0", b"3;a",
    b"0000000003", b"00000000003", b"99999999999", b"18446744073709551617", b"3\r\ncontent-length: 3",
    b"3\r\ntransfer-encoding: chunked", b"3\r", b"3\n", b"3\r\n",
)  # fmt: skip


@pytest.mark.parametrize("digits", DIGITS)
async def test_odd_numbers(kit: Any, digits: bytes) -> None:
    head, _, rest = HEAD.partition(b"%d")
    odd = head + digits + rest + b"abc"
    await same(kit, [request(b"first"), odd, request(b"third")])
    for cut in range(len(head) - 1, len(odd)):
        await same(kit, [request(b"first"), odd[:cut], odd[cut:] + request(b"third")])


async def test_every_byte_changed(kit: Any) -> None:
    good = request(b"abc")
    for at in range(len(good) - 3):
        for other in (b"", b"\r", b"\n", b" ", b":", b"0", b"\0", b"x" + good[at : at + 1]):
            changed = good[:at] + other + good[at + 1 :]
            await same(kit, [good, changed, good])


@given(
    st.lists(
        st.one_of(
            st.builds(request, st.binary(max_size=30)),
            st.just(GET),
            st.sampled_from([GET, request(b"ab")]).flatmap(
                lambda text: st.builds(
                    lambda at, new: text[:at] + new + text[at + 1 :],
                    st.integers(0, len(text)),
                    st.sampled_from([b"", b"1", b"A", b"\r\n", b" ", b"x: y\r\n"]),
                )
            ),
            st.just(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            st.just(b"\r\n"),
        ),
        max_size=6,
    ),
    st.lists(st.integers(0, 700), max_size=8),
)
async def test_streams_of_requests_cut_anywhere(kit: Any, requests: list[bytes], cuts: list[int]) -> None:
    stream = b"".join((GET, *requests, request(b"z"), request(b"y")))
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    await same(kit, [stream[one:two] for one, two in pairwise(edges)])
    await same(kit, [GET, *requests, request(b"z"), request(b"y")])


async def test_what_an_application_changes_in_its_scope_stays_with_it(kit: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(repr({**scope, "client": None}))
        for value in scope.values():
            if isinstance(value, dict | list):
                value.clear()
        scope.update(path="/elsewhere", query_string=b"", scheme="https", more={})
        del scope["raw_path"], scope["root_path"]
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with kit.wired(app) as wire:
        for _ in range(4):
            wire.bring(request(b"body"))
            await kit.settled()
    assert len(seen) == 4
    assert len(set(seen)) == 1


async def test_a_connection_whose_heads_differ_is_not_remembered_for_ever(kit: Any) -> None:
    async with kit.wired(kit.echo) as wire:
        for number in range(10):
            assert (wire.protocol._head is not None) == (0 < number <= 3)
            wire.bring(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number)
            await kit.settled()


SCOPE = {"method": "POST", "headers": [(b"host", b"a"), (b"content-length", b"12"), (b"x", b"content-length: 12")]}
CANONICAL = b"POST /x HTTP/1.1\r\nHOST: a\r\nContent-Length: 12\r\nX: content-length: 12\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (CANONICAL[:-1], []),
        (CANONICAL + b"x", []),
        (b"\r\n" + CANONICAL, []),
        (CANONICAL.replace(b"Length: 12", b"Length:12"), []),
        (CANONICAL.replace(b"Length: 12", b"Length: 12 "), []),
        (CANONICAL.replace(b"\r\n", b"\n"), []),
        (CANONICAL.replace(b"1.1", b"1.0"), []),
        (CANONICAL[:-2] + b"transfer-encoding: chunked\r\n\r\n", [(b"transfer-encoding", b"chunked")]),
        (CANONICAL[:-2] + b"expect: 100-continue\r\n\r\n", [(b"expect", b"100-continue")]),
        (CANONICAL[:-2] + b"upgrade: h2c\r\n\r\n", [(b"upgrade", b"h2c")]),
        (CANONICAL[:-2] + b"content-length: 12\r\n\r\n", [(b"content-length", b"12")]),
        (CANONICAL[:-2] + b"x: %b\r\n\r\n" % (b"y" * 9000), [(b"x", b"y" * 9000)]),
    ],
)
def test_heads_that_are_not_remembered(head: bytes, more: list[tuple[bytes, bytes]]) -> None:
    scope = {**SCOPE, "headers": [*SCOPE["headers"], *more]}
    assert remembered(CANONICAL, b"/x", SCOPE) is not None
    assert remembered(head, b"/x", scope) is None
