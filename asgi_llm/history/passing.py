"""A caller in front of the caller: what is said to it is passed on. Others change what they must."""

from asgi_llm.exchange import Caller
from asgi_llm.types import Headers

__all__ = ["PassingCaller"]


class PassingCaller:
    """See ``Caller``."""

    __slots__ = ("_caller", "fields", "headers", "scope")

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.scope = caller.scope
        self.headers = caller.headers
        self.fields = caller.fields

    @property
    def started(self) -> bool:
        return self._caller.started

    @property
    def gone(self) -> bool:
        return self._caller.gone

    @property
    def missed(self) -> bool:
        return self._caller.missed

    @property
    def queued(self) -> bool:
        return self._caller.queued

    @queued.setter
    def queued(self, value: bool) -> None:
        self._caller.queued = value

    async def body(self, limit: int) -> bytes:
        return await self._caller.body(limit)

    async def piece(self) -> tuple[bytes, bool]:
        return await self._caller.piece()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self._caller.answer(status, headers, body)

    async def start(self, status: int, headers: Headers) -> None:
        await self._caller.start(status, headers)

    async def send(self, data: bytes) -> None:
        await self._caller.send(data)

    async def finish(self, data: bytes = b"") -> None:
        await self._caller.finish(data)
