"""What the suite asks of a way of mounting, and what each application of it has: its users, and a page of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Any

from asgi_llm import Exchange, Gateway, Identity

__all__ = ["PAGE", "Mount", "Refused", "user_of"]

PAGE = b"a page of the application"


class Refused(Exception):  # noqa: N818  # it is no mistake
    """The application knows the caller, and does not let it in."""


def user_of(headers: Mapping[str, str]) -> Identity | None:
    """How each of the applications knows its users."""
    match headers.get("x-user"):
        case None:
            return None
        case "eve":
            raise Refused("not you")
        case name:
            return Identity(subject=name, tenant="acme", source="contract")


class Mount:
    """An application with the gateway below ``prefix``. ``settled`` has every exchange that was settled, in order.

    Subclasses make ``app`` in ``build``. ``needs`` are the packages without which they cannot; ``wsgi``: it is served
    by WSGI; ``shares``: paths below the prefix may be the application's; ``starts``: it runs the gateway in its
    lifespan; ``sockets``: the gateway takes WebSockets there, once that is switched on.
    """

    needs: tuple[str, ...] = ()
    wsgi = False
    shares = False
    starts = True
    sockets = True

    def __init__(self, tree: dict[str, Any], prefix: str = "/llm", *, shared: bool = False) -> None:
        self.tree = tree
        self.prefix = prefix
        self.shared = shared
        self.settled: list[Exchange] = []
        self.stack = AsyncExitStack()
        self.app: Any = None

    @classmethod
    def missing(cls) -> list[str]:
        return [name for name in cls.needs if find_spec(name) is None]

    def build(self) -> Any:
        raise NotImplementedError

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    def make_gateway(self) -> Gateway:
        self._gateway = Gateway(self.tree, on_settled=self.settled.append)
        return self._gateway

    def reload(self, tree: dict[str, Any]) -> None:
        """As the host's users do it."""
        self.gateway.reload(tree)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Mount"]:
        """The application, ready to be served. Nothing of it is left afterwards."""
        async with self.stack:
            self.app = self.build()
            try:
                yield self
            finally:
                await self.gateway.aclose()
