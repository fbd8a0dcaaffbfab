"""Bounded concurrent work in order per key: one lane per key, at most so many lanes moving at once."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

Work = TypeVar("Work")

_ABANDON_S = 2.0
_COUNTED_PER_KEY = 8
_STILL_BUSY_S = 1.0


class Lanes(Generic[Work]):
    """Work of one key waits for the work before it; work of other keys does not.

    `crowd` is what is here, of each key only its first few: a long lane is no reason to keep the others out.
    """

    def __init__(
        self,
        step: Callable[[Work], Awaitable[None]],
        concurrency: int,
        places: AbstractAsyncContextManager[None] | None = None,
    ) -> None:
        self._step = step
        self.crowd = 0
        self._places: AbstractAsyncContextManager[None] = places or asyncio.Semaphore(concurrency)
        self._ended_at = float("-inf")
        self._lanes: dict[Hashable, deque[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: Hashable, work: Work) -> None:
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(work)
            self.crowd += len(lane) <= _COUNTED_PER_KEY
            return
        self._lanes[key] = deque([work])
        self.crowd += 1
        task = asyncio.create_task(self._drive(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def is_busy(self) -> bool:
        """With work, or a moment ago."""
        return bool(self._lanes) or time.monotonic() - self._ended_at < _STILL_BUSY_S

    async def drained(self, timeout_s: float) -> bool:
        """Waits until all lanes are empty; False when some were still moving at the deadline."""
        if not self._tasks:
            return True
        _, moving = await asyncio.wait(set(self._tasks), timeout=timeout_s)
        return not moving

    async def abandon(self) -> None:
        """Cancels what still moves: its records stay uncommitted and come again. A step that will not end is left behind."""
        moving = set(self._tasks)
        for task in moving:
            task.cancel()
        if moving:
            await asyncio.wait(moving, timeout=_ABANDON_S)
        self._lanes.clear()
        self.crowd = 0

    async def _drive(self, key: Hashable) -> None:
        lane = self._lanes[key]
        while lane:
            async with self._places:
                await self._step(lane[0])
            if self._lanes.get(key) is not lane:
                return  # abandoned, and this step would not end then
            self.crowd -= len(lane) <= _COUNTED_PER_KEY
            lane.popleft()
        # without an await since the last look, nothing can have been added in between
        del self._lanes[key]
        self._ended_at = time.monotonic()
