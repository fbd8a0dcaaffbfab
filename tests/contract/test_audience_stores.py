# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Audiences: who belongs since when, read page by page; and the cursor that only moves from where it was seen."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from infrastructure.dynamo.client import open_dynamo
from infrastructure.dynamo.contacts import ContactStore, Member
from infrastructure.settings import Settings
from schemas.audiences import EVERYONE, Progress, Tally
from schemas.deliveries import DeliveryRecord, row_of
from schemas.ids import shard_of
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


async def everybody_in(shelves: Shelves, topic: str) -> set[str]:
    """Every shard of a topic, walked page by page; nobody is met twice."""
    found: list[str] = []
    for shard in range(await shelves.contacts.shards("dev")):
        after = ""
        while page := await shelves.contacts.members("dev", topic, shard, after=after, limit=7):
            found += [member.person for member in page]
            after = page[-1].person
    assert len(found) == len(set(found))
    return set(found)


async def test_a_topic_is_who_subscribed_each_in_their_own_shard(shelves: Shelves, unique: Unique) -> None:
    topic, shards = unique("news"), await shelves.contacts.shards("dev")
    people = {unique("p") for _ in range(40)}
    for person in people:
        await shelves.contacts.subscribe("dev", person, (topic, topic))
    assert await everybody_in(shelves, topic) == people
    assert await everybody_in(shelves, unique("empty")) == set()
    for shard in range(shards):
        page = await shelves.contacts.members("dev", topic, shard, after="", limit=40)
        assert [member.person for member in page] == sorted(each for each in people if shard_of(each, shards) == shard)


async def test_who_subscribes_again_has_belonged_since_the_first_time(shelves: Shelves, unique: Unique) -> None:
    topic, ana = unique("news"), unique("ana")
    shard = shard_of(ana, await shelves.contacts.shards("dev"))
    for hours in (0, 1):
        await shelves.contacts.subscribe("dev", ana, (topic,), NOON + timedelta(hours=hours))
    assert await shelves.contacts.members("dev", topic, shard, after="", limit=9) == [Member(ana, NOON)]

    await shelves.contacts.unsubscribe("dev", ana, (topic,))
    assert await shelves.contacts.members("dev", topic, shard, after="", limit=9) == []
    later = NOON + timedelta(hours=2)
    await shelves.contacts.subscribe("dev", ana, (topic,), later)
    assert await shelves.contacts.members("dev", topic, shard, after="", limit=9) == [Member(ana, later)]


async def test_an_environment_keeps_the_shard_count_it_began_with(settings: Settings) -> None:
    async with open_dynamo(settings) as dynamo:
        counts = await asyncio.gather(*(ContactStore(dynamo, wish).shards("test") for wish in (3, 5, 8, 13)))
        assert {*counts, await ContactStore(dynamo, 21).shards("test")} == {counts[0]}


async def test_a_walk_begins_once_and_moves_only_from_where_it_was_seen(racing_shelves: Shelves, unique: Unique) -> None:
    start = await racing_shelves.expansions.get("dev", unique("ntf"), 3)
    assert (start.cursor, start.version, start.done) == ("", 0, False)

    def page(cursor: str) -> Progress:
        return start.past(start.model_copy(update={"cursor": cursor, "members": 2, "planned": 2, "updated_at": NOON}))

    advance = partial(racing_shelves.expansions.advance, due_at=NOON)
    found = await asyncio.gather(*(advance(start, page(f"p{n}")) for n in range(8)))
    assert len({each.cursor for each in found}) == 1, "one of them moved, the others are told where it stands"
    assert found[0] == await racing_shelves.expansions.get("dev", start.notification_id, 3)
    assert (found[0].version, found[0].members) == (1, 2)

    ended = await advance(found[0], found[0].ended("cancelled", NOON))
    assert (ended.done, ended.stopped, ended.cursor, ended.version) == (True, "cancelled", found[0].cursor, 2)
    assert await advance(found[0], page("p9")) == ended, "who saw an older one moves nothing"
    others = await racing_shelves.expansions.of("dev", start.notification_id, 4)
    assert [each.done for each in others] == [False, False, False, True]


