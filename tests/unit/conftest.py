"""Unit tests open no sockets: whoever tries is told so."""

import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from infrastructure.kafka.consuming import consumer, member, settling
from tests.fakes.house import House
from tests.fakes.log import FakeBroker


@pytest.fixture(autouse=True, scope="package")
def no_sockets() -> Iterator[None]:
    """Only AF_UNIX is left, by which asyncio wakes its own loop."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(real: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family != socket.AF_UNIX:
                raise AssertionError(f"a unit test opens a socket to {address}")
            return real(self, address)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


@pytest.fixture
def quick_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that polls, commits and gives up waiting in fractions of what it takes in production."""
    monkeypatch.setattr(settling, "_HOLD_FIRST_S", 0.0)
    monkeypatch.setattr(settling, "_HOLD_MOST_S", 0.05)
    monkeypatch.setattr(member, "POLL_S", 0.01)
    monkeypatch.setattr(member, "BOOKS_EVERY_S", 0.0)
    monkeypatch.setattr(member, "ANSWER_S", 0.5)
    monkeypatch.setattr(member, "STOP_S", 0.2)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is replaced at once."""
    monkeypatch.setattr(consumer, "_WAIT_FIRST_S", 0.001)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker({"orders": 2, "orders.urgent": 1})


@pytest.fixture(name="house")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The product in one process, nobody else in it."""
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(name="ana")
async def _ana(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with house.client(await house.token_of("ana")) as client:
        yield client


@pytest.fixture(name="ben")
async def _ben(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with house.client(await house.token_of("ben")) as client:
        yield client


@pytest.fixture(name="olga")
async def _olga(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with house.client(await house.token_of("olga")) as client:
        yield client
