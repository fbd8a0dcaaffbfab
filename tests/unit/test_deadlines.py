"""A deadline holds, whatever the call does with its cancellation."""

import asyncio

import pytest

from infrastructure.kafka.consuming.deadlines import within


async def test_what_ends_in_time_gives_its_answer() -> None:
    async def answer() -> int:
        return 7

    assert await within(1, answer()) == 7


async def test_what_fails_in_time_raises_its_own_error() -> None:
    async def fail() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await within(1, fail())


async def test_what_does_not_let_itself_be_cancelled_is_left_behind() -> None:
    released = asyncio.Event()
    ended = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await released.wait()
            ended.set()

    with pytest.raises(TimeoutError, match=r"no end after 0\.01 s"):
        await within(0.01, stubborn())
    assert not ended.is_set()
    released.set()
    await asyncio.wait_for(ended.wait(), 1)


async def test_who_gives_up_waiting_ends_the_call() -> None:
    cancelled = asyncio.Event()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(within(10, call()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait_for(cancelled.wait(), 1)
    assert (await asyncio.gather(waiting, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_call_that_cancels_itself_does_not_cancel_us() -> None:
    async def cancelled_from_within() -> None:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    with pytest.raises(TimeoutError, match="from within"):
        await within(1, cancelled_from_within())
