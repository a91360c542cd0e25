"""A request of the gateway's own: it takes the way of any other, for the same user, and nobody waits for it outside."""

from asgi_llm.exchange import Caller, Exchange
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.types import Headers, Scope

__all__ = ["Errand", "errand_exchange"]

_JSON = (b"content-type", b"application/json")
_LEFT = frozenset({b"content-length", b"content-encoding", b"content-type", b"expect", b"transfer-encoding"})


class Errand:
    """A ``Caller`` that keeps what it is told. ``by`` is whose errand it is."""

    __slots__ = ("_body", "answered", "fields", "headers", "queued", "scope", "started", "status")

    def __init__(self, by: Caller, identity: Identity, body: bytes) -> None:
        self.scope: Scope = {**by.scope, IDENTITY_KEY: identity}
        self.headers: Headers = [*(pair for pair in by.headers if pair[0] not in _LEFT), _JSON]
        self.fields = dict(self.headers)
        self.started = False
        self.queued = False
        self.status = 0
        self.answered = b""
        self._body = body

    @property
    def gone(self) -> bool:
        return False

    @property
    def missed(self) -> bool:
        return False

    async def body(self, limit: int) -> bytes:
        return self._body

    async def piece(self) -> tuple[bytes, bool]:
        return self._body, False

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, headers)
        await self.finish(body)

    async def start(self, status: int, headers: Headers) -> None:
        self.started, self.status = True, status

    async def send(self, data: bytes) -> None:
        self.answered += data

    async def finish(self, data: bytes = b"") -> None:
        await self.send(data)


def errand_exchange(exchange: Exchange, endpoint: str) -> Exchange:
    """What ``exchange`` goes on as, under the name that its caller is told."""
    return Exchange(id=exchange.id, endpoint=endpoint, dialect=exchange.dialect, started=exchange.started)
