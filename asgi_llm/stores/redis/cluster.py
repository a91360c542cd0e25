"""A client of a cluster that bounds how many commands are under way, and lets the others wait for their turn."""

import asyncio
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as NoConnectionError

__all__ = ["open_cluster"]


_CLOSED = 3
"""How often a connection may turn out to be closed before one is given up."""


class _Cluster(RedisCluster):
    """Serves one event loop."""

    turns: asyncio.Semaphore
    patience: float

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """
        Raises:
            RedisError: the cluster cannot be asked.
        """
        try:
            async with asyncio.timeout(self.patience):
                await self.turns.acquire()
        except TimeoutError:
            raise NoConnectionError("no connection became free") from None
        try:
            return await self._execute(*args, **kwargs)
        except (TypeError, AttributeError, RuntimeError) as error:
            raise NoConnectionError(f"the connection was closed ({type(error).__name__})") from error
        finally:
            self.turns.release()

    async def _execute(self, *args: Any, **kwargs: Any) -> Any:
        """Where nodes are looked for anew, connections are closed in the midst of being opened: then there is nothing
        to write to, and another one is taken."""
        for _ in range(_CLOSED):
            try:
                return await super().execute_command(*args, **kwargs)
            except TypeError:
                await asyncio.sleep(0)
        return await super().execute_command(*args, **kwargs)


def open_cluster(url: str, connections: int, timeout: float) -> RedisCluster:
    """A client by the address of one node. ``timeout`` is seconds to wait for a turn, for a connection and for an
    answer."""
    found = _Cluster.from_url(
        url,
        # Of each node; what finds none that is free does not wait there, but fails.
        max_connections=2 * connections,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # A slot that has moved is looked for where it is; by default all connections are closed after a few of them.
        reinitialize_steps=0,
    )
    assert isinstance(found, _Cluster)  # noqa: S101  # which its types do not say
    found.turns, found.patience = asyncio.Semaphore(connections), timeout
    return found
