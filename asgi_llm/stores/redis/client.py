"""The connection to a Redis: bounded, and in no case waited for without end."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["open_redis"]

_CONNECTIONS = 32
_TIMEOUT = 5.0
"""Seconds to wait for a connection, and for an answer."""


def open_redis(url: str) -> "Redis":
    """A client for one event loop; nothing is connected before it is used."""
    from redis.asyncio import BlockingConnectionPool, Redis

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_TIMEOUT,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        health_check_interval=30,
    )
    return Redis.from_pool(pool)
