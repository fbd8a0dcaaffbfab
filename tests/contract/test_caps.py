# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Caps count each notification once, whoever counts at the same time, and in all scopes or in none."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from schemas.caps import Cap, Full, Scope, scopes
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURLY = (Cap(max=3, window=HOUR),)
NUDGES = scopes("nudge", HOURLY, ())
Unique = Callable[[str], str]


async def test_so_many_in_a_window_and_then_again_when_it_has_moved_on(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")

    async def counts(name: str, minutes: int, among: tuple[Scope, ...] = NUDGES) -> Full | None:
        return await shelves.caps.count("dev", person, among, name, NOON + minutes * MINUTE)

    assert [await counts(f"n{n}", n) for n in range(3)] == [None] * 3
    assert await counts("n3", 3) == Full("nudge", HOURLY[0], NOON + HOUR)
    assert await counts("n1", 5) is None, "what was counted stays counted, and is not counted again"
    assert await counts("n4", 59) is not None
    assert await counts("n4", 60) is None, "the first one has left the window"
    assert await counts("n9", 60, scopes("other", HOURLY, ())) is None


async def test_of_many_who_count_at_once_only_so_many_may(racing_shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    full = await asyncio.gather(*(racing_shelves.caps.count("dev", person, NUDGES, f"n{n}", NOON) for n in range(10)))
    assert full.count(None) == 3


async def test_across_types_what_one_scope_refuses_no_scope_counts(shelves: Shelves, unique: Unique) -> None:
    person, daily = unique("ana"), Cap(max=2, window=timedelta(days=1), over="hold")
    nudge, offer = (scopes(kind, HOURLY, (daily,)) for kind in ("nudge", "offer"))
    assert await shelves.caps.count("dev", person, nudge, "n1", NOON) is None
    assert await shelves.caps.count("dev", person, offer, "n2", NOON + MINUTE) is None
    over = await shelves.caps.count("dev", person, nudge, "n3", NOON + 2 * MINUTE)
    assert over == Full("person", daily, NOON + timedelta(days=1))
    assert over.reason == "capped:person:2/1d"
    for name in ("n4", "n5"):  # of its own type's three, one is counted
        assert await shelves.caps.count("dev", person, NUDGES, name, NOON + 3 * MINUTE) is None


async def test_of_many_types_at_once_a_person_gets_so_many(racing_shelves: Shelves, unique: Unique) -> None:
    person, two = unique("ana"), (Cap(max=2, window=HOUR),)
    counts = (racing_shelves.caps.count("dev", person, scopes(f"type{n}", HOURLY, two), f"n{n}", NOON) for n in range(6))
    assert (await asyncio.gather(*counts)).count(None) == 2
