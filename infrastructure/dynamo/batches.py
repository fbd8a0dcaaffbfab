"""Reads and unconditional writes that meet in the same moment travel in one call: nine times less CPU per item.

A batch leaves at once while few are under way, so an idle system waits for nothing; under load they fill themselves. Urgent
work has batches of its own, so it waits for no place behind a flood and shares no fate with it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infrastructure.metrics import STORE_ITEMS
from infrastructure.urgency import is_urgent, reserved
from schemas.outcomes import Unavailable

Wire = dict[str, Any]
Call = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

_MOST_READ, _MOST_WRITTEN = 100, 25  # DynamoDB's own limits per call
_UNDER_WAY = 11
_TRIES = 8


def _identity(item: Wire, key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(next(iter(item[name].values())) for name in key)


@dataclass
class _Waiting:
    table: str
    item: Wire
    key: tuple[str, ...]
    verb: Literal["Get", "Put", "Delete"]
    done: "asyncio.Future[Wire | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.table, *_identity(self.item, self.key))


Send = Callable[[list[_Waiting]], Awaitable[None]]


class _Lane:
    """Collects what waits and sends it in batches, at most a few under way."""

    def __init__(self, most: int, send: Send, *, shared: bool, under_way: int) -> None:
        self._most = most
        self._send = send
        self._shared = shared
        self._under_way = under_way
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def add(self, wanted: _Waiting) -> Wire | None:
        self._waiting.append(wanted)
        self._schedule()
        return await wanted.done

    def _schedule(self) -> None:
        if not self._scheduled and len(self._tasks) < self._under_way:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._tasks) < self._under_way:
            task = asyncio.create_task(self._carry(self._take()))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _take(self) -> list[_Waiting]:
        """The next batch. A call may not name one row twice: a second write waits for the next one, readers share."""
        rows: set[tuple[str, ...]] = set()
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        for wanted in self._waiting:
            known = wanted.identity in rows
            if (known and self._shared) or (not known and len(rows) < self._most):
                rows.add(wanted.identity)
                batch.append(wanted)
            else:
                left.append(wanted)
        self._waiting = left
        return batch

    async def _carry(self, batch: list[_Waiting]) -> None:
        try:
            await self._send(batch)
        except Unavailable as error:
            _fail(batch, error)
        except Exception as error:  # pylint: disable=broad-exception-caught  # each waiting caller raises it
            if len(batch) == 1:
                _fail(batch, error)
                return
            for wanted in batch:  # one bad item must not fail its neighbours
                await self._carry([wanted])

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._schedule()


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for wanted in batch:
        if not wanted.done.done():
            wanted.done.set_exception(error)


class _Lanes:
    """One for urgent work and one for the rest. A lane's batches run in the context of those who wait for them."""

    def __init__(self, most: int, send: Send, *, shared: bool) -> None:
        self._urgent = _Lane(most, send, shared=shared, under_way=reserved(_UNDER_WAY))
        self._other = _Lane(most, send, shared=shared, under_way=_UNDER_WAY - reserved(_UNDER_WAY))

    async def add(self, wanted: _Waiting) -> Wire | None:
        return await (self._urgent if is_urgent() else self._other).add(wanted)


class Batches:
    """The read lanes and the write lanes of one client."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._reads = _Lanes(_MOST_READ, self._read, shared=True)  # an audience's deliveries all read one row
        self._writes = _Lanes(_MOST_WRITTEN, self._write, shared=False)

    async def get(self, table: str, key: Wire) -> Wire | None:
        return await self._reads.add(_Waiting(table, key, tuple(key), "Get"))

    async def put(self, table: str, item: Wire, key: tuple[str, ...]) -> None:
        await self._writes.add(_Waiting(table, item, key, "Put"))

    async def delete(self, table: str, key: Wire) -> None:
        await self._writes.add(_Waiting(table, key, tuple(key), "Delete"))

    async def _read(self, batch: list[_Waiting]) -> None:
        STORE_ITEMS.labels("BatchGetItem").inc(len(batch))
        asked: dict[str, Any] = {}
        for wanted in {each.identity: each for each in batch}.values():
            asked.setdefault(wanted.table, {"Keys": [], "ConsistentRead": True})["Keys"].append(wanted.item)
        names = {wanted.table: wanted.key for wanted in batch}
        found: dict[tuple[str, ...], Wire] = {}
        for wait in _waits():
            answer = await self._call("BatchGetItem", {"RequestItems": asked})
            for table, items in answer["Responses"].items():
                found |= {(table, *_identity(item, names[table])): item for item in items}
            if not (asked := answer.get("UnprocessedKeys") or {}):
                break
            await asyncio.sleep(wait)
        else:
            raise Unavailable("DynamoDB BatchGetItem: keys left unprocessed")
        for wanted in batch:
            if not wanted.done.done():
                wanted.done.set_result(found.get(wanted.identity))

    async def _write(self, batch: list[_Waiting]) -> None:
        STORE_ITEMS.labels("BatchWriteItem").inc(len(batch))
        asked: dict[str, Any] = {}
        for wanted in batch:
            what = "Item" if wanted.verb == "Put" else "Key"
            asked.setdefault(wanted.table, []).append({f"{wanted.verb}Request": {what: wanted.item}})
        for wait in _waits():
            answer = await self._call("BatchWriteItem", {"RequestItems": asked})
            if not (asked := answer.get("UnprocessedItems") or {}):
                break
            await asyncio.sleep(wait)
        else:
            raise Unavailable("DynamoDB BatchWriteItem: items left unprocessed")
        for wanted in batch:
            if not wanted.done.done():
                wanted.done.set_result(None)


def _waits() -> list[float]:
    """Full jitter, doubling from 50 ms to 2 s."""
    return [random.uniform(0, min(2.0, 0.05 * 2**attempt)) for attempt in range(_TRIES)]  # noqa: S311
