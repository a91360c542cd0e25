"""Looks at an answer on its way to the caller, for targets whose policy wants to know what each worker has made."""

from typing import TYPE_CHECKING, Any, cast

from asgi_llm.exchange import Caller, Exchange
from asgi_llm.routing.balance.produced import Produced
from asgi_llm.types import Headers

if TYPE_CHECKING:
    from asgi_llm.fleet.worker import Worker

__all__ = ["Watched", "watch"]


class Watched:
    """A ``Caller`` that lets all through to another one."""

    __slots__ = ("_caller", "_produced")

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._produced = Produced()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caller, name)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self._produced.feed(body)
        await self._caller.answer(status, headers, body)

    async def send(self, data: bytes) -> None:
        self._produced.feed(data)
        await self._caller.send(data)

    async def finish(self, data: bytes = b"") -> None:
        self._produced.feed(data)
        await self._caller.finish(data)

    def tell(self, exchange: Exchange, worker: "Worker") -> None:
        """The answer is whole: ``worker`` made what was seen in it."""
        identity = exchange.identity
        worker.produced(self._produced.origins(f"{identity.tenant}\n{identity.subject}"))


def watch(caller: Caller) -> tuple[Caller, Watched]:
    """What to send the answer to instead of ``caller``, and the same to be asked in the end."""
    watched = Watched(caller)
    return cast("Caller", watched), watched
