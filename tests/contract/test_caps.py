# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Caps count each notification once, whoever counts at the same time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from schemas.caps import Cap
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOURLY = (Cap(max=3, window=timedelta(hours=1)),)
Unique = Callable[[str], str]


async def test_so_many_in_a_window_and_then_again_when_it_has_moved_on(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")

    async def counts(name: str, minutes: int) -> bool:
        return await shelves.caps.count("dev", person, "nudge", HOURLY, name, NOON + timedelta(minutes=minutes))

    assert [await counts(f"n{n}", n) for n in range(4)] == [True, True, True, False]
    assert await counts("n1", 5), "what was counted stays counted, and is not counted again"
    assert not await counts("n4", 59)
    assert await counts("n4", 60), "the first one has left the window"
    assert await shelves.caps.count("dev", person, "other", HOURLY, "n9", NOON)


async def test_of_many_who_count_at_once_only_so_many_may(racing_shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    allowed = await asyncio.gather(
        *(racing_shelves.caps.count("dev", person, "nudge", HOURLY, f"n{n}", NOON) for n in range(10))
    )
    assert sum(allowed) == 3
