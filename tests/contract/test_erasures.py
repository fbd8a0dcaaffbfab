# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""The mark of an erasure, what is found under a name, and rows without it: on the fakes and on the real stores."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.dynamo.inbox import cursor_of
from infrastructure.dynamo.tables import CAPS, INBOX, PREFERENCES, SUBSCRIPTIONS
from infrastructure.erasing import Pseudonyms
from schemas.caps import Cap, scopes
from schemas.deliveries import Delivery
from schemas.erasures import ErasureCommand
from schemas.live import InboxItem
from schemas.plan import Notification, Plan, PlannedDelivery, Unplanned
from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.recipients import Contact
from schemas.requests import Message, NotificationRequest, PersonTarget
from tests.contract.conftest import Shelves
from tests.eventually import eventually

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_command(person: str, at: datetime = NOON, erasure_id: str = "e-1") -> ErasureCommand:
    return Pseudonyms("k" * 32).command("dev", person, erasure_id, at)


async def test_the_mark_stands_from_the_first_step_and_progress_is_kept(shelves: Shelves, unique: Unique) -> None:
    command = a_command(unique("ana"))
    assert await shelves.erasures.get("dev", command.subject) is None
    begun = await shelves.erasures.begin(command, NOON)
    assert (begun.status, begun.parts, begun.erased_before) == ("UNDER_WAY", {}, NOON + timedelta(milliseconds=1))
    after = await shelves.erasures.finish(begun, "contact", 1)
    again = await shelves.erasures.begin(command, NOON + timedelta(hours=1))
    assert again == after, "begun again it goes on, under its first mark"
    done = await shelves.erasures.done(after, NOON, NOON + timedelta(minutes=1))
    assert (done.status, done.parts) == ("DONE", {"contact": 1})
    swept = await shelves.erasures.swept(done, NOON + timedelta(minutes=1), None)
    assert (swept.status, swept.next_sweep_at) == ("DONE", None)
    assert await shelves.erasures.get("dev", command.subject) == swept


