# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""What every store promises: the fake, AWS's DynamoDB Local, and moto."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.dynamo.deliveries import Held, Settled, Waiting, Won
from infrastructure.dynamo.inbox import cursor_of
from schemas.audiences import EVERYONE
from schemas.cancelling import Cancellation, CancelledDelivery
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.live import InboxItem
from schemas.plan import Notification, Plan, PlannedDelivery
from schemas.recipients import Contact
from schemas.requests import NotificationRequest
from schemas.timers import Timer
from tests.contract.conftest import Shelves
from tests.contract.test_audience_stores import everybody_in

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_notification(notification_id: str, *, message: str = "Hi", accepted_at: datetime = NOON) -> Notification:
    line = PlannedDelivery(delivery_id="dlv_1", recipient="ana", channel="email", address="ana@x.io", endpoint="primary")
    return Notification(
        notification_id=notification_id,
        environment="dev",
        producer="kafka",
        request_id="r-1",
        body_hash=message,
        origin="t/0/1",
        accepted_at=accepted_at,
        planned_at=accepted_at,
        request=NotificationRequest.model_validate(
            {"to": "ana", "message": message, "variables": {"n": 1.5, "deep": [None, {"a": ""}], "e": "😀"}}
        ),
        plan=Plan(lines=(line,), type="plain@1", category="general", template=None, priority="normal"),
    )


def a_record(notification_id: str, delivery_id: str = "dlv_1", **fields: object) -> DeliveryRecord:
    known = {"environment": "dev", "notification_id": notification_id, "delivery_id": delivery_id}
    return DeliveryRecord.model_validate(known | {"recipient": "ana", "channel": "email"} | fields)


async def a_claim(shelves: Shelves, record: DeliveryRecord) -> Delivery:
    claim = await shelves.deliveries.claim(record, NOON)
    assert isinstance(claim, Won), claim
    return claim.delivery


def ended(row: Delivery, state: str, **changes: object) -> Delivery:
    return row.model_copy(update={"state": state, **changes}).with_step("t/0/1")


def an_item(person: str, number: int) -> InboxItem:
    stored_at = NOON + timedelta(seconds=number)
    return InboxItem(
        person=person,
        id=f"dlv_{number}",
        notification_id="ntf_1",
        cursor=cursor_of(stored_at, f"dlv_{number}"),
        message=f"m{number}",
        data={"n": number},
        created_at=stored_at,
    )


def a_timer(timer_id: str, due_at: datetime = NOON) -> Timer:
    return Timer(environment="dev", timer_id=timer_id, due_at=due_at, topic="t", key="k", value="{}", headers={"a": "b"})


async def test_a_plan_is_stored_once_and_read_back_whole(shelves: Shelves, unique: Unique) -> None:
    first = a_notification(unique("ntf"))
    assert await shelves.notifications.put_if_absent(first) == first
    second = a_notification(first.notification_id, message="other")
    assert await shelves.notifications.put_if_absent(second) == first
    assert await shelves.notifications.get("dev", first.notification_id) == first


async def test_of_many_who_plan_at_once_all_follow_one(racing_shelves: Shelves, unique: Unique) -> None:
    notification_id = unique("ntf")
    plans = [a_notification(notification_id, message=f"m{n}") for n in range(8)]
    found = await asyncio.gather(*(racing_shelves.notifications.put_if_absent(plan) for plan in plans))
    assert len({each.body_hash for each in found}) == 1


async def test_what_was_never_stored_is_not_there(shelves: Shelves, unique: Unique) -> None:
    assert await shelves.notifications.get("dev", unique("ntf")) is None


async def test_a_plan_is_routed_once_it_was_marked(shelves: Shelves, unique: Unique) -> None:
    notification = await shelves.notifications.put_if_absent(a_notification(unique("ntf")))
    assert not await shelves.notifications.is_routed("dev", notification.notification_id)
    for _ in range(2):
        await shelves.notifications.mark_routed(notification, NOON)
    assert await shelves.notifications.is_routed("dev", notification.notification_id)
    assert await shelves.notifications.get("dev", notification.notification_id) == notification


