"""Waiting for what another process does: polled, bounded, and never longer than it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

LOOK_EVERY_S = 0.05


async def eventually(look: Callable[[], Awaitable[Found | None]], *, within_s: float = 20) -> Found:
    """The first truthy answer; the last falsy one is shown when none comes in time."""
    found: Found | None = None
    try:
        async with asyncio.timeout(within_s):
            while not (found := await look()):
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s; last seen: {found!r}") from None
    assert found is not None  # the loop has ended
    return found