async def test_a_newer_erasure_begins_anew_and_an_older_one_cannot_write_into_it(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    first = await shelves.erasures.begin(a_command(person), NOON)
    done = await shelves.erasures.done(first, NOON, None)
    hour = NOON + timedelta(hours=1)
    newer = await shelves.erasures.begin(a_command(person, hour, "e-2"), hour)
    assert (newer.status, newer.erasure_id, newer.done_at) == ("UNDER_WAY", "e-2", None)
    assert await shelves.erasures.swept(done, hour, None) == newer
    assert await shelves.erasures.begin(a_command(person), hour) == newer, "an old command that is read again"


async def test_everything_under_a_name_is_found_and_taken_away_and_nothing_of_others(
    shelves: Shelves, unique: Unique
) -> None:
    gone, stays = unique("gone"), unique("stays")
    for person in (gone, stays):
        await somebody(shelves, person)
    traces = shelves.traces
    assert await counts(shelves, gone) == await counts(shelves, stays) == (1, 2, 2, 1, 1)
    assert await traces.take_away_contact("dev", gone) == 1
    for table, pages in (
        (SUBSCRIPTIONS, traces.subscriptions("dev", gone)),
        (PREFERENCES, traces.preferences("dev", gone)),
        (CAPS, traces.caps("dev", gone)),
        (INBOX, traces.inbox("dev", gone)),
    ):
        async for rows in pages:
            await traces.take_away(table, "dev", rows)

    async def is_gone() -> bool:
        return await counts(shelves, gone) == (0, 0, 0, 0, 0)

    await eventually(is_gone)
    assert await counts(shelves, stays) == (1, 2, 2, 1, 1)
    assert await traces.take_away_contact("dev", gone) == 0


async def somebody(shelves: Shelves, person: str) -> None:
    await shelves.contacts.learn("dev", Contact(person=person, email=f"{person}@x.io", email_verified=True))
    await shelves.contacts.subscribe("dev", person, ("news", "sport"))
    change = Change(settings=(Setting(level="global", enabled=False),))
    command = PreferenceCommand(environment="dev", person=person, change_id="c-1", change=change, at=NOON)
    await shelves.preferences.apply(command)
    nudges = scopes("nudge", (Cap(max=3, window=timedelta(hours=1)),), ())
    await shelves.caps.count("dev", person, nudges, "ntf_1", NOON)
    item = InboxItem(
        person=person,
        id="dlv_1",
        notification_id="ntf_1",
        cursor=cursor_of(NOON, "dlv_1"),
        message="Hi",
        created_at=NOON,
    )
    await shelves.inbox.put_if_absent("dev", item)


async def counts(shelves: Shelves, person: str) -> tuple[int, ...]:
    """Contact, topics without that of everybody, preferences with their verdicts, caps, inbox."""
    traces = shelves.traces
    topics = [row async for rows in traces.subscriptions("dev", person) for row in rows]
    pages = (traces.preferences("dev", person), traces.caps("dev", person), traces.inbox("dev", person))
    others = [sum([len(rows) async for rows in each]) for each in pages]
    named = sum(not str(row["topic"]).startswith("_all#") for row in topics)
    return (await traces.contact("dev", person) is not None, named, *others)


def a_row(notification: str, person: str, delivery: str, state: str = "SENT", shards: int = 1) -> Delivery:
    fields = {"environment": "dev", "notification_id": notification, "delivery_id": delivery, "recipient": person}
    more = {"channel": "email", "shards": shards, "state": state, "version": 1, "updated_at": NOON, "answer": "250"}
    return Delivery.model_validate(fields | more)


async def test_a_persons_rows_are_found_and_renamed_they_are_found_no_more(shelves: Shelves, unique: Unique) -> None:
    person, other = unique("ana"), unique("ben")
    first, second = unique("ntf_a"), unique("ntf_b")
    rows = [a_row(first, person, "dlv_1"), a_row(first, person, "dlv_2", "RETRY"), a_row(second, person, "dlv_3", shards=64)]
    await asyncio.gather(*(shelves.deliveries.record_if_absent(row) for row in (*rows, a_row(first, other, "dlv_4"))))

    async def found() -> list[str]:
        return [row.delivery_id async for page in shelves.traces.deliveries("dev", person) for row in page]

    async def all_of_them() -> bool:
        return sorted(await found()) == ["dlv_1", "dlv_2", "dlv_3"]

    async def none() -> bool:
        return await found() == []

    await eventually(all_of_them)
    after = [await shelves.forgetting.delivery(row, "erased_x", NOON) for row in rows]
    assert [row and (row.state, row.recipient, row.answer) for row in after] == [
        ("SENT", "erased_x", None),
        ("SKIPPED", "erased_x", None),
        ("SENT", "erased_x", None),
    ]
    await eventually(none)
    kept = await shelves.deliveries.get("dev", second, "dlv_3", rows[2].shard)
    assert kept is not None
    assert (kept.recipient, kept.shard) == ("erased_x", rows[2].shard), "it stays in its shard"
    again = await shelves.forgetting.delivery(rows[0], "erased_x", NOON)
    assert again == after[0], "forgotten again it stays as it is"


async def test_what_belongs_together_comes_in_one_page_and_everything_once(
    shelves: Shelves, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.dynamo.traces.PAGE", 3)
    person, names = unique("ana"), [unique(f"ntf_{letter}") for letter in "abcd"]
    rows = [a_row(name, person, f"dlv_{number}") for name in names for number in (1, 2)]
    await asyncio.gather(*(shelves.deliveries.record_if_absent(row) for row in rows))
    topics = tuple(f"topic-{number}" for number in range(7))
    await shelves.contacts.subscribe("dev", person, topics)

    async def all_of_them() -> bool:
        pages = [page async for page in shelves.traces.deliveries("dev", person)]
        subscribed = [row["topic"] async for page in shelves.traces.subscriptions("dev", person) for row in page]
        whole = [{row.notification_id for row in page} for page in pages if len(page) == 2] == [{name} for name in names]
        return whole and [str(topic).rsplit("#", 1)[0] for topic in subscribed] == list(topics)

    await eventually(all_of_them)


async def test_two_who_were_told_the_same_can_be_forgotten_at_once(shelves: Shelves, unique: Unique) -> None:
    people, notification = (unique("ana"), unique("ben"), unique("zoe")), unique("ntf")
    await shelves.notifications.put_if_absent(a_notification(notification, *people))
    note = Unplanned(status="SCHEDULED", producer="p", request_id="r", at=NOON, people=people)
    await shelves.notifications.note_unplanned("dev", notification, note)
    ana, ben, zoe = people
    await asyncio.gather(
        shelves.forgetting.notification("dev", notification, ana, "erased_a"),
        shelves.forgetting.notification("dev", notification, ben, "erased_b"),
    )
    await shelves.forgetting.note("dev", notification, ana)
    found = await shelves.notifications.get("dev", notification)
    assert found is not None
    assert [line.recipient for line in found.plan.lines] == ["erased_a", "erased_b", zoe]
    assert found.request.message == Message(body="Hi"), "it is Zoe's as well"
    noted = await shelves.notifications.unplanned("dev", notification)
    assert noted is not None
    assert noted.people == (ben, zoe)


def a_notification(name: str, *people: str) -> Notification:
    lines = tuple(PlannedDelivery(delivery_id=f"dlv_{who}", recipient=who, channel="in_app") for who in people)
    return Notification(
        notification_id=name,
        environment="dev",
        producer="kafka",
        request_id=name,
        body_hash="x",
        origin="t/0/0",
        accepted_at=NOON,
        planned_at=NOON,
        request=NotificationRequest(to=tuple(PersonTarget(user=who) for who in people), message=Message(body="Hi")),
        plan=Plan(lines=lines, type="plain@1", category="general", template=None, priority="normal"),
    )
