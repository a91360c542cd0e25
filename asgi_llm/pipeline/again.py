"""Asks the worker that gave an answer once more, for the same exchange."""

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Attempt, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.runtime import Runtime
from asgi_llm.upstream.interface import UpstreamRequest, UpstreamResponse

from .plan import Leg

__all__ = ["ask_again", "read_rest", "streams"]


async def ask_again(
    runtime: Runtime, exchange: Exchange, leg: Leg, worker: Worker, request: UpstreamRequest
) -> UpstreamResponse:
    """The answer to ``request``, which has begun. It is noted among the attempts.

    Raises:
        UpstreamError: there is none, or not a good one.
    """
    served, begun = exchange.served, runtime.loop.time()
    assert served is not None  # noqa: S101  # the first round, whose request this is

    def note(result: str, status: int | None = None, *, resent: bool = False) -> None:
        seconds = runtime.loop.time() - begun
        told = Attempt(worker.target, worker.name, result, seconds, status, served.key, resent)
        exchange.attempts += (told,)

    try:
        response = await worker.client.send(request)
    except UpstreamError as error:
        note(error.cause.value, resent=error.resent)
        raise
    except BaseException:
        note("abandoned")
        raise
    good = 200 <= response.status < 300
    note("ok" if good else Cause.STATUS.value, response.status, resent=response.resent)
    if good:
        return response
    try:
        body = await read_rest(response, runtime.blueprint.settings.limits.answer)
    finally:
        response.close()
    raise leg.dialect.decode_error(response.status, response.headers, body)


async def read_rest(response: UpstreamResponse, limit: int) -> bytes:
    """
    Raises:
        UpstreamError: it is larger than ``limit`` bytes, or broke off.
    """
    pieces: list[bytes] = []
    size = 0
    while data := await response.read():
        pieces.append(data)
        size += len(data)
        if size > limit:
            raise UpstreamError(f"the upstream's answer is larger than {limit} bytes", cause=Cause.CONTENT)
    return b"".join(pieces)


def streams(response: UpstreamResponse) -> bool:
    """Whether the answer is a stream of events."""
    kind = next((value for name, value in response.headers if name == b"content-type"), b"")
    return kind[:17].lower() == b"text/event-stream"
