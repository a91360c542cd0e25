"""Opening connections: names, addresses in parallel (RFC 8305), TCP, TLS.

Not left to ``loop.create_connection``, because uvloop's tries one address after the other, and because here a failed
handshake is told from a failed connection.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextvars import Context

from .address import Address
from .connection import Connection
from .failures import tls, unreachable
from .interface import AddressInfo, Resolve
from .tls import client_context

__all__ = ["Dialler"]

_HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it."""


class Dialler:
    """Opens connections to one address. ``context`` is for https only; None: the default one, loaded when needed."""

    __slots__ = ("_address", "_context", "_literal", "_resolve")

    def __init__(self, address: Address, context: ssl.SSLContext | None, resolve: Resolve | None = None) -> None:
        self._address = address
        self._context = context
        self._resolve = resolve
        self._literal = _literal(address.host, address.port)

    async def dial(self, loop: asyncio.AbstractEventLoop, new: Callable[[], Connection]) -> Connection:
        """A new connection. It runs in an empty context: connections outlive the request that needed them first.

        Raises:
            UpstreamError: CONNECT or TLS.
        """
        task = loop.create_task(self._dial(loop, new), context=Context())
        try:
            return await task
        except BaseException:
            # Cancelled while the connection was being handed over: nobody else will close it.
            task.add_done_callback(_discard)
            raise

    async def _dial(self, loop: asyncio.AbstractEventLoop, new: Callable[[], Connection]) -> Connection:
        try:
            sock = await self._connect(loop)
        except OSError:
            raise unreachable() from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._address.secure:
                context = await self._tls_context()
                _, connection = await loop.create_connection(
                    new, sock=sock, ssl=context, server_hostname=self._address.host
                )
            else:
                _, connection = await loop.create_connection(new, sock=sock)
        except (OSError, ValueError):  # a certificate that does not fit is both, other handshake failures the former
            sock.close()
            raise (tls() if self._address.secure else unreachable()) from None
        except BaseException:
            sock.close()
            raise
        return connection

    async def _tls_context(self) -> ssl.SSLContext:
        context = self._context
        if context is None:
            context = self._context = await asyncio.to_thread(client_context)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        if self._resolve is not None:
            infos = _interleaved(await self._resolve(self._address.host, self._address.port))
        elif self._literal is not None:
            return await _connect_one(loop, self._literal)
        else:
            found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
            infos = _interleaved([(info[0], info[4]) for info in found])
        if len(infos) == 1:
            return await _connect_one(loop, infos[0])
        return await _race(loop, infos)


def _literal(host: str, port: int) -> AddressInfo | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, (host, port)
    return socket.AF_INET6, (host, port, 0, 0)


def _interleaved(infos: list[AddressInfo]) -> list[AddressInfo]:
    """Families in turn, beginning with the one the resolver prefers."""
    if not infos:
        raise OSError("the name has no address")
    first = [info for info in infos if info[0] == infos[0][0]]
    others = [info for info in infos if info[0] != infos[0][0]]
    mixed = []
    while first or others:
        mixed += [queue.pop(0) for queue in (first, others) if queue]
    return mixed


async def _connect_one(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
    family, address = info
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(loop: asyncio.AbstractEventLoop, infos: list[AddressInfo]) -> socket.socket:
    """The first address to answer wins; each has a head start on the next, or less when it fails at once."""
    running: set[asyncio.Task[socket.socket]] = set()
    waiting = list(infos)
    failure: BaseException = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_connect_one(loop, waiting.pop(0))))
            done, running = await asyncio.wait(
                running, timeout=_HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            winner = None
            for task in done:
                if (error := task.exception()) is not None:
                    failure = error
                elif winner is None:
                    winner = task.result()
                else:
                    task.result().close()
            if winner is not None:
                return winner
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_late)
    raise failure


def _close_late(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _discard(task: "asyncio.Task[Connection]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
