"""Calls to addresses that users gave: never into our own network, whatever a name resolves to (OWASP API7:2023, SSRF).

Every address of a name is looked at, and the one that was looked at is the one connected to: a name that answers otherwise
the second time (DNS rebinding) gets no second question. Redirects are not followed, proxies of the environment not used.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from schemas.outcomes import Dead

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_OF_ONES_OWN = ipaddress.IPv6Network("64:ff9b:1::/48")
_PORTS = {443}


class NotPublic(Exception):
    """A name leads where nobody from outside is to send us."""


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet; an IPv6 address is as public as the IPv4 address inside it."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None or address in _NAT64_OF_ONES_OWN:
            return False
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


class GuardedBackend(AsyncNetworkBackend):
    """Opens connections to public addresses only, and to the `local` origin where a deployment has one."""

    def __init__(self, backend: AsyncNetworkBackend, local: tuple[str, int] | None = None) -> None:
        self._backend = backend
        self._local = local

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        if (host, port) == self._local:
            return await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        if port not in _PORTS:
            raise NotPublic(f"port {port}")
        addresses = await _addresses_of(host, port)
        if not all(is_public(address) for address in addresses):
            raise NotPublic(host)
        return await self._backend.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        raise NotPublic("a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _addresses_of(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"unknown host {host}") from error
    return [str(where[0]) for *_, where in found]


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, local: tuple[str, int] | None) -> None:
        super().__init__(trust_env=False)
        # httpx2 has no way of handing a backend to its pool; test_guarded.py fails if it is not asked any more
        pool: Any = self._pool
        pool._network_backend = GuardedBackend(pool._network_backend, local)  # pylint: disable=protected-access


def guarded_client(timeout_s: float, local: str = "") -> httpx2.AsyncClient:
    """A client for addresses that users gave. `local` is an origin on loopback it may call all the same."""
    parts = urlsplit(local)
    allowed = (parts.hostname or "", parts.port or 80) if local else None
    return httpx2.AsyncClient(transport=_GuardedTransport(allowed), timeout=timeout_s, follow_redirects=False)


def refused() -> Dead:
    """What an attempt comes to whose address is no public one."""
    return Dead("address_not_public")
