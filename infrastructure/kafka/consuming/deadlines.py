"""Deadlines that hold even against a call that does not let itself be cancelled (aio-libs/aiokafka#773)."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_left_behind: set[asyncio.Task[Any]] = set()


async def within(seconds: float, call: Coroutine[Any, Any, Answer]) -> Answer:
    """`asyncio.wait_for` waits until the cancelled call has ended, for ever if need be; this does not."""
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _leave_behind(task)
        raise
    if not done:
        _leave_behind(task)
        raise TimeoutError(f"no end after {seconds:g} s")
    return task.result()


def _leave_behind(task: asyncio.Task[Any]) -> None:
    _left_behind.add(task)  # the loop itself keeps only weak references
    task.add_done_callback(_look_at)
    task.cancel()


def _look_at(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain about it later
