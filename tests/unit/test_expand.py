"""An audience is walked page by page: everybody in it once, whatever dies, races, waits or is cancelled in between."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consumers.handlers import expand
from infrastructure.ports import Outgoing, Received
from schemas.audiences import EVERYONE, PAGE, ledger_shards, topics_named
from schemas.ids import delivery_id, notification_id, shard_of
from schemas.outcomes import Retry, Unavailable
from schemas.requests import NotificationRequest
from tests.fakes.stores import FAKE_SHARDS
from tests.unit.stories import Floor, a_request, as_read, now
from tests.unit.test_cancel import a_cancellation

NEWS = {"to": [{"topic": "news"}]}
BULK = "in-app.bulk"


def recipients(records: list[Received]) -> Counter[str]:
    return Counter(json.loads(record.value or b"")["recipient"] for record in records)


async def a_floor(*people: str, topic: str = "news") -> Floor:
    floor = Floor()
    for person in people:
        await floor.contacts.subscribe("dev", person, (topic,), now() - timedelta(hours=1))
    return floor


def a_crowd(size: int) -> tuple[str, ...]:
    return tuple(f"p{number:04}" for number in range(size))


async def a_routed_crowd(size: int, body: dict[str, Any] | None = None) -> Floor:
    floor = await a_floor(*a_crowd(size))
    await floor.route.handle(a_request(NEWS | (body or {})))
    return floor


def in_shard(people: tuple[str, ...], shard: int) -> list[str]:
    return [person for person in people if shard_of(person, FAKE_SHARDS) == shard]


async def dies_within_its_first_page(floor: Floor) -> None:
    """Whoever walks the first shard: two records of the page are out, and the cursor does not know."""
    floor.publisher.fail_next_after(2)
    with pytest.raises(Unavailable):
        await floor.expand.handle(floor.handed_out("expand")[0])


async def counted(floor: Floor) -> Counter[str]:
    found: Counter[str] = Counter()
    for progress in await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS):
        found.update(members=progress.members, planned=progress.planned, skipped=progress.skipped, done=progress.done)
    return +found


async def test_everybody_who_belongs_gets_it_once_as_bulk() -> None:
    floor = await a_routed_crowd(9)
    assert floor.notification.plan.lines == ()
    assert len(floor.handed_out("expand")) == FAKE_SHARDS
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == Counter(a_crowd(9))
    assert await counted(floor) == {"members": 9, "planned": 9, "done": FAKE_SHARDS}


async def test_each_of_them_finds_it_in_the_inbox() -> None:
    floor = await a_routed_crowd(5)
    await floor.walks()
    for record in floor.handed_out(BULK):
        await floor.in_app.handle(record)
        await floor.in_app.handle(record)
    assert Counter(person for _, person, _ in floor.inbox.items) == Counter(a_crowd(5))
    for record in [as_read(sent) for sent in floor.publisher.on("notifications.dev.status")]:
        await floor.persist.handle(record)
    shards = floor.notification.plan.shards
    assert shards == 16
    assert (await floor.deliveries.tally("dev", floor.notification.notification_id, shards)).states == {"SENT": 5}
    assert {row.shards for row in floor.deliveries.rows.values()} == {shards}


async def test_who_is_named_and_belongs_gets_it_once_and_first() -> None:
    floor = await a_floor("ana", "ben")
    await floor.route.handle(a_request({"to": ["ana", {"topic": "news"}]}))
    await floor.walks()
    assert recipients(floor.handed_out("in-app")) == {"ana": 1}
    assert recipients(floor.handed_out(BULK)) == {"ben": 1}


async def test_who_belongs_to_several_audiences_gets_it_once() -> None:
    floor = await a_floor("ana", "ben")
    for person in ("ben", "cleo"):
        await floor.contacts.subscribe("dev", person, ("sport",), now() - timedelta(hours=1))
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"to": [{"topic": "news"}, {"topic": "sport"}, {"all": True}]}))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 1, "ben": 1, "cleo": 1}


async def test_pages_of_several_large_topics_leave_nobody_out_and_meet_nobody_twice() -> None:
    news, sport = a_crowd(3 * PAGE), tuple(f"p{number:04}" for number in range(1, 6 * PAGE, 2))
    floor = await a_floor(*news)
    for person in sport:
        await floor.contacts.subscribe("dev", person, ("sport",), now() - timedelta(hours=1))
    await floor.route.handle(a_request({"to": [{"topic": "news"}, {"topic": "sport"}]}))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == Counter({*news, *sport})
    assert (await counted(floor))["members"] == len({*news, *sport})


async def test_who_subscribes_later_is_not_in_and_who_leaves_before_their_page_is_out() -> None:
    floor = await a_floor("ana", "ben")
    await floor.route.handle(a_request(NEWS))
    await floor.contacts.subscribe("dev", "late", ("news",), now() + timedelta(seconds=1))
    await floor.contacts.unsubscribe("dev", "ben", ("news",))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 1}


async def test_who_subscribes_until_the_time_it_is_sent_at_is_in() -> None:
    floor = await a_floor("ana")
    sent_at = now() - timedelta(minutes=1)  # route plans it when its time has come
    await floor.contacts.subscribe("dev", "early", ("news",), sent_at - timedelta(seconds=1))
    await floor.contacts.subscribe("dev", "late", ("news",), sent_at + timedelta(seconds=1))
    accepted = sent_at - timedelta(hours=1)
    request = a_request(NEWS | {"send_at": sent_at.isoformat()})
    await floor.route.handle(replace(request, timestamp_ms=int(accepted.timestamp() * 1000)))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 1, "early": 1}


async def test_the_cutoff_of_a_clock_that_is_ahead_is_now() -> None:
    floor = await a_floor("ana")
    ahead_ms = int((now() + timedelta(hours=1)).timestamp() * 1000)
    await floor.route.handle(replace(a_request(NEWS), timestamp_ms=ahead_ms))
    await floor.contacts.subscribe("dev", "late", ("news",), now() + timedelta(minutes=1))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 1}


async def test_who_was_in_one_topic_before_is_in_though_they_joined_another_later() -> None:
    floor = await a_floor("ana")
    await floor.contacts.subscribe("dev", "ana", ("sport",), now() + timedelta(hours=1))
    await floor.route.handle(a_request({"to": [{"topic": "sport"}, {"topic": "news"}]}))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 1}


async def test_a_page_full_of_people_who_came_later_is_not_the_end() -> None:
    floor = await a_floor("z-last")
    for person in a_crowd(3 * PAGE):
        await floor.contacts.subscribe("dev", person, ("news",), now() + timedelta(hours=1))
    await floor.route.handle(a_request(NEWS))
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"z-last": 1}


@pytest.mark.parametrize("away", ["contacts.members", "expansions.advance", "expansions.get", "notifications.get"])
async def test_an_outage_in_the_middle_is_gone_on_from_and_nobody_is_counted_twice(away: str) -> None:
    floor = await a_routed_crowd(3 * PAGE)
    [record, *_] = floor.handed_out("expand")
    floor.outage.away.add(away)
    with pytest.raises(Unavailable):
        await floor.expand.handle(record)
    floor.outage.away.clear()
    await floor.walks()
    assert set(recipients(floor.handed_out(BULK))) == set(a_crowd(3 * PAGE))
    assert (await counted(floor))["planned"] == 3 * PAGE


async def test_a_death_between_two_pages_repeats_none_of_the_pages_before() -> None:
    size = 4 * PAGE
    floor = await a_routed_crowd(size)
    [record, _] = floor.handed_out("expand")
    floor.publisher.fail_next_after(PAGE + 10)
    with pytest.raises(Unavailable):
        await floor.expand.handle(record)
    await floor.walks()
    found = recipients(floor.handed_out(BULK))
    assert set(found) == set(a_crowd(size))
    twice = {person for person, times in found.items() if times > 1}
    first_page = in_shard(a_crowd(size), 0)[:PAGE]
    assert twice
    assert not twice & set(first_page)
    ids = Counter(json.loads(each.value or b"")["delivery_id"] for each in floor.handed_out(BULK))
    assert len(ids) == size, "what is repeated has the same ids, and deliver absorbs it"


async def test_two_who_walk_one_shard_at_once_go_on_from_each_other_and_count_it_once() -> None:
    floor = await a_routed_crowd(6 * PAGE)
    records = floor.handed_out("expand")
    await asyncio.gather(*(floor.expand.handle(record) for record in [*records, *records]))
    assert set(recipients(floor.handed_out(BULK))) == set(a_crowd(6 * PAGE))
    assert await counted(floor) == {"members": 6 * PAGE, "planned": 6 * PAGE, "done": FAKE_SHARDS}


async def test_while_the_channel_is_behind_a_shard_rests_in_a_timer_and_comes_back() -> None:
    floor = await a_routed_crowd(3)
    floor.backlog.waits_s["in_app", "bulk"] = 10.1
    await floor.walks()
    assert floor.handed_out(BULK) == []
    assert len(floor.timers.timers) == FAKE_SHARDS
    await floor.walks()
    floor.backlog.waits_s["in_app", "bulk"] = 10.0
    for timer in list(floor.timers.timers.values()):
        assert timer.due_at > now()
        await floor.expand.handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))
    assert recipients(floor.handed_out(BULK)) == Counter(a_crowd(3))


async def test_somebody_elses_backlog_does_not_hold_it() -> None:
    floor = await a_routed_crowd(3)
    floor.backlog.waits_s |= {("email", "bulk"): 99, ("in_app", "normal"): 99}
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == Counter(a_crowd(3))


async def test_cancelled_in_the_middle_it_stops_at_the_next_page() -> None:
    floor = await a_routed_crowd(6 * PAGE)
    [record, other] = floor.handed_out("expand")
    floor.backlog.before_look(2, floor.cancelled)
    await floor.expand.handle(record)
    await floor.expand.handle(other)
    handed_out = floor.handed_out(BULK)
    assert recipients(handed_out) == Counter(in_shard(a_crowd(6 * PAGE), 0)[: 2 * PAGE])
    assert (await counted(floor))["done"] == FAKE_SHARDS
    walks = await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS)
    assert [(walk.stopped, walk.planned) for walk in walks] == [("cancelled", 2 * PAGE), ("cancelled", 0)]
    for each in handed_out[:5]:
        await floor.in_app.handle(each)
    assert floor.inbox.items == {}, "what was handed out is stopped by deliver"


async def a_cancelled_crowd(*, stored: int, size: int = 8) -> Floor:
    """Everybody handed out, some of them stored, then cancelled and taken back."""
    floor = await a_routed_crowd(size)
    await floor.walks()
    for record in floor.handed_out(BULK)[:stored]:
        await floor.in_app.handle(record)
    await floor.route.handle(a_cancellation())
    await floor.walks()
    return floor


async def test_what_an_audience_has_in_its_inboxes_is_recalled_and_what_is_on_its_way_stopped() -> None:
    floor = await a_cancelled_crowd(stored=5)
    for record in floor.handed_out(BULK):
        await floor.in_app.handle(record)
    assert floor.inbox.items == {}
    assert Counter(floor.inbox.withdrawn.values()) == {"recalled": 5, "stopped": 3}
    notification, shards = floor.notification.notification_id, floor.notification.plan.shards
    assert (await floor.deliveries.tally("dev", notification, shards)).states == {"CANCELLED": 8}, (
        "before persist has read of it"
    )
    for record in [as_read(sent) for sent in floor.publisher.on("notifications.dev.status")]:
        await floor.persist.handle(record)
    assert (await floor.deliveries.tally("dev", notification, shards)).states == {"CANCELLED": 8}
    walks = await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS)
    assert [(walk.done, walk.taken_back) for walk in walks] == [(True, True)] * FAKE_SHARDS


async def test_taking_back_goes_page_by_page_and_an_outage_in_it_is_gone_on_from() -> None:
    size = 5 * PAGE
    floor = await a_routed_crowd(size)
    await floor.walks()
    await floor.route.handle(a_cancellation())
    floor.publisher.fail_next_after(PAGE + 10)
    with pytest.raises(Unavailable):
        await floor.walks()
    await floor.walks()
    assert {person for _, person, _ in floor.inbox.withdrawn} == set(a_crowd(size))


async def test_only_those_who_were_handed_out_are_taken_back() -> None:
    floor = await a_routed_crowd(6 * PAGE)
    floor.backlog.before_look(2, floor.cancelled)
    await floor.walks()
    assert {person for _, person, _ in floor.inbox.withdrawn} == set(in_shard(a_crowd(6 * PAGE), 0)[: 2 * PAGE])


async def test_what_was_skipped_stays_skipped_and_a_mail_that_waits_is_stopped() -> None:
    floor = Floor(Retry("http_503"))
    for person in ("ana", "ben"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request(NEWS | {"channels": ["email"]}))
    await floor.walks()
    [record] = floor.handed_out("email.bulk")
    await floor.external().handle(record)
    await floor.route.handle(a_cancellation())
    await floor.walks()
    states = {row.recipient: (row.state, row.reason) for row in floor.deliveries.rows.values()}
    assert states == {"ana": ("CANCELLED", "cancelled"), "ben": ("SKIPPED", "no_address")}


async def test_what_a_dead_walker_has_handed_out_of_a_page_is_counted_and_recalled_too() -> None:
    floor = await a_routed_crowd(8)
    mine = in_shard(a_crowd(8), 0)
    await dies_within_its_first_page(floor)
    for record in floor.handed_out(BULK)[:2]:
        await floor.in_app.handle(record)
    assert len(floor.inbox.items) == 2
    await floor.route.handle(a_cancellation())
    await floor.walks()
    assert floor.inbox.items == {}
    for record in floor.handed_out(BULK):
        await floor.in_app.handle(record)
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))
    ledger = await floor.deliveries.tally("dev", floor.notification.notification_id, floor.notification.plan.shards)
    assert ledger.states == {"CANCELLED": len(mine)}, "the page that was begun, and nobody of the other shard"
    assert await counted(floor) == {"members": len(mine), "planned": len(mine), "done": FAKE_SHARDS}


async def test_a_page_that_was_begun_is_finished_though_its_time_has_passed() -> None:
    floor = await a_routed_crowd(8)
    await dies_within_its_first_page(floor)
    floor.expires()
    floor.backlog.waits_s["in_app", "bulk"] = 99.0
    await floor.walks()
    mine = in_shard(a_crowd(8), 0)
    assert set(recipients(floor.handed_out(BULK))) == set(mine), "so that each of them ends, as EXPIRED"
    assert (await counted(floor))["planned"] == len(mine)


async def test_a_page_that_was_begun_ends_where_it_ended_though_somebody_has_left() -> None:
    floor = await a_routed_crowd(3 * PAGE)
    mine = in_shard(a_crowd(3 * PAGE), 0)
    await dies_within_its_first_page(floor)
    for person in mine[3:6]:
        await floor.contacts.unsubscribe("dev", person, ("news",))
    await floor.cancelled()
    await floor.walks()
    [first, other] = await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS)
    assert (first.cursor, first.members) == (mine[PAGE - 1], PAGE - 3)
    assert (other.cursor, other.members) == ("", 0)


async def test_a_page_that_was_begun_is_finished_though_more_have_joined_than_one_page_holds() -> None:
    floor = await a_routed_crowd(3 * PAGE)
    mine = in_shard(a_crowd(3 * PAGE), 0)
    await dies_within_its_first_page(floor)
    joined = in_shard(tuple(f"p0000-{number}" for number in range(12)), 0)
    assert joined
    for person in joined:
        await floor.contacts.subscribe("dev", person, ("news",), now() + timedelta(hours=1))
    await floor.cancelled()
    await floor.walks()
    [first, _] = await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS)
    assert (first.cursor, first.members) == (mine[PAGE - 1], PAGE)
    assert set(recipients(floor.handed_out(BULK))) == set(mine[:PAGE])


async def test_a_long_shard_rests_after_a_while_and_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "_STRETCH_S", -1.0)
    floor = await a_routed_crowd(3 * PAGE)
    [record, _] = floor.handed_out("expand")
    await floor.expand.handle(record)
    assert len(floor.handed_out(BULK)) == PAGE
    [timer] = floor.timers.timers.values()
    assert (timer.topic, timer.value.encode()) == (record.topic, record.value)
    while floor.timers.timers.popitem()[1].topic == record.topic:
        await floor.expand.handle(record)
    assert recipients(floor.handed_out(BULK)) == Counter(in_shard(a_crowd(3 * PAGE), 0))


async def test_a_cancellation_that_came_first_is_said_by_every_shard() -> None:
    floor = await a_floor("ana")
    await floor.notifications.cancel("dev", notification_id("dev", "kafka", "r-1"), now())
    await floor.route.handle(a_request(NEWS))
    await floor.walks()
    assert floor.handed_out(BULK) == []
    assert (await counted(floor))["done"] == FAKE_SHARDS


async def test_past_its_deadline_nobody_more_gets_it() -> None:
    floor = await a_routed_crowd(3)
    floor.expires()
    await floor.walks()
    assert floor.handed_out(BULK) == []
    walks = await floor.expansions.of("dev", floor.notification.notification_id, FAKE_SHARDS)
    assert {walk.stopped for walk in walks} == {"deadline_passed"}


async def test_a_skip_is_a_row_of_the_ledger_and_said_with_its_reason() -> None:
    floor = await a_floor("ana", "ben")
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request(NEWS | {"channels": ["email"]}))
    await floor.walks()
    assert recipients(floor.handed_out("email.bulk")) == {"ana": 1}
    assert (floor.row.recipient, floor.row.state, floor.row.reason) == ("ben", "SKIPPED", "no_address")
    assert floor.events() == ["routed", "skipped"]
    await floor.walks()
    assert floor.events() == ["routed", "skipped"], "a shard that is done does nothing"


async def test_once_handed_out_stays_handed_out_though_the_address_goes_before_the_repeat() -> None:
    floor = await a_floor("ana")
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request(NEWS | {"channels": ["email"]}))
    floor.outage.sparing["expansions.advance"] = 1  # the page is begun and handed out; then the worker dies
    floor.outage.failing["expansions.advance"] = 1
    with pytest.raises(Unavailable):
        await floor.walks()
    [record] = floor.handed_out("email.bulk")
    await floor.external().handle(record)
    floor.contacts.forget("ana")
    await floor.walks()
    assert (floor.row.state, len(floor.channel.sent)) == ("SENT", 1)
    assert "skipped" not in floor.events()


async def test_a_mail_to_somebody_of_an_audience_goes_where_they_are_reached_now() -> None:
    floor = await a_floor("ana", "ben")
    for person in ("ana", "ben"):
        await floor.knows(person, f"{person}@x.io")
    await floor.route.handle(a_request(NEWS | {"channels": ["email"]}))
    await floor.walks()
    await floor.knows("ana", "new@x.io")
    floor.contacts.forget("ben")
    for record in floor.handed_out("email.bulk"):
        await floor.external().handle(record)
    assert [address for _, address, _ in floor.channel.sent] == ["new@x.io"]
    states = {row.recipient: (row.state, row.reason) for row in floor.deliveries.rows.values()}
    assert states == {"ana": ("SENT", None), "ben": ("SKIPPED", "no_address")}


@pytest.mark.parametrize(
    "forged",
    [
        {"recipient": "eve"},
        {"delivery_id": "dlv_" + "a" * 26},
        {"shards": 1},
        {"endpoint": "other"},
        {"channel": "email"},
        {"notification_id": "ntf_other"},
    ],
)
async def test_a_record_that_says_something_else_than_expand_is_put_away(forged: dict[str, object]) -> None:
    floor = await a_routed_crowd(1)
    await floor.walks()
    [record] = floor.handed_out(BULK)
    value = json.dumps(json.loads(record.value or b"") | forged).encode()
    await floor.in_app.handle(Received(record.topic, 0, 9, record.timestamp_ms, record.key, value, record.headers))
    assert [reason for _, reason in floor.quarantined()] == ["not_planned"]
    assert floor.inbox.items == {}


async def test_somebody_named_cannot_be_met_again_as_part_of_the_audience() -> None:
    floor = await a_floor("ana")
    await floor.knows("ana", "ana@x.io")
    to = [{"user": "ana", "email": "other@x.io"}, {"topic": "news"}]
    await floor.route.handle(a_request({"to": to, "channels": ["email"]}))
    [record] = floor.handed_out("email")
    known = delivery_id(floor.notification.notification_id, "ana", "email", "primary")
    changed = {"delivery_id": known, "endpoint": "primary"}
    value = json.dumps(json.loads(record.value or b"") | changed).encode()
    await floor.external().handle(Received(record.topic, 0, 9, record.timestamp_ms, record.key, value, record.headers))
    assert [reason for _, reason in floor.quarantined()] == ["not_planned"]


async def test_caps_hold_for_an_audience_too() -> None:
    floor = await a_floor("ana")
    for number in range(3):
        await floor.route.handle(a_request(NEWS | {"type": "nudge", "channels": ["in_app"], "request_id": f"n-{number}"}))
    await floor.walks()
    await floor.walks()
    assert recipients(floor.handed_out(BULK)) == {"ana": 2}
    assert [(row.state, row.reason) for row in floor.deliveries.rows.values()] == [("SKIPPED", "capped:nudge:2/1h")]


async def test_who_was_left_out_of_an_inbox_by_a_cap_is_not_said_to_be_cancelled() -> None:
    floor = await a_floor("ana")
    for number in range(3):
        body = {"type": "nudge", "message": "Hi", "channels": ["in_app"], "request_id": f"n-{number}"}
        await floor.route.handle(a_request(NEWS | body))
    await floor.walks()
    for number in range(3):
        await floor.route.handle(a_cancellation(f"n-{number}"))
    await floor.walks()
    assert len(floor.inbox.withdrawn) == 2
    ended = Counter((row.state, row.reason) for row in floor.deliveries.rows.values())
    assert ended == {("SKIPPED", "capped:nudge:2/1h"): 1, ("CANCELLED", "cancelled"): 2}


async def test_a_record_that_is_no_shard_of_ours_is_put_away() -> None:
    floor = await a_routed_crowd(1, {"to": "ana"})
    nobody = {"environment": "dev", "notification_id": floor.notification.notification_id, "shard": 0}
    for value in (b"{", json.dumps(nobody).encode(), json.dumps(nobody | {"notification_id": "ntf_x"}).encode()):
        await floor.expand.handle(Received("notifications.dev.expand", 0, 0, 0, None, value, ()))
    assert [reason for _, reason in floor.quarantined()] == ["unreadable", "not_planned", "not_planned"]


@pytest.mark.parametrize(
    ("to", "shards"),
    [
        (["ana"], 1),
        ([{"topic": "a"}], 16),
        ([{"topic": "a"}, {"topic": "a"}], 16),
        ([{"topic": "a"}, {"all": True}], 80),
        ([{"topic": f"t{n}"} for n in range(40)], 256),
    ],
)
async def test_the_ledger_of_an_audience_is_spread_and_that_of_people_is_not(to: list[Any], shards: int) -> None:
    floor = Floor()
    await floor.route.handle(a_request({"to": to}))
    assert floor.notification.plan.shards == shards
    assert ledger_shards(floor.notification.plan.audience) == shards


async def test_an_audience_is_bulk_unless_its_type_says_otherwise_and_whatever_the_request_says() -> None:
    floor = await a_floor("ana")
    await floor.route.handle(a_request({"to": ["ben", {"topic": "news"}], "priority": "urgent"}))
    await floor.walks()
    assert recipients(floor.handed_out("in-app.urgent")) == {"ben": 1}
    assert recipients(floor.handed_out(BULK)) == {"ana": 1}
    floor = await a_floor("ana")
    await floor.route.handle(a_request(NEWS | {"type": "alarm"}))
    await floor.walks()
    assert recipients(floor.handed_out("in-app.urgent")) == {"ana": 1}


def test_nobody_can_name_the_topic_of_everybody() -> None:
    with pytest.raises(ValueError, match="topic"):
        NotificationRequest.model_validate({"to": [{"topic": EVERYONE}], "message": "Hi"})
    everybody = NotificationRequest.model_validate({"to": [{"all": True}, {"all": True}], "message": "Hi"})
    assert topics_named(everybody) == (EVERYONE,)
