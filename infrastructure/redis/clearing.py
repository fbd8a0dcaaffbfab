"""How much a legacy stream holds, and taking out of it what Kafka has acknowledged."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from infrastructure.redis.client import redis_or_unavailable
from infrastructure.redis.streams import GROUP, text

PAGE = 500


@dataclass(frozen=True)
class StreamStatus:
    """`pending` counts what the bridge has read and Kafka has not acknowledged yet."""

    stream: str
    length: int
    pending: int


@dataclass(frozen=True)
class Cleared:
    stream: str
    cleared: int
    kept: int


async def stream_status(redis: Redis, stream: str) -> StreamStatus:
    """A stream that is not there yet is an empty one."""
    with redis_or_unavailable():
        length = await redis.xlen(stream)
        group = await _group(redis, stream)
    return StreamStatus(stream, int(length), int(group["pending"]) if group else 0)


async def clear_acknowledged(redis: Redis, stream: str) -> Cleared:
    """Deletes entries the bridge has read and acknowledged; what is unread or pending is kept and counted.

    How far the group has read is asked first: everything up to there that is not pending later was acknowledged.
    """
    cleared = 0
    with redis_or_unavailable():
        group = await _group(redis, stream)
        if group is not None:
            last_read = text(group["last-delivered-id"])
            async for ids in _pages(redis, stream, last_read):
                held = await _pending(redis, stream, ids[0], ids[-1])
                done = [entry_id for entry_id in ids if entry_id not in held]
                if done:
                    cleared += int(await redis.xdel(stream, *done))
        kept = int(await redis.xlen(stream))
    return Cleared(stream, cleared, kept)


async def _group(redis: Redis, stream: str) -> dict[str, Any] | None:
    try:
        groups: Any = await redis.xinfo_groups(stream)
    except ResponseError:  # no such key
        return None
    return next((group for group in groups if text(group["name"]) == GROUP), None)


async def _pages(redis: Redis, stream: str, last: str) -> AsyncIterator[list[str]]:
    """The ids from the first entry to `last`."""
    start = "-"
    while True:
        rows: Any = await redis.xrange(stream, min=start, max=last, count=PAGE)
        if not rows:
            return
        ids = [text(entry_id) for entry_id, _ in rows]
        yield ids
        start = f"({ids[-1]}"


async def _pending(redis: Redis, stream: str, first: str, last: str) -> set[str]:
    """Which ids of a page are pending; a page holds at most PAGE entries, deleted ones may be pending beside them."""
    held: set[str] = set()
    start = first
    while True:
        rows: Any = await redis.xpending_range(stream, GROUP, min=start, max=last, count=PAGE)
        held |= {text(row["message_id"]) for row in rows}
        if len(rows) < PAGE:
            return held
        start = f"({text(rows[-1]['message_id'])}"
