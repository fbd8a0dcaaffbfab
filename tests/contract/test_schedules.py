"""What the stores promise about what was sent for later: the fakes, AWS's DynamoDB Local, and moto."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infrastructure.dynamo.schedules import Entry, of_person, of_producer
from schemas.base import iso
from schemas.plan import Notification
from schemas.rescheduling import Rescheduling
from schemas.timers import Timer
from tests.contract.conftest import Shelves
from tests.contract.test_stores import a_notification
from tests.contract.test_troubled import Unique

NOON = datetime(2036, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_wish(hours: int, change: str = "c-1") -> Rescheduling:
    return Rescheduling(change_id=change, send_at=NOON + hours * HOUR)


async def test_entries_are_listed_by_owner_in_the_order_of_time(shelves: Shelves, unique: Unique) -> None:
    shop, ana = of_producer(unique("shop")), of_person(unique("ana"))
    entries = [Entry(unique("ntf"), NOON + hours * HOUR) for hours in (3, 1, 2)]
    for entry in entries:
        await shelves.schedules.put("dev", (shop, ana, shop), entry)
        await shelves.schedules.put("dev", (shop,), entry)
    third, first, second = entries
    start = iso(NOON)
    assert await shelves.schedules.page("dev", shop, after=start, limit=2) == [first, second]
    assert await shelves.schedules.page("dev", shop, after=second.place, limit=2) == [third]
    await shelves.schedules.remove("dev", (ana,), second)
    assert await shelves.schedules.page("dev", ana, after=start, limit=9) == [first, third]
    assert await shelves.schedules.page("dev", ana, after=iso(NOON + 2 * HOUR), limit=9) == [third]


async def test_a_new_time_is_in_force_whenever_the_row_is_read(shelves: Shelves, unique: Unique) -> None:
    planned = a_notification(unique("ntf"))
    await shelves.notifications.put_if_absent(planned)
    moved = await shelves.notifications.reschedule("dev", planned.notification_id, a_wish(1), NOON)
    assert isinstance(moved, Notification)
    assert (moved.request.send_at, moved.wish) == (NOON + HOUR, a_wish(1).change_id)
    found = await shelves.notifications.get("dev", planned.notification_id)
    assert found == moved


async def test_it_may_come_before_the_plan(shelves: Shelves, unique: Unique) -> None:
    planned = a_notification(unique("ntf"))
    assert await shelves.notifications.moved_to("dev", planned.notification_id) is None
    assert await shelves.notifications.reschedule("dev", planned.notification_id, a_wish(1), NOON) is None
    assert await shelves.notifications.moved_to("dev", planned.notification_id) == NOON + HOUR
    row = await shelves.notifications.put_if_absent(planned)
    assert row.request.send_at == NOON + HOUR


async def test_a_time_on_the_wall_stays_one(shelves: Shelves, unique: Unique) -> None:
    name, wall = unique("ntf"), datetime.fromisoformat("2036-12-01T09:00")
    await shelves.notifications.reschedule("dev", name, Rescheduling(change_id="c", send_at=wall), NOON)
    assert await shelves.notifications.moved_to("dev", name) == wall


async def test_the_latest_wish_counts_and_a_cancelled_one_has_none(shelves: Shelves, unique: Unique) -> None:
    name = unique("ntf")

    async def wishes(hours: int, at: datetime) -> Any:
        return await shelves.notifications.reschedule("dev", name, a_wish(hours), at)

    assert await wishes(1, NOON + HOUR) is None
    assert await wishes(2, NOON) == "newer"
    assert await wishes(1, NOON + HOUR) is None, "the same again"
    assert await shelves.notifications.moved_to("dev", name) == NOON + HOUR
    await shelves.notifications.cancel("dev", name, NOON)
    assert await wishes(3, NOON + 2 * HOUR) == "cancelled"


async def test_what_came_of_it_can_be_looked_up(shelves: Shelves, unique: Unique) -> None:
    name = unique("ntf")
    assert await shelves.notifications.rescheduling("dev", name) is None
    done = a_wish(1).model_copy(update={"deliveries": ()})
    await shelves.notifications.note_rescheduled("dev", name, done)
    assert await shelves.notifications.rescheduling("dev", name) == done


async def test_a_timer_is_found_by_its_name_and_time_until_it_is_deleted(shelves: Shelves, unique: Unique) -> None:
    timer = Timer(environment="dev", timer_id=unique("t"), due_at=NOON, topic="t", key="k", value="{}", headers={"a": "b"})
    await shelves.timers.put(timer)
    assert await shelves.timers.get("dev", timer.timer_id, NOON) == timer
    assert await shelves.timers.get("dev", timer.timer_id, NOON + HOUR) is None
    await shelves.timers.delete(timer)
    assert await shelves.timers.get("dev", timer.timer_id, NOON) is None
