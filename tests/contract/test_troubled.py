"""What the operators' view of the ledger promises: the fake, AWS's DynamoDB Local, and moto."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infrastructure.dynamo.deliveries import Won
from infrastructure.dynamo.troubled import Already, Moved, NotSo
from schemas.deliveries import Delivery, DeliveryRecord, State
from schemas.troubled import BY_HAND, Listed, Look
from tests.contract.conftest import Shelves
from tests.eventually import eventually

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


async def a_row(shelves: Shelves, channel: str, name: str, state: State, *, second: int = 0, **changes: Any) -> Delivery:
    """A delivery whose one attempt ended so; `channel` keeps the rows of one test apart from all others."""
    record = DeliveryRecord(
        environment="dev", notification_id=f"ntf_{name}", delivery_id=f"dlv_{name}", recipient="ana", channel=channel
    )
    claim = await shelves.deliveries.claim(record, NOON)
    assert isinstance(claim, Won)
    changes = {"state": state, "reason": "http_500", "updated_at": NOON + timedelta(seconds=second), **changes}
    row = await shelves.deliveries.settle(claim.delivery.model_copy(update=changes).with_step("t/0/1"))
    assert row is not None
    return row


async def a_row_of(shelves: Shelves, unique: Unique, state: State, **changes: Any) -> Delivery:
    return await a_row(shelves, unique("email"), unique("one"), state, **changes)


async def listed(shelves: Shelves, channel: str, state: Listed = "FAILED", **look: Any) -> list[str]:
    page = await shelves.trouble.page("dev", Look(state=state, channel=channel, **look))
    return [row.delivery_id for row in page.rows]


async def the_row(shelves: Shelves, row: Delivery) -> Delivery:
    found = await shelves.deliveries.get(row.environment, row.notification_id, row.delivery_id)
    assert found is not None
    return found


async def is_listed(shelves: Shelves, row: Delivery, state: Listed, wanted: bool) -> None:
    async def look() -> bool:
        return (row.delivery_id in await listed(shelves, row.channel, state)) is wanted

    await eventually(look)


async def test_rows_are_listed_by_state_in_the_order_of_their_time(shelves: Shelves, unique: Unique) -> None:
    channel = unique("email")
    names = [unique("row") for _ in range(20)]
    for second, name in enumerate(names):
        await a_row(shelves, channel, name, "FAILED", second=second)
    await a_row(shelves, channel, unique("row"), "UNKNOWN", doubtful=True)
    await a_row(shelves, channel, unique("row"), "SENT")
    oldest_first = [f"dlv_{name}" for name in names]
    assert await listed(shelves, channel, newest_first=False) == oldest_first
    assert await listed(shelves, channel) == oldest_first[::-1]
    assert len(await listed(shelves, channel, "UNKNOWN")) == 1


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_leave_nothing_out_and_repeat_nothing(shelves: Shelves, unique: Unique, newest_first: bool) -> None:
    channel = unique("email")
    names = [unique("row") for _ in range(25)]
    for name in names:
        await a_row(shelves, channel, name, "FAILED", second=len(name) % 3)  # many at the same time
    look, seen, after = Look(channel=channel, newest_first=newest_first), [], None
    while True:
        page = await shelves.trouble.page("dev", look, after=after, limit=4)
        seen += [row.delivery_id for row in page.rows]
        assert len(page.rows) <= 4
        if (after := page.after) is None:
            break
    assert sorted(seen) == sorted(f"dlv_{name}" for name in names)


async def test_filters_are_a_channel_a_reason_and_a_span_of_time(shelves: Shelves, unique: Unique) -> None:
    channel, names = unique("email"), [unique("row") for _ in range(3)]
    for second, (name, reason) in enumerate(zip(names, ("smtp_550", "smtp_451", "http_500"), strict=True)):
        await a_row(shelves, channel, name, "FAILED", second=second, reason=reason)
    first, second_, third = (f"dlv_{name}" for name in names)
    assert await listed(shelves, channel, reason="smtp_") == [second_, first]
    assert await listed(shelves, channel, since=NOON + timedelta(seconds=1)) == [third, second_]
    assert await listed(shelves, channel, until=NOON + timedelta(seconds=1)) == [second_, first]
    moment = NOON + timedelta(seconds=1)
    assert await listed(shelves, channel, since=moment, until=moment) == [second_]
    assert await listed(shelves, channel, since=NOON + timedelta(days=1), until=NOON) == []


async def test_groups_count_per_channel_and_reason(shelves: Shelves, unique: Unique) -> None:
    channel = unique("email")
    for reason in ("smtp_550", "smtp_550", "http_500"):
        await a_row(shelves, channel, unique("row"), "FAILED", reason=reason)
    grouped = await shelves.trouble.grouped("dev", Look(channel=channel))
    assert grouped.counts == {(channel, "smtp_550"): 2, (channel, "http_500"): 1}
    assert (grouped.total, grouped.whole) == (3, True)


async def test_redriving_makes_it_wait_for_its_next_turn(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "FAILED", attempt=4)
    change = await shelves.trouble.redrive(row, "olga", NOON)
    assert isinstance(change, Moved)
    now = await the_row(shelves, row)
    assert (now.state, now.turn, now.attempt, now.version) == ("PENDING", row.turn + 1, 0, row.version + 1)
    assert (now.history[-1].event, now.history[-1].by) == ("redriven", "olga")
    await is_listed(shelves, row, "FAILED", False)
    await is_listed(shelves, row, "PENDING", True)


async def test_of_two_who_redrive_at_once_one_does(racing_shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(racing_shelves, unique, "FAILED")
    answers = await asyncio.gather(*(racing_shelves.trouble.redrive(row, "olga", NOON) for _ in range(2)))
    assert {type(answer) for answer in answers} == {Moved, Already}
    assert [step.event for step in (await the_row(racing_shelves, row)).history] == ["failed", "redriven"]


async def test_redriving_again_changes_nothing(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "FAILED")
    first = await shelves.trouble.redrive(row, "olga", NOON)
    again = await shelves.trouble.redrive(row, "ben", NOON)
    assert (type(again), again.delivery) == (Already, first.delivery)


async def test_what_was_redriven_is_claimed_like_any_other_and_leaves_the_list(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "FAILED")
    await shelves.trouble.redrive(row, "olga", NOON)
    ids = row.model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    claim = await shelves.deliveries.claim(DeliveryRecord.model_validate(ids | {"turn": row.turn + 1}), NOON)
    assert isinstance(claim, Won)
    await is_listed(shelves, row, "PENDING", False)


@pytest.mark.parametrize("state", ["SENT", "CANCELLED", "EXPIRED"])
async def test_what_has_ended_otherwise_is_not_redriven(shelves: Shelves, unique: Unique, state: State) -> None:
    row = await a_row_of(shelves, unique, state)
    change = await shelves.trouble.redrive(row, "olga", NOON)
    assert isinstance(change, NotSo)
    assert change.delivery == await the_row(shelves, row) == row


async def test_an_older_look_redrives_nothing(shelves: Shelves, unique: Unique) -> None:
    """It failed, was redriven and failed again since it was seen."""
    seen = await a_row_of(shelves, unique, "FAILED")
    await shelves.trouble.redrive(seen, "olga", NOON)
    ids = seen.model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    claim = await shelves.deliveries.claim(DeliveryRecord.model_validate(ids | {"turn": seen.turn + 1}), NOON)
    assert isinstance(claim, Won)
    await shelves.deliveries.settle(claim.delivery.model_copy(update={"state": "FAILED"}).with_step("t/0/2"))
    assert isinstance(await shelves.trouble.redrive(seen, "olga", NOON), NotSo)


async def test_who_redrives_an_unknown_one_takes_the_doubt_upon_themselves(shelves: Shelves, unique: Unique) -> None:
    unknown = await a_row_of(shelves, unique, "UNKNOWN", doubtful=True)
    failed = await a_row_of(shelves, unique, "FAILED", doubtful=True)
    for row, doubtful in ((unknown, False), (failed, True)):
        change = await shelves.trouble.redrive(row, "olga", NOON)
        assert (type(change), change.delivery.doubtful) == (Moved, doubtful)


async def test_a_person_settles_what_nobody_could_tell(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "UNKNOWN", doubtful=True)
    change = await shelves.trouble.settle(row, "SENT", "olga", "Ana has it", NOON)
    assert isinstance(change, Moved)
    now = await the_row(shelves, row)
    assert (now.state, now.reason, now.doubtful, now.claim_token) == ("SENT", BY_HAND, False, row.claim_token)
    step = now.history[-1]
    assert (step.event, step.by, step.note) == ("settled", "olga", "Ana has it")
    await is_listed(shelves, row, "UNKNOWN", False)
    assert isinstance(await shelves.trouble.settle(row, "SENT", "olga", "Ana has it", NOON), Already)
    other = await shelves.trouble.settle(row, "FAILED", "ben", "", NOON)
    assert (type(other), other.delivery.state) == (NotSo, "SENT")


async def test_settled_as_failed_it_is_on_the_list_of_what_failed(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "UNKNOWN", doubtful=True)
    await shelves.trouble.settle(row, "FAILED", "olga", "", NOON)
    await is_listed(shelves, row, "FAILED", True)


async def test_a_late_worker_does_not_overwrite_what_a_person_settled(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "UNKNOWN", doubtful=True)
    await shelves.trouble.settle(row, "FAILED", "olga", "", NOON)
    late = row.model_copy(update={"state": "SENT"}).with_step("t/0/2")
    assert await shelves.deliveries.settle(late) is None
    await shelves.deliveries.note_late(late)
    now = await the_row(shelves, row)
    assert (now.state, now.history[-1].event) == ("FAILED", "late")
    assert isinstance(await shelves.trouble.settle(row, "FAILED", "olga", "", NOON), Already)


async def test_what_failed_cannot_be_settled(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "FAILED")
    assert isinstance(await shelves.trouble.settle(row, "SENT", "olga", "", NOON), NotSo)
    assert await the_row(shelves, row) == row


async def test_discarding_takes_it_off_the_list_and_changes_nothing_else(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "FAILED")
    assert isinstance(await shelves.trouble.discard(row, "olga", "an old test", NOON), Moved)
    now = await the_row(shelves, row)
    assert (now.state, now.version) == ("FAILED", row.version)
    assert (now.history[-1].event, now.history[-1].by, now.history[-1].note) == ("discarded", "olga", "an old test")
    await is_listed(shelves, row, "FAILED", False)
    assert isinstance(await shelves.trouble.discard(row, "olga", "", NOON), Already)
    assert len((await the_row(shelves, row)).history) == 2


async def test_what_nobody_can_tell_is_settled_rather_than_discarded(shelves: Shelves, unique: Unique) -> None:
    row = await a_row_of(shelves, unique, "UNKNOWN", doubtful=True)
    assert isinstance(await shelves.trouble.discard(row, "olga", "", NOON), NotSo)
    await is_listed(shelves, row, "UNKNOWN", True)


async def a_held_row(shelves: Shelves, unique: Unique) -> Delivery:
    later = NOON + timedelta(hours=8)
    return await a_row_of(shelves, unique, "RETRY", reason="quiet_hours", turn=1, next_at=later)


async def test_what_rests_is_listed_apart_from_what_is_retried(shelves: Shelves, unique: Unique) -> None:
    held = await a_held_row(shelves, unique)
    retried = await a_row(shelves, held.channel, unique("two"), "RETRY", turn=1)
    await is_listed(shelves, held, "HELD", True)
    await is_listed(shelves, retried, "HELD", False)
    grouped = await shelves.trouble.grouped("dev", Look(state="HELD", channel=held.channel))
    assert grouped.counts == {(held.channel, "quiet_hours"): 1}


async def test_a_release_is_claimed_at_its_next_turn_and_stays_known(shelves: Shelves, unique: Unique) -> None:
    row = await a_held_row(shelves, unique)
    change = await shelves.trouble.release(row, "olga", NOON)
    assert (type(change), change.delivery.state, change.delivery.turn) == (Moved, "PENDING", 2)
    assert (change.delivery.next_at, change.delivery.history[-1].by) == (None, "olga")
    await is_listed(shelves, row, "HELD", False)
    ids = row.model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    old = await shelves.deliveries.claim(DeliveryRecord.model_validate(ids | {"turn": 1}), NOON)
    assert not isinstance(old, Won)
    new = await shelves.deliveries.claim(DeliveryRecord.model_validate(ids | {"turn": 2}), NOON)
    assert isinstance(new, Won)
    assert new.delivery.released
    assert isinstance(await shelves.trouble.release(row, "ben", NOON), Already)


async def test_of_two_who_release_at_once_one_does(racing_shelves: Shelves, unique: Unique) -> None:
    row = await a_held_row(racing_shelves, unique)
    answers = await asyncio.gather(*(racing_shelves.trouble.release(row, "olga", NOON) for _ in range(2)))
    assert {type(answer) for answer in answers} == {Moved, Already}


async def test_what_was_cancelled_meanwhile_is_not_released(shelves: Shelves, unique: Unique) -> None:
    row = await a_held_row(shelves, unique)
    ids = row.model_dump(include={"environment", "notification_id", "delivery_id", "recipient", "channel"})
    await shelves.deliveries.cancel(DeliveryRecord.model_validate(ids), NOON, "t/0/3")
    assert isinstance(await shelves.trouble.release(row, "olga", NOON), NotSo)
