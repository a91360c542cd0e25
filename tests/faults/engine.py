"""A worker as a process of its own: speaks Chat Completions on a free port of the loopback interface, and misbehaves
when it is told to. Run by ``test_fleet_faults.py``; every word that it says carries its name.

    python engine.py NAME [CHAIN]      prints its port; with a file of certificate and key it speaks TLS

``POST /mode`` with a mode as the body changes what it does with the requests that follow.
"""

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Awaitable, Callable

WORDS = 5
NAME = sys.argv[1]

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TLS = b"\x16"
"""What a TLS handshake begins with."""
Writer = asyncio.StreamWriter
release = asyncio.Event()
mode = "well"
turn = 0


def event(choice: dict[str, object]) -> bytes:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: " + json.dumps(frame).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def word(number: int) -> bytes:
    return event({"index": 0, "delta": {"role": "assistant", "content": f"{NAME}{number} "}, "finish_reason": None})


END = event({"index": 0, "delta": {}, "finish_reason": "stop"}) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def plain(status: int, body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d Said" % status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


def error(status: int, *headers: bytes) -> bytes:
    body = json.dumps({"error": {"message": "no", "type": "server_error", "code": None, "param": None}}).encode()
    return plain(status, body, b"content-type: application/json", *headers)


async def well(writer: Writer) -> None:
    writer.write(STREAM + b"".join(map(word, range(WORDS))) + END)


async def late(writer: Writer) -> None:
    """Says nothing before it is released."""
    await release.wait()
    await well(writer)


async def halfway(writer: Writer) -> None:
    """Says its first words at once, the others when it is released."""
    writer.write(STREAM + word(0) + word(1))
    await writer.drain()
    await release.wait()
    writer.write(b"".join(map(word, range(2, WORDS))) + END)


async def reset(writer: Writer) -> None:
    writer.write(STREAM + word(0) + word(1))
    await writer.drain()
    writer.transport.abort()


async def truncated(writer: Writer) -> None:
    writer.write(STREAM + word(0) + word(1) + b"ff\r\ndata: half a chu")
    await writer.drain()
    writer.close()


async def unfinished(writer: Writer) -> None:
    """Ends in good order, but without the event that ends a stream."""
    writer.write(STREAM + word(0) + b"0\r\n\r\n")


async def loris(writer: Writer) -> None:
    for byte in STREAM * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def page(writer: Writer) -> None:
    writer.write(plain(200, b"<html>welcome</html>", b"content-type: text/html"))


async def flapping(writer: Writer) -> None:
    global turn
    turn += 1
    await well(writer) if turn % 2 else writer.write(error(500))


async def in_band(writer: Writer) -> None:
    data = b'data: {"error": {"message": "out of memory", "type": "server_error", "code": 500}}\n\n'
    writer.write(STREAM + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))


def says(answer: bytes) -> Callable[[Writer], Awaitable[None]]:
    async def answer_so(writer: Writer) -> None:
        writer.write(answer)

    return answer_so


MODES: dict[str, Callable[[Writer], Awaitable[None]]] = {
    "well": well, "late": late, "halfway": halfway, "reset": reset, "truncated": truncated, "unfinished": unfinished,
    "loris": loris, "page": page, "flapping": flapping, "in_band": in_band,
    "429": says(error(429, b"retry-after: 1")), "529": says(error(529, b"retry-after: 1")), "500": says(error(500)),
    "503": says(error(503)), "empty": says(STREAM + b"0\r\n\r\n"), "hang_up": says(b""),
}  # fmt: skip


async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
    global mode
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while not writer.is_closing():
            first = await reader.readexactly(1)
            if first == TLS:
                writer.write(plain(400, b"plain HTTP is spoken here"))
                break
            head = first + await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            if head.startswith(b"POST /mode"):
                mode = body.decode()
                release.set() if mode == "release" else release.clear()
                writer.write(plain(200, b"{}"))
            else:
                await MODES[mode](writer)
                if mode == "hang_up":
                    break
            await writer.drain()
    writer.close()


async def main() -> None:
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
