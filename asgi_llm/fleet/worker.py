"""A worker: one base URL of a target, with its own client, breaker and load."""

from asgi_llm.errors import UpstreamError
from asgi_llm.routing.breaker import Breaker
from asgi_llm.routing.retry import blames_worker
from asgi_llm.settings import BreakerSettings
from asgi_llm.upstream.interface import Client

__all__ = ["Worker"]


class Worker:
    """Bound to one event loop through its client.

    Attributes:
        name: ``target#index``: what logs and explanations call it, without its address.
        load: the number of exchanges it works on now.
    """

    __slots__ = ("breaker", "client", "load", "name", "target", "url")

    def __init__(self, target: str, index: int, url: str, client: Client, breaker: BreakerSettings) -> None:
        self.target = target
        self.name = f"{target}#{index}"
        self.url = url
        self.client = client
        self.load = 0
        self.breaker = Breaker(
            failures=breaker.failures, window=breaker.window, open_for=breaker.open_for, probes=breaker.probes
        )

    def enter(self) -> bool:
        """An attempt begins; exactly one of ``succeeded``, ``failed`` and ``abandoned`` must follow, with what this
        returned: whether the attempt is a probe of a worker that was passed over."""
        self.load += 1
        return self.breaker.troubled and self.breaker.enter()

    def succeeded(self, probe: bool) -> None:
        self.load -= 1
        if probe or self.breaker.troubled:
            self.breaker.succeeded(probe=probe)

    def failed(self, error: UpstreamError, now: float, probe: bool) -> None:
        self.load -= 1
        if blames_worker(error):
            self.breaker.failed(now, probe=probe)
        else:
            self.breaker.abandoned(probe=probe)

    def abandoned(self, probe: bool) -> None:
        """The attempt ended without saying anything about the worker: the caller left."""
        self.load -= 1
        self.breaker.abandoned(probe=probe)

    def __repr__(self) -> str:
        return f"<Worker {self.name} load={self.load}>"
