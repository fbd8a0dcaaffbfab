"""What operators did with records in quarantine is kept once: the fake, AWS's DynamoDB Local, and moto."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from schemas.quarantined import Mark
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_mark(position: str, **fields: Any) -> Mark:
    return Mark.model_validate({"position": position, "kind": "replayed", "by": "olga", "at": NOON} | fields)


async def test_a_mark_is_found_by_its_place(shelves: Shelves, unique: Unique) -> None:
    position = unique("q/0/1")
    mark = a_mark(position, to="requests/0/7")
    assert await shelves.marks.put("dev", mark) == mark
    assert await shelves.marks.get("dev", (position, unique("q/0/2"))) == {position: mark}
    assert await shelves.marks.get("dev", ()) == {}


async def test_the_first_final_mark_stays_unless_somebody_insists(shelves: Shelves, unique: Unique) -> None:
    position = unique("q/0/1")
    first = a_mark(position, to="requests/0/7")
    await shelves.marks.put("dev", first)
    for later in (a_mark(position, by="ben"), a_mark(position, by="ben", kind="discarded")):
        assert await shelves.marks.put("dev", later) == first
    insisted = a_mark(position, by="ben")
    assert await shelves.marks.put("dev", insisted, again=True) == insisted


async def test_what_was_discarded_stays_discarded(shelves: Shelves, unique: Unique) -> None:
    position = unique("q/0/1")
    discarded = a_mark(position, kind="discarded")
    await shelves.marks.put("dev", discarded)
    assert await shelves.marks.put("dev", a_mark(position, by="ben")) == discarded


async def test_a_replay_that_died_before_its_end_may_be_begun_anew(shelves: Shelves, unique: Unique) -> None:
    position = unique("q/0/1")
    await shelves.marks.put("dev", a_mark(position))
    over = a_mark(position, by="ben", to="requests/0/7")
    assert await shelves.marks.put("dev", over) == over


async def test_of_two_who_discard_at_once_one_does(racing_shelves: Shelves, unique: Unique) -> None:
    position = unique("q/0/1")
    marks = [a_mark(position, kind="discarded", by=by) for by in ("olga", "ben")]
    found = await asyncio.gather(*(racing_shelves.marks.put("dev", mark) for mark in marks))
    assert found[0] == found[1]
