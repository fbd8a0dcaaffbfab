"""Unit tests open no sockets: whoever tries is told so."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from infrastructure.kafka.consuming import consumer, member, settling
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
