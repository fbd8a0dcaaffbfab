"""Servers that misbehave, and what a call to them comes to: definite only where nothing can have been acted on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from infrastructure.channels.apns import Apns, ApnsKey, ApnsTokens
from infrastructure.channels.guarded import guarded_client
from infrastructure.channels.http import MOST_READ, Answer, call
from infrastructure.channels.vapid import new_private_key
from infrastructure.channels.web_push import WebPush
from infrastructure.local.sandbox.browser import subscription
from infrastructure.ports import Content, Provider
from schemas.deliveries import DeliveryRecord
from schemas.devices import ApnsDevice, WebDevice, device_of
from schemas.outcomes import Ambiguous, Dead, Outcome, Retry, Sent

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


# --- push services, each called as its adapter calls it

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DELIVERY = DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id="dlv_1", recipient="ana", channel="push")


async def listening(stack: AsyncExitStack, serve: Serve) -> str:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(served, "127.0.0.1", 0))
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def pushed_to_a_browser(serve: Serve) -> Outcome:
    async with AsyncExitStack() as stack:
        url = await listening(stack, serve)
        http = await stack.enter_async_context(guarded_client(0.5, local=url))
        provider: Provider = WebPush(http, new_private_key(), "mailto:ops@example.com", (), local=url)
        told = WebDevice.model_validate({"kind": "web", "subscription": subscription(url, "ana")})
        return await provider.send(DELIVERY, device_of(told, NOON).address, Content("", "Hi"))


async def pushed_to_apple(serve: Serve) -> Outcome:
    """Over HTTP/2 from the first byte on, as with a service that was known to speak it (RFC 9113 section 3.3)."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with AsyncExitStack() as stack:
        url = await listening(stack, serve)
        http = await stack.enter_async_context(httpx2.AsyncClient(http1=False, http2=True, timeout=0.5))
        provider: Provider = Apns(http, ApnsTokens(ApnsKey(key, "K", "T")), url, "app.example")
        device = device_of(ApnsDevice(kind="apns", token="ab" * 32), NOON)
        return await provider.send(DELIVERY, device.address, Content("", "Hi"))


async def one_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[H2Connection, int]:
    """The connection, and the stream whose request has come in whole."""
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    while True:
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65_536)):
            if isinstance(event, StreamEnded) and event.stream_id:
                return connection, event.stream_id


async def answers_200(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection, stream = await one_request(reader, writer)
    connection.send_headers(stream, [(":status", "200"), ("apns-id", "x")], end_stream=True)
    writer.write(connection.data_to_send())
    await writer.drain()


async def answers_410(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection, stream = await one_request(reader, writer)
    connection.send_headers(stream, [(":status", "410")])
    connection.send_data(stream, b'{"reason": "Unregistered"}', end_stream=True)
    writer.write(connection.data_to_send())
    await writer.drain()


async def goes_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As Apple ends a connection that has had its thousand streams; this request may have been one of them."""
    connection, _ = await one_request(reader, writer)
    connection.close_connection()
    writer.write(connection.data_to_send())
    await writer.drain()


async def resets_the_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection, stream = await one_request(reader, writer)
    connection.reset_stream(stream)
    writer.write(connection.data_to_send())
    await writer.drain()
    await reader.read()


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (answers_200, Sent),
        (answers_410, Dead),
        (goes_away, Ambiguous),
        (resets_the_stream, Ambiguous),
        (says_nothing, Ambiguous),
        (resets_at_once, Ambiguous),
    ],
)
async def test_a_push_over_http_2_is_read_by_the_table(serve: Serve, expected: type[Outcome]) -> None:
    found = await pushed_to_apple(serve)
    assert isinstance(found, expected), found


async def moves_elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 307 See\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def reads_and_resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


@pytest.mark.parametrize(
    ("serve", "expected"),
    [(reads_and_resets, Ambiguous), (says_nothing, Ambiguous), (moves_elsewhere, Dead)],
)
async def test_a_push_to_a_browser_is_read_by_the_table_and_follows_nobody(serve: Serve, expected: type[Outcome]) -> None:
    found = await pushed_to_a_browser(serve)
    assert isinstance(found, expected), found
