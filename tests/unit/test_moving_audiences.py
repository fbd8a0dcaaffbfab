"""Another time for an audience that is being walked: what waits of it moves, what went out stays, nobody is met twice."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from consumers.handlers import expand
from schemas.audiences import PAGE
from schemas.deliveries import Delivery
from schemas.outcomes import Sent, Unavailable
from tests.fakes.stores import FAKE_SHARDS
from tests.unit.clockwork import Clockwork, wall_in
from tests.unit.stories import a_request, now
from tests.unit.test_rescheduling import a_move, what_came_of_it
from tests.unit.test_wall_clock import BERLIN, HOUR, TOKYO, due_in, hours_pass

HERE = ("ana", "ben", "cleo", "dan")


async def a_campaign(*people: str, ahead: timedelta = 4 * HOUR, **body: Any) -> Clockwork:
    """To all who live in Berlin, at a time that comes there after a while: its walk is under way already."""
    works = Clockwork(*(Sent("250"),) * 10)
    for person in people or HERE:
        await works.floor.knows(person, f"{person}@x.io")
        await works.floor.contacts.subscribe("dev", person, ("news",), now() - HOUR)
        await works.chooses(person, zone=BERLIN)
    whole = {"to": [{"topic": "news"}], "channels": ["in_app", "email"], "send_at": wall_in(BERLIN, ahead)}
    await works.sends(**whole | body)
    return works


async def counts(works: Clockwork) -> Counter[str]:
    """What its walks have counted of the wish that is in force."""
    notification = works.floor.notification
    walks = await works.floor.expansions.of("dev", notification.notification_id, FAKE_SHARDS)
    assert all(walk.has_moved(notification.wish) for walk in walks)
    return Counter(moved=sum(walk.moving.moved for walk in walks if walk.moving))


async def test_moved_later_nothing_goes_out_before_its_new_time_and_then_all_of_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works = await a_campaign()
    await works.reads(a_move(wall_in(BERLIN, 8 * HOUR)))
    assert due_in(works) == {8}
    assert await counts(works) == {"moved": 8}
    hours_pass(monkeypatch, 4.1)
    await works.fire(up_to=now() + 5 * HOUR)
    assert (works.inboxes, works.floor.channel.sent) == ([], [])
    hours_pass(monkeypatch, 8.1)
    await works.fire(up_to=now() + 9 * HOUR)
    assert (works.inboxes, len(works.floor.channel.sent)) == (sorted(HERE), 4)


async def test_moved_earlier_it_goes_out_then_and_the_old_timers_find_it_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_campaign()
    await works.reads(a_move(wall_in(BERLIN, HOUR)))
    hours_pass(monkeypatch, 1.1)
    await works.fire(up_to=now() + 2 * HOUR)
    assert (works.inboxes, len(works.floor.channel.sent)) == (sorted(HERE), 4)
    await works.fire(up_to=now() + 9 * HOUR)
    assert len(works.floor.channel.sent) == 4


async def test_who_has_had_it_keeps_it_and_the_others_move() -> None:
    works = await a_campaign("ana", "ben", ahead=HOUR, channels=["in_app"])
    await works.chooses("ben", zone=TOKYO)
    await works.fire()
    assert works.inboxes == ["ben"], "there it has been that late for hours"
    await works.persist_reads()
    await works.reads(a_move(wall_in(BERLIN, 5 * HOUR)))
    assert works.states() == {("ana", "in_app"): "RETRY", ("ben", "in_app"): "SENT"}
    assert (await counts(works), due_in(works)) == ({"moved": 1}, {5})


async def test_people_named_beside_it_are_answered_one_by_one_and_the_audience_is_counted() -> None:
    works = await a_campaign("ana", "ben", to=[{"topic": "news"}, {"user": "ana"}], channels=["in_app"])
    await works.reads(a_move(wall_in(BERLIN, 7 * HOUR)))
    answer = what_came_of_it(works)
    assert ([each.recipient for each in answer.deliveries or ()], answer.has_audience) == (["ana"], True)
    assert (await counts(works), due_in(works)) == ({"moved": 1}, {7})


async def test_those_who_are_reached_only_afterwards_find_the_new_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page is out when the walk rests; the move comes, and then the rest of the audience."""
    monkeypatch.setattr(expand, "_STRETCH_S", -1.0)
    people = tuple(f"p{number:04}" for number in range(2 * FAKE_SHARDS * PAGE))
    works = Clockwork()
    for person in people:
        await works.floor.contacts.subscribe("dev", person, ("news",), now() - HOUR)
    await works.sends(to=[{"topic": "news"}], channels=["in_app"], send_at=wall_in("UTC", 4 * HOUR))
    assert len(works.rows()) == FAKE_SHARDS * PAGE
    await works.reads(a_move(wall_in("UTC", 9 * HOUR)))
    while await works.fire(up_to=now() + timedelta(seconds=10)):
        pass
    assert len(works.rows()) == len(people)
    assert due_in(works) == {9}


