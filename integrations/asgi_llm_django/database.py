"""Connections to the databases, which are not held while a model talks."""

from asgiref.sync import sync_to_async
from django.db import connections

__all__ = ["release", "release_connections"]


async def release_connections() -> None:
    """``release`` in the thread in which Django does the blocking work of this request."""
    await sync_to_async(release)()


def release() -> None:
    """Closes this thread's connections, or gives them back to their pools. ``CONN_MAX_AGE`` does not matter: under ASGI
    a thread's connections are of no use to other requests, and under WSGI they would lie idle for minutes."""
    for connection in connections.all(initialized_only=True):
        # Whoever is in the middle of a transaction, as tests are, needs it to go on.
        if connection.connection is not None and not connection.in_atomic_block:
            connection.close()
