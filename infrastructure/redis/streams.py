"""A Redis stream as one member of the bridge's consumer group sees it.

Source: https://redis.io/docs/latest/develop/data-types/streams/
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from infrastructure.redis.client import redis_or_unavailable

GROUP = "carillon"
FIRST = "0-0"
BATCH = 500  # the best count measured; one acknowledgement serves the whole batch
BLOCK_MS = 1000  # well under the client's socket time-out, which would cut a longer wait

log = structlog.get_logger()


@dataclass(frozen=True)
class Entry:
    stream: str
    id: str
    fields: dict[bytes, bytes]


@dataclass(frozen=True)
class Takeover:
    """Entries of a member that went silent, how many of its entries had been deleted, and where to go on."""

    entries: list[Entry]
    lost: int
    cursor: str


def consumer_name() -> str:
    """A member's name: no two living processes share one."""
    return f"{socket.gethostname()}-{os.getpid()}"


def text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class StreamGroup:
    """One member of the group on one stream. Needs a client that does not decode: fields may be any bytes."""

    def __init__(self, redis: Redis, stream: str, *, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer
        self.stream = stream

    async def open(self) -> bool:
        """Makes sure that group and stream are there; says whether they had to be made."""
        with redis_or_unavailable():
            try:
                await self._redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
                return False
        return True

    async def read(self) -> list[Entry]:
        """The next entries nobody has had, oldest first; nothing after a quiet second."""
        with redis_or_unavailable():
            try:
                found: Any = await self._redis.xreadgroup(
                    GROUP, self._consumer, {self.stream: ">"}, count=BATCH, block=BLOCK_MS
                )
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                await self._restore()
                return []
        return self._entries(_of_one_stream(found))

    async def take_over(self, cursor: str, min_idle_s: float) -> Takeover:
        """One page of what a dead member left, from `cursor` on.

        Never with JUSTID: redis-py then drops the cursor and the deleted ids, and those are lost notifications.
        """
        with redis_or_unavailable():
            try:
                page: Any = await self._redis.xautoclaim(
                    self.stream, GROUP, self._consumer, int(min_idle_s * 1000), start_id=cursor, count=BATCH
                )
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                await self._restore()
                return Takeover([], 0, FIRST)
        entries = self._entries(page[1])
        unreadable = len(page[1]) - len(entries)  # servers before 7.0 answer nil for a deleted entry
        deleted = page[2] if len(page) > 2 else ()  # and list none of them
        return Takeover(entries, unreadable + len(deleted), text(page[0]))

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        with redis_or_unavailable():
            await self._redis.xack(self.stream, GROUP, *(entry.id for entry in entries))

    async def leave(self) -> None:
        """Takes our name off the group, unless entries still hang on it: those are for another member to take over."""
        with redis_or_unavailable():
            try:
                held = await self._redis.xpending_range(
                    self.stream, GROUP, min="-", max="+", count=1, consumername=self._consumer
                )
                if not held:
                    await self._redis.xgroup_delconsumer(self.stream, GROUP, self._consumer)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise

    async def _restore(self) -> None:
        """Redis came back without the group (restarted empty, or failed over): start again from the first entry."""
        if await self.open():
            log.error("bridge.group_was_gone", stream=self.stream, group=GROUP, next="reading from the first entry again")

    def _entries(self, rows: Any) -> list[Entry]:
        return [Entry(self.stream, text(entry_id), fields) for entry_id, fields in rows if fields is not None]


def _of_one_stream(found: Any) -> Any:
    """The rows of an answer about one stream: RESP2 gives a list of pairs, RESP3 a map of lists."""
    if not found:
        return []
    if isinstance(found, dict):
        [batches] = found.values()
        return [row for rows in batches for row in rows]
    [(_, rows)] = found
    return rows
