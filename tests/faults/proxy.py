"""A TCP proxy that does harm on purpose, the same harm for the same seed.

It stands between a client and a server it knows nothing about: what it counts as a request is a burst of bytes from the
client that follows an answer. For DynamoDB's own faults see dynamo_proxy.py.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

HOST = "127.0.0.1"
CHUNK = 65_536

Mode = Literal["pass", "half_open", "reset"]


@dataclass
class Harm:
    """What to do to connections; may be changed while they are open.

    half_open accepts and says nothing; reset answers the first byte with a reset; `cut_after` bytes of answers a connection
    ends; `drop_reply_of` is the number of a request, counted from now on over all connections: it reaches the server, its
    answer is swallowed and the connection closed.
    """

    mode: Mode = "pass"
    latency_s: float = 0.0
    jitter_s: float = 0.0
    cut_after: int | None = None
    drop_reply_of: int | None = None


@dataclass
class FaultProxy:
    """Listens on a port of its own while it is up."""

    upstream: tuple[str, int]
    seed: int = 0
    harm: Harm = field(default_factory=Harm)
    port: int = 0
    requests: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def up(self) -> None:
        """Listens, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuses whoever comes and resets whoever is there."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every open connection ends now, without a goodbye."""
        for writer in self._open:
            reset(writer)
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            reset(writer)
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.harm.mode == "half_open":
            await asyncio.Event().wait()
        if self.harm.mode == "reset":
            await reader.read(1)
            reset(writer)
            return
        from_server, to_server = await asyncio.open_connection(*self.upstream)
        conversation = _Conversation(self)
        try:
            async with asyncio.TaskGroup() as both:
                answers = both.create_task(conversation.answers(from_server, writer))
                asking = both.create_task(conversation.asks(reader, to_server))
                answers.add_done_callback(lambda _: asking.cancel())
        except* OSError:
            reset(writer)
        finally:
            to_server.close()

    def next_request(self) -> bool:
        """Counts one; True when its answer is to be swallowed."""
        self.requests += 1
        if self.harm.drop_reply_of is None:
            return False
        self.harm.drop_reply_of -= 1
        if self.harm.drop_reply_of > 0:
            return False
        self.harm.drop_reply_of = None
        return True

    async def wait(self) -> None:
        """As long as the way takes, either way."""
        if self.harm.latency_s or self.harm.jitter_s:
            await asyncio.sleep(max(0.0, self.harm.latency_s + self._random.uniform(-1, 1) * self.harm.jitter_s))


@dataclass
class _Conversation:
    """One connection, in both directions."""

    proxy: FaultProxy
    answered: bool = True
    swallow: bool = False
    passed_back: int = 0

    async def asks(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self.answered:
                self.answered = False
                self.swallow = self.proxy.next_request()
            await self.proxy.wait()
            to_server.write(chunk)
            await to_server.drain()
        if to_server.can_write_eof():
            to_server.write_eof()

    async def answers(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await from_server.read(CHUNK):
            self.answered = True
            if self.swallow:
                reset(writer)
                return
            await self.proxy.wait()
            most = self.proxy.harm.cut_after
            allowed = len(chunk) if most is None else max(0, most - self.passed_back)
            writer.write(chunk[:allowed])
            await writer.drain()
            self.passed_back += len(chunk)
            if most is not None and self.passed_back >= most:
                return


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: what was not yet read is gone, as when a machine dies."""
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(upstream_port: int, *, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """In front of a server on loopback; down when done."""
    proxy = FaultProxy((HOST, upstream_port), seed)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