async def test_one_that_lies_down_while_the_move_is_carried_out_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker read the old time, and writes its row when those that rest have been looked for already."""
    works = await a_campaign("ana", ahead=HOUR, channels=["in_app"])
    floor, [row] = works.floor, works.rows().values()
    floor.deliveries.rows.clear()  # as if its record were still to be read
    rest = floor.deliveries.rest

    async def rest_later(wanted: Delivery) -> Delivery:
        monkeypatch.setattr(floor.deliveries, "rest", rest)
        await floor.route.handle(a_move(wall_in(BERLIN, -HOUR)))
        await floor.walks()
        return await rest(wanted)

    monkeypatch.setattr(floor.deliveries, "rest", rest_later)
    assert row.turn == 1
    await works.fire(up_to=now() + 2 * HOUR)
    await works.fire()
    assert works.inboxes == ["ana"]


async def test_who_has_left_the_topic_since_is_moved_like_all_who_were_reached() -> None:
    works = await a_campaign()
    await works.floor.contacts.unsubscribe("dev", "ana", ("news",))
    await works.reads(a_move(wall_in(BERLIN, 2 * HOUR)))
    assert (await counts(works), due_in(works)) == ({"moved": 8}, {2})


async def test_an_outage_in_the_middle_is_gone_on_from_and_nothing_is_counted_twice() -> None:
    works = await a_campaign()
    await works.floor.route.handle(a_move(wall_in(BERLIN, 6 * HOUR)))
    works.floor.outage.sparing["expansions.advance"] = 1
    works.floor.outage.failing["expansions.advance"] = 1
    with pytest.raises(Unavailable):
        await works.floor.walks()
    await works.floor.walks()
    assert (await counts(works), due_in(works)) == ({"moved": 8}, {6})


async def test_the_latest_wish_counts_though_an_older_one_is_carried_out_meanwhile() -> None:
    works = await a_campaign()
    await works.floor.route.handle(a_move(wall_in(BERLIN, 6 * HOUR)))
    await works.floor.route.handle(a_move(wall_in(BERLIN, 3 * HOUR), offset=2, at=timedelta(seconds=1)))
    await asyncio.gather(works.floor.walks(), works.floor.walks())
    assert (await counts(works), due_in(works)) == ({"moved": 8}, {3})


async def test_cancelled_after_it_was_moved_all_of_it_is_stopped() -> None:
    works = await a_campaign()
    await works.reads(a_move(wall_in(BERLIN, 6 * HOUR)))
    await works.reads(a_request(b'{"cancel": "r-1"}', offset=2))
    await works.fire(up_to=now() + 9 * HOUR)
    await works.persist_reads()
    assert (set(works.states().values()), works.inboxes, works.floor.channel.sent) == ({"CANCELLED"}, [], [])


async def test_a_cap_that_was_full_is_asked_again_at_the_new_time() -> None:
    """What its record knew of its caps travels along."""
    works = await a_campaign("ana")
    [row, other] = works.rows().values()
    works.floor.deliveries.put(row.model_copy(update={"capped": True}))
    await works.reads(a_move(wall_in(BERLIN, 6 * HOUR)))
    timers = [timer for timer in works.floor.timers.timers.values() if f"turn#{row.delivery_id}#2" == timer.timer_id]
    assert ['"capped":true' in timer.value for timer in timers] == [True]
    assert not other.capped


@pytest.mark.parametrize("digest", [None, {"key": "post-7", "window": "1h"}])
async def test_a_timer_that_fires_before_its_row_is_written_comes_back_until_it_is(
    monkeypatch: pytest.MonkeyPatch, digest: dict[str, str] | None
) -> None:
    """Moved to what has passed already, a turn is due at once: while whoever moves it is still writing, or has died."""
    works = await a_campaign("ana", channels=["email"], digest=digest)
    floor = works.floor
    await floor.route.handle(a_move(wall_in(BERLIN, -HOUR)))
    floor.outage.failing["deliveries.rest"] = 1
    with pytest.raises(Unavailable):
        await floor.walks()
    unread, floor.publisher.records[:] = list(floor.publisher.records), []
    await works.fire()
    assert due_in(works) == {4}, "its row knows nothing of the move yet"
    floor.publisher.records[:] = unread
    await floor.walks()
    hours_pass(monkeypatch, 0.1)
    await works.fire(up_to=now() + timedelta(seconds=10))
    states = {row.state for row in works.rows().values() if row.notification_id == floor.notification.notification_id}
    assert states == {"DIGESTED" if digest else "SENT"}
    assert len(floor.channel.sent) == (0 if digest else 1)
