"""TLS and mTLS against a real handshake, with certificates made here."""

import pytest

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.upstream.tls import client_context

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def server_context(authority, tmp_path):
    def make(host="127.0.0.1", clients=None):
        context = authority.serving(tmp_path, host, clients)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return make


async def answer_all(peer):
    while True:
        await peer.request()
        await peer.say(OK)


def https(server):
    return f"https://127.0.0.1:{server.port}/v1"


async def test_a_trusted_upstream_is_talked_to_and_its_connection_reused(
    backend, serve, ask, whole, leakless, authority, server_context
):
    seen = []

    async def script(peer):
        seen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answer_all(peer)

    async with leakless(), serve(script, ssl=server_context()) as server:
        async with backend.client(https(server), tls=client_context(ca=authority.pem)) as client:
            for _ in range(5):
                assert await whole(await client.send(ask(b"x" * 200_000))) == b"ok"
        assert set(seen) == {"http/1.1"}
        # httpcore may take a session ticket that comes late for the end of an idle connection.
        assert len(seen) == 1 or backend.name == "httpx"


async def test_a_large_answer_survives_tls(backend, serve, ask, whole, authority, server_context):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 5_000_000)
        await peer.gone()

    async with (
        serve(script, ssl=server_context()) as server,
        backend.client(https(server), tls=client_context(ca=authority.pem)) as client,
    ):
        assert len(await whole(await client.send(ask()))) == 5_000_000


@pytest.mark.parametrize("why", ["unknown authority", "another host", "no TLS at all"])
async def test_a_failed_handshake_is_a_tls_failure(backend, serve, ask, leakless, authority, server_context, why):
    host = "elsewhere.example" if why == "another host" else "127.0.0.1"
    trusted = authority.another().pem if why == "unknown authority" else authority.pem
    options = {} if why == "no TLS at all" else {"ssl": server_context(host)}

    async def script(peer):
        if why == "no TLS at all":
            await peer.say(b"HTTP/1.1 400 This is not TLS\r\n\r\n")
        await peer.gone()

    async with (
        leakless(),
        serve(script, **options) as server,
        backend.client(https(server), tls=client_context(ca=trusted)) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask())
        assert (caught.value.cause, caught.value.kind) == (Cause.TLS, Kind.BAD_GATEWAY)
        assert client.in_use == 0


async def test_without_options_the_system_decides_whom_to_trust(backend, serve, ask, authority, server_context):
    async with (
        serve(answer_all, ssl=server_context()) as server,
        backend.client(https(server)) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask())
        assert caught.value.cause is Cause.TLS


async def test_verification_can_be_switched_off(backend, serve, ask, whole, server_context):
    async with (
        serve(answer_all, ssl=server_context("elsewhere.example")) as server,
        backend.client(https(server), tls=client_context(verify=False)) as client,
    ):
        assert await whole(await client.send(ask())) == b"ok"


async def test_a_client_certificate_is_shown(backend, serve, ask, whole, authority, server_context, tmp_path):
    cert, key = authority.issue("client.example")
    shown = []

    async def script(peer):
        shown.append(peer.writer.get_extra_info("peercert")["subject"][0][0][1])
        await answer_all(peer)

    (tmp_path / "cert.pem").write_text(cert)
    (tmp_path / "key.pem").write_text(key)
    contexts = [
        client_context(ca=authority.pem, cert=cert, key=key),
        client_context(ca=authority.pem, cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem")),
        client_context(ca=authority.pem, cert=cert + key),
    ]
    async with serve(script, ssl=server_context(clients=authority.pem)) as server:
        for context in contexts:
            async with backend.client(https(server), tls=context) as client:
                assert await whole(await client.send(ask())) == b"ok"
        assert shown == ["client.example"] * 3


async def test_a_missing_client_certificate_is_a_failure(backend, serve, ask, leakless, authority, server_context):
    async with (
        leakless(),
        serve(answer_all, ssl=server_context(clients=authority.pem)) as server,
        backend.client(https(server), tls=client_context(ca=authority.pem)) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask())
        # With TLS 1.3 the server's refusal comes after the client's handshake is over.
        assert caught.value.cause in (Cause.TLS, Cause.RESET)
        assert client.in_use == 0


def test_certificates_that_cannot_work_are_named(authority, tmp_path):
    cert, key = authority.issue("client.example")
    other = authority.issue("other.example")[1]
    locked = authority.issue("client.example", password=b"secret")[1]
    wrong = [
        ({"ca": str(tmp_path / "missing.pem")}, "tls.ca"),
        ({"ca": key}, "tls.ca"),
        ({"cert": str(tmp_path / "missing.pem"), "key": key}, "tls.cert"),
        ({"cert": cert, "key": other}, "tls.key"),
        ({"cert": cert, "key": locked}, "tls.key"),
        ({"cert": cert}, "tls.cert"),
        ({"key": key}, "tls.key"),
        ({"cert": "-----BEGIN nonsense", "key": key}, "tls.cert"),
    ]
    for options, named in wrong:
        with pytest.raises(ValueError, match=named):
            client_context(**options)
