"""The fault proxies do what they say, to tiny servers of our own. A fault tool nobody has tested proves nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest

from tests.faults.dynamo_proxy import DynamoProxy, Fault, Kind, dynamo_proxy, halved
from tests.faults.proxy import HOST, FaultProxy, Harm, fault_proxy

THROUGHPUT = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"


@asynccontextmanager
async def serving(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """The port on which every connection is answered so."""
    server = await asyncio.start_server(answer, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def an_echo(heard: list[bytes]) -> AsyncIterator[int]:
    """Answers every line with itself; remembers what reached it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                heard.append(line.strip())
                writer.write(line)
                await writer.drain()
        writer.close()

    async with serving(answer) as port:
        yield port


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
async def proxy(heard: list[bytes]) -> AsyncIterator[FaultProxy]:
    async with an_echo(heard) as port, fault_proxy(port, seed=7) as between:
        yield between


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(proxy: FaultProxy, *lines: bytes) -> bytes:
    """What comes back on one connection, until it ends or every line has its answer."""
    found = b""
    async with connected(proxy) as (reader, writer):
        for line in lines:
            writer.write(line + b"\n")
            found += await reader.readline()
    return found


async def test_without_harm_it_is_not_there(proxy: FaultProxy) -> None:
    assert await say(proxy, b"one", b"two") == b"one\ntwo\n"


async def test_the_answer_of_the_second_request_is_swallowed_after_it_was_done(
    proxy: FaultProxy, heard: list[bytes]
) -> None:
    proxy.harm = Harm(drop_reply_of=2)
    with pytest.raises(ConnectionResetError):
        await say(proxy, b"one", b"two")
    assert heard == [b"one", b"two"]
    assert await say(proxy, b"three") == b"three\n", "once, not for ever"


async def test_a_connection_ends_after_so_many_bytes(proxy: FaultProxy) -> None:
    proxy.harm = Harm(cut_after=6)
    async with connected(proxy) as (reader, writer):
        writer.write(b"12345678\n")
        assert await reader.read() == b"123456"


async def test_a_half_open_connection_says_nothing(proxy: FaultProxy, heard: list[bytes]) -> None:
    proxy.harm = Harm(mode="half_open")
    async with connected(proxy) as (reader, writer):
        writer.write(b"one\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
    assert heard == []


async def test_a_reset_is_a_reset(proxy: FaultProxy, heard: list[bytes]) -> None:
    proxy.harm = Harm(mode="reset")
    with pytest.raises(ConnectionResetError):
        await say(proxy, b"one")
    assert heard == []


async def test_down_refuses_and_resets_and_up_serves_on_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    async with connected(proxy) as (reader, writer):
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        await proxy.down()
        with pytest.raises(ConnectionResetError):
            await reader.read()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)
    await proxy.up()
    assert proxy.port == port
    assert await say(proxy, b"two") == b"two\n"


async def test_the_way_takes_as_long_as_told(proxy: FaultProxy) -> None:
    proxy.harm = Harm(latency_s=0.1, jitter_s=0.02)
    begun = time.monotonic()
    await say(proxy, b"one")
    assert time.monotonic() - begun >= 2 * 0.08, "there and back"


@asynccontextmanager
async def a_store(asked: list[Any]) -> AsyncIterator[int]:
    """Speaks as much HTTP as a client of DynamoDB needs, in chunks, and remembers what it did."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                asked.append(json.loads(await reader.readexactly(length)))
                writer.write(b"HTTP/1.1 200 OK\r\nx-amz-crc32: 1\r\ntransfer-encoding: chunked\r\n\r\n")
                writer.write(b"2\r\n{}\r\n0\r\n\r\n")
        writer.close()

    async with serving(answer) as port:
        yield port


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
async def store(asked: list[Any]) -> AsyncIterator[DynamoProxy]:
    async with a_store(asked) as port, dynamo_proxy(port, seed=7) as between:
        yield between


async def call(store: DynamoProxy, action: str, document: object, timeout_s: float = 5) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=timeout_s) as http:
        headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
        return await http.post(f"http://{HOST}:{store.port}", json=document, headers=headers)


async def test_a_healthy_store_answers_as_ever(store: DynamoProxy, asked: list[Any]) -> None:
    answer = await call(store, "PutItem", {"Item": 1})
    assert (answer.status_code, answer.json(), asked) == (200, {}, [{"Item": 1}])


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [
        ("throttle", 400, THROUGHPUT),
        ("throttle_table", 400, "com.amazon.coral.availability#ThrottlingException"),
        ("conflict", 400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException"),
        ("error", 500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
    ],
)
async def test_a_refusal_is_worded_as_aws_words_it_and_nothing_is_done(
    store: DynamoProxy, asked: list[Any], kind: Kind, status: int, name: str
) -> None:
    store.faults = (Fault(kind, actions=frozenset({"UpdateItem"})),)
    answer = await call(store, "UpdateItem", {})
    assert (answer.status_code, answer.json()["__type"], asked) == (status, name, [])
    assert (await call(store, "GetItem", {})).status_code == 200, "only the action that was named"


async def test_a_lost_answer_is_lost_after_the_write(store: DynamoProxy, asked: list[Any]) -> None:
    store.faults = (Fault("lose_answer"),)
    with pytest.raises(httpx2.TransportError):
        await call(store, "UpdateItem", {"Key": 1})
    assert asked == [{"Key": 1}]


async def test_a_store_that_hangs_is_silent_and_does_nothing(store: DynamoProxy, asked: list[Any]) -> None:
    store.faults = (Fault("hang"),)
    with pytest.raises(httpx2.ReadTimeout):
        await call(store, "PutItem", {}, timeout_s=0.2)
    assert asked == []


async def test_half_of_a_batch_comes_back_undone(store: DynamoProxy, asked: list[Any]) -> None:
    store.faults = (Fault("partial"),)
    written = (await call(store, "BatchWriteItem", {"RequestItems": {"t": [1, 2, 3]}})).json()
    assert (asked, written) == ([{"RequestItems": {"t": [1]}}], {"UnprocessedItems": {"t": [2, 3]}})
    keys = {"RequestItems": {"t": {"Keys": ["a"], "ConsistentRead": True}}}
    read = (await call(store, "BatchGetItem", keys)).json()
    assert read == {"Responses": {}, "UnprocessedKeys": keys["RequestItems"]}
    assert len(asked) == 1, "a batch of one has no half that could be done"


def test_a_batch_is_halved_table_by_table() -> None:
    now, later = halved("BatchWriteItem", {"RequestItems": {"a": [1, 2], "b": [3]}})
    assert (now, later) == ({"RequestItems": {"a": [1]}}, {"a": [2], "b": [3]})


async def test_the_same_seed_does_the_same_harm() -> None:
    async def met(seed: int) -> list[int]:
        async with a_store([]) as port, dynamo_proxy(port, seed=seed) as store:
            store.faults = (Fault("throttle", 0.3), Fault("error", 0.1))
            return [(await call(store, "PutItem", {})).status_code for _ in range(30)]

    first, again, other = await met(7), await met(7), await met(8)
    assert first == again != other
    assert {200, 400} <= set(first)
