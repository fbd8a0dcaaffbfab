"""Calls to addresses that users gave: never into our own network (SSRF), whatever a name says the second time."""

import asyncio
import socket
from collections.abc import Iterable
from itertools import cycle
from typing import Any

import httpcore2
import httpx2
import pytest
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from infrastructure.channels.guarded import GuardedBackend, NotPublic, guarded_client, is_public
from schemas.devices import NotAPushService, push_service

PUBLIC = "142.250.180.10"
INSIDE = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
)


class Wire(AsyncNetworkBackend):
    """Counts the connections that would be made; makes none."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        self.connected.append((host, port))
        raise httpcore2.ConnectError("nobody answers in a unit test")


class Names:
    """A name server: each question gets the next of the answers, for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
        self._answers = cycle(answers)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.getaddrinfo)

    async def getaddrinfo(self, _host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in next(self._answers)]


async def connects(wire: Wire, host: str = "push.example.com", port: int = 443) -> None:
    await GuardedBackend(wire, ("127.0.0.1", 8003)).connect_tcp(host, port)


@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    wire = Wire()
    assert not is_public(address)
    for answers in ((address,), (PUBLIC, address)):
        Names(monkeypatch, answers)
        with pytest.raises(NotPublic):
            await connects(wire)
    assert wire.connected == []


async def test_a_public_name_is_connected_to_by_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    Names(monkeypatch, (PUBLIC, "2a00:1450:4001:80b::200a"))
    with pytest.raises(httpcore2.ConnectError):
        await connects(wire)
    assert wire.connected == [(PUBLIC, 443)]


async def test_a_name_that_answers_otherwise_the_second_time_gets_no_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    Names(monkeypatch, (PUBLIC,), ("127.0.0.1",))
    for round_ in range(1000):
        with pytest.raises(httpcore2.ConnectError if round_ % 2 == 0 else NotPublic):
            await connects(wire)
    assert set(wire.connected) == {(PUBLIC, 443)}


@pytest.mark.parametrize("port", [22, 80, 6379, 8080])
async def test_no_other_port_is_tried(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    wire = Wire()
    Names(monkeypatch, (PUBLIC,))
    with pytest.raises(NotPublic):
        await connects(wire, port=port)
    assert wire.connected == []


async def test_of_loopback_only_the_sandboxs_own_port_is_open() -> None:
    wire = Wire()
    with pytest.raises(httpcore2.ConnectError):
        await connects(wire, "127.0.0.1", 8003)
    with pytest.raises(NotPublic):
        await connects(wire, "127.0.0.1", 443)
    assert wire.connected == [("127.0.0.1", 8003)]


async def test_the_client_asks_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx2 has no setting for it: a version that works otherwise inside must not go out unguarded."""
    Names(monkeypatch, ("169.254.169.254",))
    async with guarded_client(1.0) as http:
        with pytest.raises(NotPublic):
            await http.post("https://metadata.google.internal/")


async def test_a_name_nobody_knows_is_no_connection() -> None:
    async with guarded_client(1.0) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.post("https://nobody..invalid/")


HOSTS = ("fcm.googleapis.com", "push.apple.com")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com@evil.example/x",
        "https://user:pass@fcm.googleapis.com/x",
        "https://evil.example/fcm.googleapis.com",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilpush.apple.com.example/x",
        "https://notpush.apple.comm/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0177.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
        "https://fcm.googleapis.com:port/x",
        "ftp://fcm.googleapis.com/x",
        "https:///x",
        "https://evil.example\\.push.apple.com/x",
        "https://evil.example\\@push.apple.com/x",
        "https://evil.example#.push.apple.com/x",
        "https://[/x",
        "http://127.0.0.1:8003/webpush/ana",
    ],
)
def test_an_endpoint_no_push_service_would_hand_out_is_refused(endpoint: str) -> None:
    with pytest.raises(NotAPushService):
        push_service(endpoint, HOSTS)


@pytest.mark.parametrize(
    "endpoint", ["https://127.0.0.1/x", "https://0x7f.1/x", "https://2130706433/x", "https://localhost/x"]
)
def test_where_every_host_is_allowed_an_address_is_still_none(endpoint: str) -> None:
    with pytest.raises(NotAPushService):
        push_service(endpoint, ("*",))


@pytest.mark.parametrize("endpoint", ["https://fcm.googleapis.com/fcm/send/x", "https://web.push.apple.com:443/x"])
def test_an_endpoint_of_a_known_service_is_taken(endpoint: str) -> None:
    assert push_service(endpoint, HOSTS).endswith(HOSTS)


def test_the_sandbox_is_a_push_service_where_a_deployment_is_local() -> None:
    assert push_service("http://127.0.0.1:8003/webpush/ana", HOSTS, "http://127.0.0.1:8003") == "127.0.0.1"
    with pytest.raises(NotAPushService):
        push_service("http://127.0.0.1:8004/webpush/ana", HOSTS, "http://127.0.0.1:8003")
    with pytest.raises(NotAPushService):
        push_service("http://127.0.0.1:8003@evil.example/", HOSTS, "http://127.0.0.1:8003")
