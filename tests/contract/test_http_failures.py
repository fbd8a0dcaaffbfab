"""Servers that misbehave, and what a call to them comes to: definite only where nothing can have been acted on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
import pytest

from infrastructure.channels.http import MOST_READ, Answer, call
from schemas.outcomes import Ambiguous, Outcome, Retry

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def outcome_at(serve: Serve, *, scheme: str = "http", timeout_s: float = 0.5) -> Answer | Outcome:
    """What a call to a misbehaving server comes to."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx2.AsyncClient(timeout=timeout_s, verify=scheme == "https") as http:
        return await call(http, "POST", f"{scheme}://127.0.0.1:{port}/", headers={}, json={"text": "Hi"})


async def resets_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def resets_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.transport.abort()


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def breaks_off_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
    await writer.drain()
    writer.transport.abort()


async def speaks_something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


async def answers_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


@pytest.mark.parametrize(
    ("serve", "scheme", "kind"),
    [
        (resets_at_once, "http", Ambiguous),
        (resets_after_the_request, "http", Ambiguous),
        (says_nothing, "http", Ambiguous),
        (breaks_off_the_answer, "http", Ambiguous),
        (speaks_something_else, "http", Ambiguous),
        (speaks_something_else, "https", Retry),
    ],
)
async def test_a_server_that_misbehaves_is_read_by_the_table(serve: Serve, scheme: str, kind: type[Outcome]) -> None:
    found = await outcome_at(serve, scheme=scheme)
    assert isinstance(found, kind), found


async def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    found = await outcome_at(answers_without_end, timeout_s=5)
    assert isinstance(found, Answer)
    assert (found.status, len(found.body)) == (200, MOST_READ)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nobody.invalid/"])
async def test_where_nobody_is_nothing_was_sent(url: str) -> None:
    async with httpx2.AsyncClient(timeout=2) as http:
        assert await call(http, "POST", url, headers={}, json={}) == Retry("ConnectError")
