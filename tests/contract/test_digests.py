# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""An event is in exactly one window, whoever joins, leaves and closes at once: the fake, DynamoDB Local, moto."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from schemas.deliveries import Delivery, DeliveryRecord, row_of
from schemas.digest_terms import Terms
from schemas.digests import Gathered, Series, Window, digested_row, expired_row
from schemas.ids import window_id
from schemas.plan import PlannedDelivery
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Unique = Callable[[str], str]


def a_window(person: str, opened_at: datetime = NOON, *, before: datetime | None = None) -> Window:
    series = Series(
        environment="dev",
        producer="kafka",
        recipient=person,
        channel="in_app",
        endpoint="",
        type="post.commented",
        category="social",
    )
    return Window(
        window_id=window_id(series.id, opened_at.isoformat()),
        series=series,
        terms=Terms(window=15 * MINUTE, mode="sliding", max=timedelta(hours=1)),
        line=PlannedDelivery(delivery_id="dlv_first", recipient=person, channel="in_app"),
        type="post.commented@1",
        priority="normal",
        opened_at=opened_at,
        before=before,
    )


def an_event(person: str, number: int) -> Gathered:
    return Gathered(
        notification_id=f"ntf_{person}_{number}",
        delivery_id=f"dlv_{person}_{number}",
        accepted_at=NOON + number * MINUTE,
        title=f"Title {number}",
    )


def a_row(window: Window, event: Gathered, now: datetime = NOON) -> Delivery:
    record = DeliveryRecord(
        environment="dev",
        notification_id=event.notification_id,
        delivery_id=event.delivery_id,
        recipient=window.series.recipient,
        channel="in_app",
    )
    return digested_row(record, window, event, now, "t/0/1")


async def joins(shelves: Shelves, window: Window, *numbers: int, now: datetime = NOON) -> list[bool]:
    """One after the other: moto's transactions do not keep apart what comes at once; races have `racing_shelves`."""
    events = [an_event(window.series.recipient, number) for number in numbers]
    return [await shelves.digests.join(window, one, a_row(window, one, now), now) for one in events]


async def joins_at_last(shelves: Shelves, window: Window, number: int) -> bool:
    """As its step does it: again as long as only others were in the way."""
    event = an_event(window.series.recipient, number)
    while not await shelves.digests.join(window, event, a_row(window, event), NOON):
        if await shelves.digests.is_closed("dev", window.window_id, event.delivery_id):
            return False
        await asyncio.sleep(0.005)
    return True


async def inside(shelves: Shelves, window: Window, size: int = 200) -> list[str]:
    return [event.title async for page in shelves.digests.pages(window, size) for event in page]


async def leaves(shelves: Shelves, window: Window, number: int) -> bool:
    event = an_event(window.series.recipient, number)
    found = await shelves.deliveries.get("dev", event.notification_id, event.delivery_id)
    assert found is not None
    changes = {"state": "CANCELLED", "reason": "cancelled", "next_at": None, "version": found.version + 1}
    row = found.model_copy(update=changes).with_step("t/0/2")
    return await shelves.digests.leave("dev", window.window_id, event.order, row, found.version)


