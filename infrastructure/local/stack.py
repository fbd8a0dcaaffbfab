"""Kafka, DynamoDB and Redis on this machine, for `make run` and for tests alike."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.local.addresses import Addresses, Elsewhere
from infrastructure.local.dynamodb import start_dynamodb
from infrastructure.local.jars import Classpaths, JarsUnavailable, Progress, fetch_jars
from infrastructure.local.kafka import Node, start_kafka
from infrastructure.local.ports import any_free_port, free_or_another
from infrastructure.local.processes import CannotStart, Processes, together
from infrastructure.local.valkey import start_valkey


@dataclass(frozen=True)
class Ports:
    """The ports wished for; 0, or one that somebody else has, becomes any free one."""

    kafka: int = 0
    dynamodb: int = 0
    redis: int = 0


@asynccontextmanager
async def local_stack(
    root: Path,
    *,
    persistent: bool,
    ports: Ports | None = None,
    java_flags: Sequence[str] = (),
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[Addresses]:
    """The three engines with their data under `root`, stopped on the way out."""
    with only_one(root):
        async with Processes(root / "log") as processes:
            yield await start_stack(
                processes, root, persistent=persistent, ports=ports, java_flags=java_flags, elsewhere=elsewhere
            )


async def start_stack(
    processes: Processes,
    root: Path,
    *,
    persistent: bool,
    ports: Ports | None = None,
    java_flags: Sequence[str] = (),
    elsewhere: Elsewhere | None = None,
    progress: Progress = lambda done, total: None,
) -> Addresses:
    """Starts, side by side, what does not run elsewhere; returns when all of it serves."""
    ports, elsewhere = ports or Ports(), elsewhere or Elsewhere()
    addresses = Addresses(
        kafka_port=0 if elsewhere.kafka else free_or_another(ports.kafka),
        dynamodb_port=0 if elsewhere.dynamodb else free_or_another(ports.dynamodb),
        redis_port=0 if elsewhere.redis else free_or_another(ports.redis),
    )
    for part in ("kafka", "dynamodb", "valkey"):
        (root / part).mkdir(parents=True, exist_ok=True)
    starts: list[Coroutine[Any, Any, object]] = []
    if addresses.redis_port:
        starts.append(start_valkey(processes, addresses.redis_port, root / "valkey", persistent=persistent))
    if addresses.kafka_port or addresses.dynamodb_port:
        starts.append(_Engines(processes, root, persistent, java_flags).start(addresses, progress))
    await together(*starts)
    return addresses


@dataclass(frozen=True)
class _Engines:
    """The two that run on Java and wait for their jars."""

    processes: Processes
    root: Path
    persistent: bool
    java_flags: Sequence[str]

    async def start(self, addresses: Addresses, progress: Progress) -> None:
        try:
            classpaths = await asyncio.to_thread(fetch_jars, progress)
        except JarsUnavailable as problem:
            raise CannotStart(str(problem)) from problem
        starts: list[Coroutine[Any, Any, object]] = []
        if addresses.kafka_port:
            starts.append(self._kafka(addresses.kafka_port, classpaths))
        if addresses.dynamodb_port:
            starts.append(self._dynamodb(addresses.dynamodb_port, classpaths))
        await together(*starts)

    async def _kafka(self, port: int, classpaths: Classpaths) -> None:
        node = Node(1, port, any_free_port(), self.root / "kafka")
        await start_kafka(self.processes, node, [node], classpath=classpaths.kafka, java_flags=self.java_flags)

    async def _dynamodb(self, port: int, classpaths: Classpaths) -> None:
        await start_dynamodb(
            self.processes,
            port,
            self.root / "dynamodb",
            classpaths=classpaths,
            persistent=self.persistent,
            java_flags=self.java_flags,
        )


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Two stacks on the same data would spoil it; the second is told who is there."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)  # what people were sent is kept here
    with (root / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.seek(0)
            owner = lock.read().strip()
            raise CannotStart(
                f"Carillon already runs from this folder (process {owner}). Press Ctrl-C where it runs, or: kill {owner}"
            ) from taken
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