async def test_a_ledger_of_many_shards_is_one_ledger(shelves: Shelves, unique: Unique) -> None:
    notification, shards = unique("ntf"), 5
    records = [
        DeliveryRecord(
            environment="dev",
            notification_id=notification,
            delivery_id=f"dlv_{n}",
            recipient=unique("p"),
            channel="email",
            shards=shards,
        )
        for n in range(30)
    ]
    assert len({record.shard for record in records}) == shards
    for record in records[:20]:
        await shelves.deliveries.claim(record, NOON)
    for record in records[20:]:
        await shelves.deliveries.record(row_of(record, NOON, state="SKIPPED", reason="no_address", version=1))
    rows = await shelves.deliveries.of("dev", notification, shards)
    assert {row.delivery_id for row in rows} == {record.delivery_id for record in records}
    assert (await shelves.deliveries.tally("dev", notification, shards)) == Tally(
        Counter({"IN_FLIGHT": 20, "SKIPPED": 10}), 30
    )
    for shard in range(shards):
        mine = sorted(record.delivery_id for record in records if record.shard == shard)
        first = await shelves.deliveries.page("dev", notification, shard, limit=2)
        rest = await shelves.deliveries.page("dev", notification, shard, after=first[-1].delivery_id, limit=30)
        assert [row.delivery_id for row in (*first, *rest)] == mine
        assert len(first) == 2
    found = await shelves.deliveries.get("dev", notification, "dlv_7", records[7].shard)
    assert found is not None
    assert (found.recipient, found.shards) == (records[7].recipient, shards)


async def test_the_first_of_two_rows_wins(shelves: Shelves, unique: Unique) -> None:
    record = DeliveryRecord(
        environment="dev", notification_id=unique("ntf"), delivery_id="dlv_1", recipient="ana", channel="email", shards=16
    )
    skip = row_of(record, NOON, state="SKIPPED", reason="no_address", version=1)
    assert await shelves.deliveries.record_if_absent(skip) == skip
    other = skip.model_copy(update={"reason": "capped"})
    assert await shelves.deliveries.record_if_absent(other) == skip
    claim = await shelves.deliveries.claim(record, NOON)
    assert claim.delivery == skip


async def test_a_person_sees_the_topics_they_belong_to_and_since_when(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await shelves.contacts.change("dev", person, {"name": "Ana"})
    await shelves.contacts.subscribe("dev", person, ("news", "teams/blue"), NOON)
    await shelves.contacts.subscribe("dev", person, ("news",), NOON + timedelta(days=1))
    assert await shelves.contacts.topics_of("dev", person) == {"news": NOON, "teams/blue": NOON}
    await shelves.contacts.unsubscribe("dev", person, ("news", "never"))
    assert await shelves.contacts.topics_of("dev", person) == {"teams/blue": NOON}


async def test_a_contact_changes_in_what_is_said_and_keeps_the_rest(shelves: Shelves, unique: Unique) -> None:
    person = unique("zoe")
    await shelves.contacts.change("dev", person, {"email": "zoe@example.com", "email_verified": True, "name": "Zoe"})
    changed = await shelves.contacts.change("dev", person, {"email": None, "email_verified": False})
    assert changed == await shelves.contacts.get("dev", person)
    assert (changed.email, changed.email_verified, changed.name) == (None, False, "Zoe")
    assert person in await everybody_in(shelves, EVERYONE)


@pytest.mark.parametrize("shards", [1, 16])
async def test_the_newer_of_two_rows_stays_whoever_writes_last(shelves: Shelves, unique: Unique, shards: int) -> None:
    record = DeliveryRecord(
        environment="dev",
        notification_id=unique("ntf"),
        delivery_id="dlv_1",
        recipient="ana",
        channel="in_app",
        shards=shards,
    )
    stored = row_of(record, NOON, state="SENT", version=1).with_step("")
    recalled = row_of(record, NOON, state="CANCELLED", version=1000).with_step("")
    for row in (recalled, stored, recalled):
        await shelves.deliveries.record(row)
    found = await shelves.deliveries.get("dev", record.notification_id, "dlv_1", record.shard)
    assert found == recalled


async def test_of_two_who_write_an_audiences_row_at_once_the_newer_one_stays(shelves: Shelves, unique: Unique) -> None:
    """persist tells that the inbox has it, while whoever takes the audience back tells that it is gone again."""
    notification = unique("ntf")
    for number in range(30):
        ids = {"environment": "dev", "notification_id": notification, "delivery_id": f"dlv_{number}"}
        record = DeliveryRecord.model_validate(ids | {"recipient": "ana", "channel": "in_app", "shards": 16})
        rows = [
            row_of(record, NOON, state="SENT", version=1).with_step(""),
            row_of(record, NOON, state="CANCELLED", version=1000).with_step(""),
        ]
        await asyncio.gather(*(shelves.deliveries.record(row) for row in rows))
        found = await shelves.deliveries.get("dev", notification, record.delivery_id, record.shard)
        assert found is not None
        assert (found.state, found.version) == ("CANCELLED", 1000)
