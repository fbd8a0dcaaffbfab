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
    if task.cancelled():  # not by us: aiokafka awaits tasks of its own that it has cancelled, and lets that through
        raise TimeoutError("the call was cancelled from within")
    return task.result()


def look_at(task: asyncio.Task[Any]) -> None:
    """As a done callback: how the task ended is no longer anybody's business, and asyncio need not complain about it."""
    if not task.cancelled():
        task.exception()


def _leave_behind(task: asyncio.Task[Any]) -> None:
    _left_behind.add(task)  # the loop itself keeps only weak references
    task.add_done_callback(_left_behind.discard)
    task.add_done_callback(look_at)
    task.cancel()