async def test_the_first_of_a_series_is_opened_once(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    assert await shelves.digests.current(window.series) is None
    assert await shelves.digests.open(window, None)
    assert not await shelves.digests.open(window, None)
    assert await shelves.digests.current(window.series) == window
    found = await shelves.digests.find("dev", window.window_id)
    assert found == window
    assert await shelves.digests.find("test", window.window_id) is None


async def test_the_next_one_follows_only_the_one_it_was_made_after(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    first, second, third = (a_window(person, NOON + n * MINUTE) for n in range(3))
    await shelves.digests.open(first, None)
    assert await shelves.digests.open(second, first)
    assert not await shelves.digests.open(third, first)
    assert await shelves.digests.current(first.series) == second
    assert await shelves.digests.find("dev", third.window_id) is None


async def test_an_event_and_its_row_are_written_together_once(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    assert await joins(shelves, window, 1, now=NOON + MINUTE) == [True]
    assert await joins(shelves, window, 1) == [False]
    event = an_event(window.series.recipient, 1)
    row = await shelves.deliveries.get("dev", event.notification_id, event.delivery_id)
    assert row == a_row(window, event, NOON + MINUTE)
    assert await inside(shelves, window) == ["Title 1"]
    found = await shelves.digests.find("dev", window.window_id)
    assert found is not None
    assert (found.last_at, found.closes_at) == (NOON + MINUTE, NOON + 16 * MINUTE)


async def test_a_delivery_that_has_a_row_joins_nothing(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    first, second = a_window(person), a_window(person, NOON + MINUTE)
    await shelves.digests.open(first, None)
    await joins(shelves, first, 1)
    await shelves.digests.open(second, first)
    assert await joins(shelves, second, 1) == [False]
    assert await inside(shelves, second) == []


async def test_closed_is_closed_and_the_first_closing_counts(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    await joins(shelves, window, *range(6))
    closed = await shelves.digests.close(window, NOON + 20 * MINUTE)
    again = await shelves.digests.close(window, NOON + 30 * MINUTE)
    assert closed.closed_at == again.closed_at == NOON + 20 * MINUTE
    assert await joins(shelves, window, *range(6, 12)) == [False] * 6
    assert all([await shelves.digests.is_closed("dev", window.window_id, f"dlv_{n}") for n in range(20)])
    assert not await leaves(shelves, window, 1)
    assert len(await inside(shelves, window)) == 6


async def test_events_come_page_by_page_the_newest_first(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    for number in range(7):
        assert await joins_at_last(shelves, window, number)
    pages = [len(page) async for page in shelves.digests.pages(window, 3)]
    assert pages == [3, 3, 1]
    assert await inside(shelves, window, 3) == [f"Title {number}" for number in reversed(range(7))]
    assert await inside(shelves, window, 7) == await inside(shelves, window)


async def test_who_leaves_an_open_window_is_out_and_cannot_come_back(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    await joins(shelves, window, 1)
    await joins(shelves, window, 2)
    assert await leaves(shelves, window, 1)
    assert not await leaves(shelves, window, 1)
    assert await joins(shelves, window, 1) == [False]
    assert await inside(shelves, window) == ["Title 2"]
    row = await shelves.deliveries.get("dev", *_ids(window, 1))
    assert row is not None
    assert (row.state, row.version, [step.event for step in row.history]) == ("CANCELLED", 2, ["digested", "cancelled"])


async def test_a_cancellation_that_came_first_keeps_its_event_out(shelves: Shelves, unique: Unique) -> None:
    window, event = a_window(unique("ana")), an_event("x", 1)
    await shelves.digests.open(window, None)
    event = an_event(window.series.recipient, 1)
    ids = a_row(window, event).model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    await shelves.deliveries.cancel(DeliveryRecord.model_validate(ids), NOON, "t/0/0")
    assert await joins(shelves, window, 1) == [False]
    found = await shelves.deliveries.cancel(DeliveryRecord.model_validate(ids), NOON, "t/0/0")
    assert found.state == "CANCELLED"


async def test_a_gathered_delivery_is_not_cancelled_behind_its_windows_back(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    await joins(shelves, window, 1)
    event = an_event(window.series.recipient, 1)
    ids = a_row(window, event).model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    assert (await shelves.deliveries.cancel(DeliveryRecord.model_validate(ids), NOON, "t/0/0")).state == "DIGESTED"


async def test_what_nobody_opened_in_time_is_ruled_out(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    assert await shelves.digests.rule_out("dev", window.window_id, NOON)
    assert await shelves.digests.rule_out("dev", window.window_id, NOON)
    assert not await shelves.digests.open(window, None)
    assert await shelves.digests.current(window.series) is None
    assert await shelves.digests.find("dev", window.window_id) is None
    other = a_window(window.series.recipient, NOON + MINUTE)
    assert await shelves.digests.open(other, None)
    assert not await shelves.digests.rule_out("dev", other.window_id, NOON)


async def test_an_event_expires_in_its_row_unless_that_has_moved(shelves: Shelves, unique: Unique) -> None:
    window = a_window(unique("ana"))
    await shelves.digests.open(window, None)
    await joins(shelves, window, 1)
    event = an_event(window.series.recipient, 1)
    row = expired_row(window, event, NOON + 20 * MINUTE, "t/0/3")
    expired = await shelves.digests.expire(row)
    assert (expired.state, expired.version, expired.next_at) == ("EXPIRED", 2, None)
    assert await shelves.digests.expire(row) == expired
    assert [step.event for step in expired.history] == ["digested", "expired"]


async def test_of_many_who_open_at_once_one_does(racing_shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    windows = [a_window(person, NOON + timedelta(milliseconds=n)) for n in range(10)]
    opened = await asyncio.gather(*(racing_shelves.digests.open(window, None) for window in windows))
    assert sum(opened) == 1
    assert await racing_shelves.digests.current(windows[0].series) == windows[opened.index(True)]


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.06])
async def test_what_joined_before_the_end_is_inside_and_nothing_else(
    racing_shelves: Shelves, unique: Unique, delay_s: float
) -> None:
    window = a_window(unique("ana"))
    await racing_shelves.digests.open(window, None)

    async def joins_in_its_time(number: int) -> bool:
        await asyncio.sleep(number * 0.003)
        return await joins_at_last(racing_shelves, window, number)

    events = [asyncio.create_task(joins_in_its_time(number)) for number in range(40)]
    await asyncio.sleep(delay_s)
    closed = await racing_shelves.digests.close(window, NOON + 20 * MINUTE)
    frozen = await inside(racing_shelves, closed)
    joined = await asyncio.gather(*events)
    assert sorted(frozen) == sorted(f"Title {number}" for number, did in enumerate(joined) if did)
    assert await inside(racing_shelves, closed) == frozen
    rows = [await racing_shelves.deliveries.get("dev", *_ids(window, number)) for number in range(40)]
    assert [row is not None for row in rows] == joined


def _ids(window: Window, number: int) -> tuple[str, str]:
    event = an_event(window.series.recipient, number)
    return event.notification_id, event.delivery_id


async def test_one_that_rested_until_its_time_joins_from_just_that_rest(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    window, event = a_window(person), an_event(person, 1)
    await shelves.digests.open(window, None)
    carried = DeliveryRecord(
        environment="dev",
        notification_id=event.notification_id,
        delivery_id=event.delivery_id,
        recipient=person,
        channel="in_app",
        turn=1,
        gathers=window.terms,
    )
    waits = row_of(carried, NOON, state="RETRY", turn=1, reason="scheduled", next_at=NOON + MINUTE).with_step("t/0/1")
    rested = await shelves.deliveries.rest(waits)
    assert rested.gathers == window.terms
    assert not await shelves.digests.join(window, event, digested_row(carried, window, event, NOON, "t/0/2"), NOON)
    row = digested_row(carried, window, event, NOON, "t/0/2", rested)
    assert await shelves.digests.join(window, event, row, NOON)
    found = await shelves.deliveries.get("dev", event.notification_id, event.delivery_id)
    assert found == row
    assert [step.event for step in row.history] == ["held", "digested"]
    assert await shelves.deliveries.resting_of("dev", person) == []
    assert not await shelves.digests.join(window, an_event(person, 2), row, NOON), "from the same rest once"
    assert await inside(shelves, window) == ["Title 1"]


async def test_one_that_was_stopped_while_it_rested_does_not_join(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    window, event = a_window(person), an_event(person, 1)
    await shelves.digests.open(window, None)
    ids = {"notification_id": event.notification_id, "delivery_id": event.delivery_id}
    carried = DeliveryRecord(environment="dev", recipient=person, channel="in_app", turn=1, **ids)
    waits = row_of(carried, NOON, state="RETRY", turn=1, reason="scheduled", next_at=NOON + MINUTE)
    rested = await shelves.deliveries.rest(waits.with_step("t/0/1"))
    await shelves.deliveries.cancel(carried, NOON, "t/0/2")
    row = digested_row(carried, window, event, NOON, "t/0/3", rested)
    assert not await shelves.digests.join(window, event, row, NOON)
    assert await inside(shelves, window) == []
