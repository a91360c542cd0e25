"""Measures a gateway from outside, as its callers see it. The only module of the room that needs httpx."""

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import DecodeError, Struct

from asgi_llm.asgi.diagnose import HEADERS
from asgi_llm.dialects.sse import SSEReader

if TYPE_CHECKING:
    import httpx

__all__ = ["Found", "examine"]

_SIZES = (900_000, 2_000_000, 9_000_000)
"""Bytes. nginx takes no more than a megabyte by itself; a picture in base64 is a few."""
_PATIENCE = 15.0
_STAY = 1.0
"""Seconds after which the doctor leaves a stream."""


class Found(Struct):
    """What was measured. None: it could not be.

    ``reached`` is the status of the health endpoint, ``trouble`` why there is none; ``refused`` the status and the code
    of a diagnosis that was refused, ``foreign`` whether somebody else than the gateway said so. ``arrivals`` are the
    seconds after the request at which each event came, ``interval`` those between them when they were made.
    ``lifespan`` is whether the application runs the gateway from its start to its end. ``body`` is the largest body
    that arrived, ``body_refused`` the status (0: there was no answer) and the size of the first that did not, and
    ``body_foreign`` whether it was not the gateway that refused it.
    """

    url: str
    reached: int | None = None
    trouble: str = ""
    page: bool = False
    servers: str = ""
    http: str = ""
    refused: tuple[int, str] | None = None
    foreign: bool = False
    arrivals: list[float] = []
    interval: float = 0
    encoding: str = ""
    inner_http: str = ""
    lifespan: bool | None = None
    lost: list[str] = []
    broke_off: bool = False
    body: int = 0
    body_refused: tuple[int, int] | None = None
    body_foreign: bool = False
    disconnect: bool | None = None


async def examine(url: str, key: str | None, transport: Any = None) -> Found:
    """Examines the gateway whose root is at ``url``, with ``key`` where it needs one. Takes a few seconds."""
    import httpx

    found = Found(url.rstrip("/"))
    sent = {name.decode("ascii"): "doctor" for name in HEADERS if name not in (b"authorization", b"x-api-key")}
    if key:
        sent |= {"authorization": f"Bearer {key}", "x-api-key": key}
    async with httpx.AsyncClient(headers=sent, timeout=_PATIENCE, trust_env=False, transport=transport) as client:
        try:
            await _reach(client, found)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            found.trouble = str(error) or type(error).__name__
        if found.reached == 200 and not found.page:
            await _measure(client, found, set(sent))
    return found


async def _reach(client: "httpx.AsyncClient", found: Found) -> None:
    answer = await client.get(f"{found.url}/health")
    found.reached = answer.status_code
    found.page = "html" in answer.headers.get("content-type", "") or "x-llm-request-id" not in answer.headers
    found.servers = ", ".join(filter(None, (answer.headers.get("server"), answer.headers.get("via"))))
    found.http = answer.http_version


async def _measure(client: "httpx.AsyncClient", found: Found, sent: set[str]) -> None:
    from httpx import HTTPError

    try:
        await _stream(client, found, sent)
    except (HTTPError, DecodeError):
        found.broke_off = True
    if found.refused is None:
        await _bodies(client, found)
        with suppress(HTTPError, DecodeError):  # then it cannot be told
            await _leave(client, found)


async def _stream(client: "httpx.AsyncClient", found: Found, sent: set[str]) -> None:
    clock = asyncio.get_running_loop().time
    reader, begun = SSEReader(1_000_000), clock()
    async with client.stream("GET", f"{found.url}/diagnose", headers={"accept": "text/event-stream"}) as answer:
        if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
            found.refused = answer.status_code, answer.headers.get("x-llm-error-code", "")
            found.foreign = "x-llm-request-id" not in answer.headers
            return
        found.encoding = answer.headers.get("content-encoding", "")
        ended = False
        async for piece in answer.aiter_bytes():
            for event in reader.feed(piece):
                found.arrivals.append(clock() - begun)
                ended = event.event == b"end"
                if event.event == b"request":
                    said = msgspec.json.decode(event.data)
                    found.interval, found.inner_http = said["interval"], said["http_version"]
                    found.lifespan = said.get("lifespan")
                    found.lost = sorted(sent & {name.decode() for name in HEADERS} - set(said["headers"]))
        found.broke_off = not ended


async def _bodies(client: "httpx.AsyncClient", found: Found) -> None:
    from httpx import HTTPError

    headers = {"content-type": "application/octet-stream"}
    for size in _SIZES:
        try:
            answer = await client.post(f"{found.url}/diagnose", content=b" " * size, headers=headers)
        except HTTPError:
            found.body_refused, found.body_foreign = (0, size), True
            return
        if answer.status_code != 200:
            found.body_refused = answer.status_code, size
            found.body_foreign = "x-llm-error-code" not in answer.headers
            return
        found.body = size


async def _leave(client: "httpx.AsyncClient", found: Found) -> None:
    token = secrets.token_hex(8)
    with suppress(TimeoutError):  # where streams are buffered, nothing comes before it is too late to leave
        async with (
            asyncio.timeout(_STAY),
            client.stream("GET", f"{found.url}/diagnose", params={"hold": token}) as answer,
        ):
            async for _piece in answer.aiter_raw():
                break
    for _ in range(8):
        await asyncio.sleep(0.15)
        answer = await client.get(f"{found.url}/diagnose", params={"left": token})
        said = msgspec.json.decode(answer.content, type=dict[str, Any]).get("left")
        # Another process of the server knows nothing of it; the next answer may be from the right one.
        if said is not None:
            found.disconnect = said
        if said:
            return
