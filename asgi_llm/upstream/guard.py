"""Which addresses may be gone to when a caller says where: public ones, and those that the settings list.

A name is resolved once, here, and the connection goes to what was found and judged: a second look-up could find
something else. RFC 6890 and the registries of special-purpose addresses say what is not public.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from asgi_llm.errors import ClientError

from .interface import AddressInfo

__all__ = ["Guard"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED: tuple[_Network, ...] = (
    ipaddress.ip_network("168.63.129.16/32"),  # serves Azure's machines, though it looks public
    ipaddress.ip_network("100.64.0.0/10"),  # shared by a carrier's customers; Alibaba's metadata
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of a local network
    ipaddress.ip_network("fec0::/10"),  # site-local, as it once was
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Guard:
    """``permitted`` are networks that may be gone to although they are not public."""

    __slots__ = ("_permitted",)

    def __init__(self, permitted: Iterable[_Network] = ()) -> None:
        self._permitted = tuple(permitted)

    def permits(self, address: str) -> bool:
        """Whether the numeric ``address`` may be gone to."""
        given = ipaddress.ip_address(address.partition("%")[0])
        meant = _embedded(given)
        if any(one in network for network in self._permitted for one in (given, meant)):
            return True
        if meant.is_multicast or meant.is_reserved or any(meant in network for network in _REFUSED):
            return False
        return meant.is_global

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of ``host``, all of them permitted: a name that leads to others as well means no good.

        Raises:
            ClientError: it leads where it must not.
            OSError: it has no address.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not all(self.permits(str(info[4][0])) for info in found):
            raise ClientError("The address of the media is not public.", code="media_not_allowed")
        return [(info[0], info[4]) for info in found]


def _embedded(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
