# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""What a person puts away or throws away, on the fake and on the real stores."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from infrastructure.dynamo.inbox import cursor_of
from schemas.live import InboxItem
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
Unique = Callable[[str], str]


def an_item(person: str, number: int) -> InboxItem:
    stored_at = NOON + timedelta(seconds=number)
    name = f"dlv_{number}"
    cursor = cursor_of(stored_at, name)
    return InboxItem(person=person, id=name, notification_id="ntf_1", cursor=cursor, message="Hi", created_at=stored_at)


async def an_inbox(shelves: Shelves, person: str, items: int = 5) -> None:
    for number in range(items):
        await shelves.inbox.put_if_absent("dev", an_item(person, number))


async def listed(shelves: Shelves, person: str) -> list[str]:
    return [item.id for item in await shelves.inbox.newest("dev", person, before=None, limit=9)]


async def test_what_is_archived_is_in_no_list_but_its_own(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person)
    for name in ("dlv_1", "dlv_3"):
        assert await shelves.inbox.archive("dev", person, name, NOON)
    assert await listed(shelves, person) == ["dlv_4", "dlv_2", "dlv_0"]
    assert await shelves.inbox.unread_ids("dev", person, 9) == ["dlv_0", "dlv_2", "dlv_4"]
    since = await shelves.inbox.since("dev", person, after=an_item(person, 0).cursor, limit=9)
    assert [item.id for item in since] == ["dlv_2", "dlv_4"], "a socket's look back, too, is without them"
    first, second = await shelves.inbox.archived("dev", person, before=None, limit=9)
    assert (first.id, second.id) == ("dlv_3", "dlv_1")
    assert (first.archived_at, first.seen_at, first.read_at) == (NOON, NOON, None)


async def test_what_is_archived_has_pages_of_its_own(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person)
    for number in range(4):
        await shelves.inbox.archive("dev", person, f"dlv_{number}", NOON)
    found, before = [], None
    for _ in range(4):
        [item] = await shelves.inbox.archived("dev", person, before=before, limit=1)
        before = item.cursor
        found.append(item.id)
    assert found == ["dlv_3", "dlv_2", "dlv_1", "dlv_0"]
    assert await shelves.inbox.archived("dev", person, before=before, limit=1) == []


async def test_what_comes_back_is_where_it_was_and_unread_if_it_was(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person, 3)
    await shelves.inbox.mark_read("dev", person, "dlv_1", NOON)
    for name in ("dlv_0", "dlv_1"):
        assert await shelves.inbox.archive("dev", person, name, NOON)
        assert await shelves.inbox.archive("dev", person, name, LATER)
    [first, _] = await shelves.inbox.archived("dev", person, before=None, limit=9)
    assert first.archived_at == NOON, "the first time stays"
    for name in ("dlv_0", "dlv_1"):
        for _ in range(2):
            assert await shelves.inbox.unarchive("dev", person, name)
    assert await listed(shelves, person) == ["dlv_2", "dlv_1", "dlv_0"]
    assert await shelves.inbox.unread_ids("dev", person, 9) == ["dlv_0", "dlv_2"]
    assert await shelves.inbox.archived("dev", person, before=None, limit=9) == []


async def test_an_item_read_in_the_archive_is_not_unread_outside(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person, 1)
    await shelves.inbox.archive("dev", person, "dlv_0", NOON)
    assert await shelves.inbox.mark_read("dev", person, "dlv_0", LATER)
    await shelves.inbox.unarchive("dev", person, "dlv_0")
    assert await shelves.inbox.unread("dev", person) == 0


async def test_reading_and_coming_back_at_once_leave_no_read_item_counted(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person, 20)
    names = [f"dlv_{number}" for number in range(20)]
    await asyncio.gather(*(shelves.inbox.archive("dev", person, name, NOON) for name in names))
    back = [shelves.inbox.unarchive("dev", person, name) for name in names]
    read = [shelves.inbox.mark_read("dev", person, name, LATER) for name in names]
    assert all(await asyncio.gather(*back, *read))
    assert await shelves.inbox.unread("dev", person) == 0
    assert len(await shelves.inbox.newest("dev", person, before=None, limit=50)) == 20


async def test_what_was_deleted_is_gone_and_its_delivery_stays_made(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await an_inbox(shelves, person, 2)
    await shelves.inbox.archive("dev", person, "dlv_0", NOON)
    for name in ("dlv_0", "dlv_1"):
        for _ in range(2):
            assert await shelves.inbox.delete("dev", person, name, NOON)
    assert await listed(shelves, person) == []
    assert await shelves.inbox.archived("dev", person, before=None, limit=9) == []
    assert await shelves.inbox.unread("dev", person) == 0
    # a worker that died before it said so says it now; the item does not come back for it
    assert await shelves.inbox.put_if_absent("dev", an_item(person, 1)) == "stored"
    assert await shelves.inbox.standing("dev", person, "dlv_1") == "stored"
    assert await listed(shelves, person) == []
    assert await shelves.inbox.answer("dev", person, "dlv_1") == "seen", "whoever throws it away has seen it"
    assert await shelves.inbox.withdraw("dev", person, "dlv_1", LATER) == "deleted", "nothing is left to be recalled"
    assert not await shelves.inbox.supersede("dev", person, "dlv_1", LATER)


async def test_what_is_not_there_can_be_neither_put_nor_thrown_away(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await shelves.inbox.withdraw("dev", person, "dlv_1", NOON)
    for name in ("dlv_1", "dlv_9"):
        assert not await shelves.inbox.archive("dev", person, name, NOON)
        assert not await shelves.inbox.unarchive("dev", person, name)
        assert not await shelves.inbox.delete("dev", person, name, NOON)
    assert await shelves.inbox.put_if_absent("dev", an_item(person, 1)) == "withdrawn"
    assert await shelves.inbox.put_if_absent("dev", an_item(person, 9)) == "stored"
