"""Work of an operator on many things: so many a second, one after the other, and it can be stopped between any two."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

Item = TypeVar("Item")

DEFAULT_PER_S = 50.0


async def paced(items: AsyncIterator[Item], per_s: float) -> AsyncGenerator[Item, None]:
    """The same items, never faster than `per_s` since the first one."""
    began, given = time.monotonic(), 0
    async for item in items:
        await asyncio.sleep(max(0.0, began + given / per_s - time.monotonic()))
        yield item
        given += 1
