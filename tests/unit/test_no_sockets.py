import asyncio
import socket

import pytest


def test_a_unit_test_that_opens_a_socket_fails() -> None:
    with socket.socket() as caller, pytest.raises(AssertionError, match="opens a socket"):
        caller.connect(("127.0.0.1", 9))


async def test_the_event_loop_cannot_do_it_either() -> None:
    with pytest.raises(AssertionError, match="opens a socket"):
        await asyncio.open_connection("127.0.0.1", 9)
