"""The connection to a Redis, or to a cluster of them: bounded, and in no case waited for without end."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["open_redis"]

_CONNECTIONS = 32
_TIMEOUT = 5.0
"""Seconds to wait for a connection, and for an answer."""
_CLUSTER = "+cluster://"


def open_redis(url: str) -> "Redis":
    """A client for one event loop; nothing is connected before it is used. A cluster's has the same commands, for keys
    that are on one node."""
    from redis.asyncio import BlockingConnectionPool, Redis

    if _CLUSTER in url:
        from .cluster import open_cluster

        return cast("Redis", open_cluster(url.replace(_CLUSTER, "://", 1), _CONNECTIONS, _TIMEOUT))
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_TIMEOUT,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        health_check_interval=30,
    )
    return Redis.from_pool(pool)