async def test_of_sixteen_who_claim_at_once_one_wins(racing_shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    claims = await asyncio.gather(*(racing_shelves.deliveries.claim(record, NOON) for _ in range(16)))
    assert Counter(type(claim) for claim in claims) == {Won: 1, Held: 15}
    [winner] = [claim.delivery for claim in claims if isinstance(claim, Won)]
    assert {claim.delivery.claim_token for claim in claims} == {winner.claim_token}


async def test_of_sixteen_who_take_over_at_once_one_wins(racing_shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    dead = await a_claim(racing_shelves, record)
    claims = await asyncio.gather(*(racing_shelves.deliveries.take_over(record, dead, NOON) for _ in range(16)))
    assert Counter(type(claim) for claim in claims) == {Won: 1, Held: 15}
    [winner] = [claim.delivery for claim in claims if isinstance(claim, Won)]
    assert (winner.attempt, winner.doubtful) == (1, True)


async def test_a_claim_that_changed_hands_is_held_against_who_saw_the_old_one(shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    dead = await a_claim(shelves, record)
    taken = await shelves.deliveries.take_over(record, dead, NOON)
    assert isinstance(taken, Won)
    assert isinstance(await shelves.deliveries.take_over(record, dead, NOON), Held)
    late = ended(dead, "SENT")
    assert await shelves.deliveries.settle(late) is None
    await shelves.deliveries.note_late(late)
    settled = await shelves.deliveries.settle(ended(taken.delivery, "SENT", answer="250", provider_id="p"))
    assert settled is not None
    assert (settled.state, settled.answer, settled.provider_id, settled.version) == ("SENT", "250", "p", 3)
    assert [step.event for step in settled.history] == ["late", "sent"]


async def test_unknown_is_settled_by_the_worker_that_was_thought_dead_and_by_nobody_else(
    shelves: Shelves, unique: Unique
) -> None:
    dead = await a_claim(shelves, a_record(unique("ntf")))
    parked = await shelves.deliveries.settle(ended(dead, "UNKNOWN", reason="lost_claim"))
    assert parked is not None
    assert await shelves.deliveries.settle(ended(dead.model_copy(update={"claim_token": "other"}), "SENT")) is None
    known = await shelves.deliveries.settle(ended(dead, "SENT"))
    assert known is not None
    assert [step.event for step in known.history] == ["unknown", "sent"]


@pytest.mark.parametrize("standing", ["absent", "waiting"])
async def test_what_nobody_has_claimed_is_cancelled_and_stays_so(shelves: Shelves, unique: Unique, standing: str) -> None:
    record = a_record(unique("ntf"))
    if standing == "waiting":
        claimed = await a_claim(shelves, record)
        await shelves.deliveries.settle(ended(claimed, "RETRY", turn=1, attempt=1, doubtful=True))
    first = await shelves.deliveries.cancel(record, NOON, "t/0/2")
    assert (first.state, first.reason, first.doubtful) == ("CANCELLED", "cancelled", standing == "waiting")
    assert await shelves.deliveries.cancel(record, NOON, "t/0/3") == first
    again = await shelves.deliveries.claim(record.model_copy(update={"turn": first.turn}), NOON)
    assert isinstance(again, Settled)


async def test_an_attempt_under_way_is_the_last_once_that_was_asked_for(shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    claimed = await a_claim(shelves, record)
    asked = await shelves.deliveries.cancel(record, NOON, "t/0/2")
    assert (asked.state, asked.cancel_requested_at) == ("IN_FLIGHT", NOON)
    assert await shelves.deliveries.cancel(record, NOON + timedelta(seconds=1), "t/0/3") == asked
    ends = await shelves.deliveries.settle(ended(claimed, "RETRY", turn=1, attempt=1, reason="http_503"))
    assert ends is not None
    assert (ends.state, ends.reason, ends.next_at) == ("CANCELLED", "cancelled_after:http_503", None)
    assert [step.event for step in ends.history] == ["cancelled"]


async def test_an_attempt_that_was_sent_after_all_stays_sent(shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    claimed = await a_claim(shelves, record)
    await shelves.deliveries.cancel(record, NOON, "t/0/2")
    sent = await shelves.deliveries.settle(ended(claimed, "SENT"))
    assert sent is not None
    assert (await shelves.deliveries.cancel(record, NOON, "t/0/3")).state == "SENT"


async def test_of_a_cancellation_and_a_claim_at_once_the_row_knows_who_came_first(
    racing_shelves: Shelves, unique: Unique
) -> None:
    for _ in range(20):
        record = a_record(unique("ntf"))
        found, claim = await asyncio.gather(
            racing_shelves.deliveries.cancel(record, NOON, "t/0/2"), racing_shelves.deliveries.claim(record, NOON)
        )
        assert isinstance(claim, Won if found.state == "IN_FLIGHT" else Settled)


async def test_a_cancellation_is_found_by_the_plan_that_comes_after_it(shelves: Shelves, unique: Unique) -> None:
    notification = a_notification(unique("ntf"))
    assert await shelves.notifications.cancellation("dev", notification.notification_id) is None
    assert await shelves.notifications.cancel("dev", notification.notification_id, NOON) is None
    assert await shelves.notifications.get("dev", notification.notification_id) is None
    await shelves.notifications.note_nothing_planned("dev", notification.notification_id)
    early = await shelves.notifications.cancellation("dev", notification.notification_id)
    assert early == Cancellation(cancelled_at=NOON, deliveries=())
    stored = await shelves.notifications.put_if_absent(notification)
    assert (stored.cancelled_at, stored.plan) == (NOON, notification.plan)
    later = await shelves.notifications.cancel("dev", notification.notification_id, NOON + timedelta(hours=1))
    assert later == stored, "the first time counts"
    answers = (
        CancelledDelivery(
            delivery_id="dlv_1", recipient="ana", channel="email", answer="stopped", state="CANCELLED", at=NOON
        ),
    )
    await shelves.notifications.note_cancelled("dev", notification.notification_id, answers)
    await shelves.notifications.note_nothing_planned("dev", notification.notification_id)  # comes late: it is planned
    found = await shelves.notifications.cancellation("dev", notification.notification_id)
    assert found == Cancellation(cancelled_at=NOON, deliveries=answers)


async def test_an_item_that_was_withdrawn_does_not_come_back(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    for _ in range(2):
        assert await shelves.inbox.withdraw("dev", person, "dlv_1", NOON) == "stopped"
    assert await shelves.inbox.put_if_absent("dev", an_item(person, 1)) == "withdrawn"
    assert await shelves.inbox.newest("dev", person, before=None, limit=9) == []
    assert await shelves.inbox.standing("dev", person, "dlv_1") == "withdrawn"
    assert await shelves.inbox.standing("dev", person, "dlv_2") is None
    assert not await shelves.inbox.mark_read("dev", person, "dlv_1", NOON)


async def test_an_item_that_was_recalled_is_gone_from_every_list(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    for number in (1, 2):
        await shelves.inbox.put_if_absent("dev", an_item(person, number))
    for _ in range(2):
        assert await shelves.inbox.withdraw("dev", person, "dlv_1", NOON) == "recalled"
    assert [item.id for item in await shelves.inbox.newest("dev", person, before=None, limit=9)] == ["dlv_2"]
    assert await shelves.inbox.unread("dev", person) == 1


async def test_a_settled_delivery_is_settled_for_everybody_and_says_it_again(shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    outcome = ended(await a_claim(shelves, record), "FAILED", reason="smtp_550")
    first = await shelves.deliveries.settle(outcome)
    assert await shelves.deliveries.settle(outcome) == first
    claim = await shelves.deliveries.claim(record, NOON)
    assert isinstance(claim, Settled)
    assert claim.delivery == first
    assert await shelves.deliveries.of("dev", record.notification_id) == [first]


async def test_a_retry_waits_for_the_attempt_whose_turn_it_is(shelves: Shelves, unique: Unique) -> None:
    record = a_record(unique("ntf"))
    due = NOON + timedelta(seconds=5)
    claimed = await a_claim(shelves, record)
    await shelves.deliveries.settle(ended(claimed, "RETRY", attempt=1, turn=1, reason="http_503", next_at=due))
    waiting = await shelves.deliveries.claim(record, NOON)
    assert isinstance(waiting, Waiting)
    assert (waiting.delivery.attempt, waiting.delivery.next_at) == (1, due)

    again = await a_claim(shelves, record.model_copy(update={"turn": 1}))
    assert again.attempt == 1
    assert (again.reason, again.next_at, again.version) == (None, None, 3)
    settled = await shelves.deliveries.settle(ended(again, "SENT"))
    assert settled is not None
    assert [step.event for step in settled.history] == ["retrying", "sent"]


async def test_a_row_without_a_claim_is_written_unless_a_newer_one_is_there(shelves: Shelves, unique: Unique) -> None:
    row = await a_claim(shelves, a_record(unique("ntf")))
    plain = row.model_copy(update={"claim_token": None, "delivery_id": "dlv_2", "version": 2, "channel": "in_app"})
    await shelves.deliveries.record(ended(plain, "CANCELLED"))
    await shelves.deliveries.record(ended(plain, "SENT"))
    await shelves.deliveries.record(ended(plain, "SENT", version=1))
    rows = await shelves.deliveries.of("dev", row.notification_id)
    assert [(each.delivery_id, each.state) for each in rows] == [("dlv_1", "IN_FLIGHT"), ("dlv_2", "CANCELLED")]


async def test_an_item_is_stored_once_and_what_its_reader_did_stays(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    assert await shelves.inbox.put_if_absent("dev", an_item(person, 1)) == "stored"
    assert await shelves.inbox.mark_read("dev", person, "dlv_1", NOON)
    assert await shelves.inbox.mark_seen("dev", person, "dlv_1", NOON)
    other = an_item(person, 1).model_copy(update={"message": "other"})
    assert await shelves.inbox.put_if_absent("dev", other) == "stored"
    assert await shelves.inbox.mark_read("dev", person, "dlv_1", NOON + timedelta(hours=1))
    [item] = await shelves.inbox.newest("dev", person, before=None, limit=9)
    assert item == an_item(person, 1).model_copy(update={"read_at": NOON, "seen_at": NOON})


async def test_the_strongest_answer_of_its_reader_is_told(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    for number in range(2):
        await shelves.inbox.put_if_absent("dev", an_item(person, number))

    async def answer() -> str | None:
        return await shelves.inbox.answer("dev", person, "dlv_1")

    assert await answer() is None
    assert await shelves.inbox.mark_seen("dev", person, "dlv_1", NOON)
    assert await answer() == "seen"
    assert await shelves.inbox.mark_clicked("dev", person, "dlv_1", NOON)
    assert await answer() == "clicked"
    assert await shelves.inbox.mark_clicked("dev", person, "dlv_1", NOON + timedelta(hours=1))
    [item, _] = await shelves.inbox.newest("dev", person, before=None, limit=9)
    assert (item.read_at, item.clicked_at) == (NOON, NOON), "what is clicked is read, and the first time stays"
    assert await shelves.inbox.unread_ids("dev", person, 9) == ["dlv_0"]
    assert await shelves.inbox.mark_read("dev", person, "dlv_0", NOON)
    assert await shelves.inbox.answer("dev", person, "dlv_0") == "read"
    assert not await shelves.inbox.mark_clicked("dev", person, "dlv_99", NOON)
    assert await shelves.inbox.answer("dev", person, "dlv_99") is None


async def test_an_inbox_is_read_by_cursor_in_both_directions(shelves: Shelves, unique: Unique) -> None:
    person, other = unique("ana"), unique("ben")
    for number in (3, 1, 2):
        await shelves.inbox.put_if_absent("dev", an_item(person, number))
    await shelves.inbox.put_if_absent("dev", an_item(other, 9))
    newest = await shelves.inbox.newest("dev", person, before=None, limit=2)
    assert [item.id for item in newest] == ["dlv_3", "dlv_2"]
    assert [item.id for item in await shelves.inbox.newest("dev", person, before=newest[-1].cursor, limit=2)] == ["dlv_1"]
    since = await shelves.inbox.since("dev", person, after=an_item(person, 1).cursor, limit=9)
    assert [item.id for item in since] == ["dlv_2", "dlv_3"]


async def test_only_what_is_unread_is_counted(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    for number in range(3):
        await shelves.inbox.put_if_absent("dev", an_item(person, number))
    await shelves.inbox.mark_read("dev", person, "dlv_1", NOON)
    assert await shelves.inbox.unread("dev", person) == 2
    assert await shelves.inbox.unread_ids("dev", person, 9) == ["dlv_0", "dlv_2"]
    assert not await shelves.inbox.mark_read("dev", person, "dlv_99", NOON)


async def test_timers_are_found_when_due_in_order_and_gone_when_deleted(shelves: Shelves, unique: Unique) -> None:
    names = [unique("t") for _ in range(200)]
    names = [name for name in names if a_timer(name).shard == a_timer(names[0]).shard]
    early, late = a_timer(names[0]), a_timer(names[1], NOON + timedelta(hours=1))
    for timer in (late, early, early):
        await shelves.timers.put(timer)

    async def due(at: datetime) -> list[Timer]:
        found = await shelves.timers.due("dev", early.shard, at, 1000)
        return [timer for timer in found if timer.timer_id in names]

    assert await due(NOON - timedelta(milliseconds=1)) == []
    assert await due(NOON) == [early]
    assert await due(NOON + timedelta(hours=2)) == [early, late]
    for _ in range(2):
        await shelves.timers.delete(early)
    assert await due(NOON + timedelta(hours=2)) == [late]


async def test_a_shard_has_one_holder_until_it_is_released_or_its_lease_lapses(shelves: Shelves, unique: Unique) -> None:
    a, b, c = unique("a"), unique("b"), unique("c")
    shard = abs(hash(a)) % 10**9 + 100
    mine, version = await shelves.timers.lease("dev", shard, a, None, NOON)
    assert mine
    assert await shelves.timers.lease("dev", shard, b, None, NOON) == (False, version)
    mine, renewed = await shelves.timers.lease("dev", shard, a, None, NOON)
    assert mine
    assert renewed > version
    assert not (await shelves.timers.lease("dev", shard, b, version, NOON))[0], "it was renewed meanwhile"
    assert (await shelves.timers.lease("dev", shard, b, renewed, NOON))[0], "it stood unchanged"
    await shelves.timers.release("dev", shard, a)
    assert not (await shelves.timers.lease("dev", shard, c, None, NOON))[0], "only the holder can let go"
    await shelves.timers.release("dev", shard, b)
    assert (await shelves.timers.lease("dev", shard, c, None, NOON))[0]


async def test_a_login_makes_a_contact_whose_address_counts_only_when_verified(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    assert await shelves.contacts.get("dev", person) is None
    await shelves.contacts.learn("dev", Contact(person=person, email="a@x.io", email_verified=True, name="Ana"))
    await shelves.contacts.learn("dev", Contact(person=person, email="forged@x.io", email_verified=False))
    found = await shelves.contacts.get_many("dev", (person, unique("nobody")))
    assert {who: (each.email, each.name) for who, each in found.items()} == {person: ("a@x.io", "Ana")}
    assert person in await everybody_in(shelves, EVERYONE)


async def test_an_address_that_bounced_stays_so_until_another_one_is_known(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    contact = Contact(person=person, email="a@x.io", email_verified=True)
    assert not await shelves.contacts.bounced("dev", person, "a@x.io", NOON), "nobody knows them"
    await shelves.contacts.learn("dev", contact)
    assert not await shelves.contacts.bounced("dev", person, "other@x.io", NOON)
    assert await shelves.contacts.bounced("dev", person, "a@x.io", NOON)
    await shelves.contacts.learn("dev", contact)
    found = await shelves.contacts.get("dev", person)
    assert found is not None
    assert (found.email_state, found.email_bounced_at) == ("bounced", NOON)
    await shelves.contacts.learn("dev", contact.model_copy(update={"email": "new@x.io"}))
    found = await shelves.contacts.get("dev", person)
    assert found is not None
    assert (found.email, found.email_state) == ("new@x.io", "verified")


@pytest.mark.parametrize("size", [1, 26, 130])
async def test_many_writes_and_reads_of_one_moment_all_arrive(shelves: Shelves, unique: Unique, size: int) -> None:
    people = tuple(unique("p") for _ in range(size))
    topic = unique("news")
    await asyncio.gather(*(shelves.contacts.subscribe("dev", person, (topic,)) for person in people))
    assert await everybody_in(shelves, topic) == set(people)
