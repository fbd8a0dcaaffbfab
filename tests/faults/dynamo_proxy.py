"""DynamoDB's own faults: a proxy that reads its HTTP and answers as AWS does when it is not well.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.faults.proxy import HOST, reset

Kind = Literal["throttle", "throttle_table", "conflict", "error", "lose_answer", "partial", "hang"]

_REFUSALS: dict[Kind, tuple[int, str]] = {
    "throttle": (400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
    "throttle_table": (400, "com.amazon.coral.availability#ThrottlingException"),
    "conflict": (400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException"),
    "error": (500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
}
_BATCHES = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}


@dataclass(frozen=True)
class Fault:
    """What this share of the calls to `actions` (all, when none is named) meets; partial leaves half of a batch undone."""

    kind: Kind
    share: float = 1.0
    actions: frozenset[str] = frozenset()

    def meets(self, action: str, luck: float) -> bool:
        reachable = action in (self.actions or {action}) and (self.kind != "partial" or action in _BATCHES)
        return reachable and luck < self.share


@dataclass(frozen=True)
class _Message:
    """One HTTP request or answer."""

    first_line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes:
        return next((value for found, value in self.headers if found.lower() == name), b"")

    @property
    def action(self) -> str:
        return self.header(b"x-amz-target").decode().rpartition(".")[2]

    def with_document(self, document: object) -> "_Message":
        return replace(self, body=json.dumps(document).encode())

    def __bytes__(self) -> bytes:
        # the checksum is of the body that was; the length is of the body that is
        left_out = {b"content-length", b"transfer-encoding", b"x-amz-crc32"}
        kept = [b"%b: %b" % pair for pair in self.headers if pair[0].lower() not in left_out]
        return b"\r\n".join([self.first_line, *kept, b"content-length: %d" % len(self.body), b"", self.body])


async def _read(stream: asyncio.StreamReader) -> _Message | None:
    """The next message; None when the other side has hung up."""
    try:
        first, *lines = (await stream.readuntil(b"\r\n\r\n")).rstrip(b"\r\n").split(b"\r\n")
    except asyncio.IncompleteReadError:
        return None
    pairs = (line.partition(b":") for line in lines)
    head = _Message(first, tuple((name, value.strip()) for name, _, value in pairs), b"")
    if head.header(b"transfer-encoding").lower() == b"chunked":
        return replace(head, body=await _chunks(stream))
    return replace(head, body=await stream.readexactly(int(head.header(b"content-length") or 0)))


async def _chunks(stream: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await stream.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await stream.readexactly(size + 2))[:-2]
    await stream.readuntil(b"\r\n")
    return body


def _refusal(kind: Kind) -> bytes:
    status, name = _REFUSALS[kind]
    headers = ((b"content-type", b"application/x-amz-json-1.0"),)
    return bytes(
        _Message(b"HTTP/1.1 %d Refused" % status, headers, b"").with_document(
            {"__type": name, "message": "as the test wishes"}
        )
    )


def halved(action: str, asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A batch as two: what is done, and what comes back as not done, in the shapes of DynamoDB."""
    now: dict[str, Any] = {}
    later: dict[str, Any] = {}
    for table, wanted in asked["RequestItems"].items():
        whole = wanted if action == "BatchWriteItem" else wanted["Keys"]
        for part, those in ((now, whole[: len(whole) // 2]), (later, whole[len(whole) // 2 :])):
            if those:
                part[table] = those if action == "BatchWriteItem" else {**wanted, "Keys": those}
    return {**asked, "RequestItems": now}, later


@dataclass
class DynamoProxy:
    """In front of one DynamoDB. `faults` may be changed at any time; `done` counts what was done to whom."""

    upstream_port: int
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    port: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, self.upstream_port)

        async def forward(message: _Message) -> _Message | None:
            to_server.write(bytes(message))
            return await _read(from_server)

        try:
            while (request := await _read(reader)) is not None:
                answer = await self._answer(request, forward)
                if answer is None:
                    reset(writer)
                    return
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            reset(writer)
        finally:
            to_server.close()
            writer.close()

    async def _answer(self, request: _Message, forward: Callable[[_Message], Any]) -> bytes | None:
        kind = self._fault(request.action)
        self.done[f"{kind or 'ok'}"] += 1
        if kind == "hang":
            await asyncio.Event().wait()
        if kind in _REFUSALS:
            return _refusal(kind)
        if kind == "partial":
            return await self._partly(request, forward)
        answer = await forward(request)
        return None if answer is None or kind == "lose_answer" else bytes(answer)

    async def _partly(self, request: _Message, forward: Callable[[_Message], Any]) -> bytes | None:
        now, later = halved(request.action, json.loads(request.body))
        document: dict[str, Any] = {"Responses": {}} if request.action == "BatchGetItem" else {}
        headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/x-amz-json-1.0"),)
        if now["RequestItems"]:
            answer = await forward(request.with_document(now))
            if answer is None:
                return None
            document, headers = json.loads(answer.body), answer.headers
        unprocessed = document.get(_BATCHES[request.action]) or {}
        document[_BATCHES[request.action]] = {**unprocessed, **later}
        return bytes(_Message(b"HTTP/1.1 200 OK", headers, b"").with_document(document))

    def _fault(self, action: str) -> Kind | None:
        """One throw of the dice per fault and call, so that adding a fault does not change what the others do."""
        thrown = [(fault, self._random.random()) for fault in self.faults]
        return next((fault.kind for fault, luck in thrown if fault.meets(action, luck)), None)


@asynccontextmanager
async def dynamo_proxy(upstream_port: int, *, seed: int = 0) -> AsyncIterator[DynamoProxy]:
    proxy = DynamoProxy(upstream_port, seed)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.accept(reader, writer)
        except asyncio.CancelledError:
            reset(writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
