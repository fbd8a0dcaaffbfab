"""A new time for what was sent for later: exact, whoever is faster, and whatever waits."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from infrastructure.ports import Received
from schemas.base import iso
from schemas.outcomes import Sent
from schemas.rescheduling import Rescheduling
from tests.unit.clockwork import Clockwork, wall_in
from tests.unit.stories import a_request, now
from tests.unit.test_wall_clock import BERLIN, HOUR, a_morning, due_in, hours_pass


def a_move(send_at: str, *, offset: int = 1, at: timedelta = timedelta(0)) -> Received:
    """From the same producer; `at` is how much later it was said."""
    record = a_request(f'{{"reschedule": "r-1", "send_at": "{send_at}"}}'.encode(), offset=offset)
    return replace(record, timestamp_ms=record.timestamp_ms + int(at.total_seconds() * 1000))


def in_hours(hours: float) -> str:
    return iso(now() + hours * HOUR)


async def scheduled(hours: float = 5, **body: Any) -> Clockwork:
    """One that waits before it is routed."""
    works = Clockwork(Sent("250"))
    await works.floor.knows("ana", "ana@x.io")
    await works.sends(**{"to": "ana", "channels": ["in_app"], "send_at": in_hours(hours)} | body)
    assert not works.floor.notifications.rows
    return works


def what_came_of_it(works: Clockwork) -> Rescheduling:
    [found] = works.floor.notifications.reschedulings.values()
    return found


def timers(works: Clockwork) -> list[int]:
    return sorted(round((timer.due_at - now()) / HOUR) for timer in works.floor.timers.timers.values())


async def test_what_waits_to_be_routed_is_moved_later_and_its_old_timer_is_gone() -> None:
    works = await scheduled(5)
    await works.reads(a_move(in_hours(9)))
    assert timers(works) == [9]
    assert what_came_of_it(works).deliveries == ()
    [note] = works.floor.notifications.notes.values()
    assert note.due_at is not None
    assert round((note.due_at - now()) / HOUR) == 9
    assert {round((entry.by - now()) / HOUR) for *_, entry in works.floor.schedules.entries} == {9}


async def test_moved_to_now_it_goes_out_now() -> None:
    works = await scheduled(5)
    await works.reads(a_move(in_hours(-1)))
    await works.fire()
    assert works.inboxes == ["ana"]
    assert works.floor.notification.request.send_at is not None
    assert works.floor.notification.request.send_at < now()


async def test_the_old_timer_that_was_firing_meets_the_new_time() -> None:
    works = await scheduled(5)
    [(order, old)] = works.floor.timers.timers.items()
    await works.reads(a_move(in_hours(9)))
    works.floor.timers.timers = {order: old.model_copy(update={"due_at": now()})}
    await works.fire()
    assert works.inboxes == []
    assert timers(works) == [9]


async def test_one_that_was_read_as_the_move_came_rests_until_the_new_time() -> None:
    """Route had looked for a new time before there was one, and plans it right after."""
    works = Clockwork(Sent("250"))
    await works.floor.knows("ana", "ana@x.io")
    await works.reads(a_move(in_hours(9)))
    await works.sends(to="ana", channels=["in_app", "email"])
    assert works.states() == {("ana", "in_app"): "RETRY", ("ana", "email"): "RETRY"}
    assert due_in(works) == {9}


async def test_what_rests_at_each_persons_clock_is_moved_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_morning()
    await works.reads(a_move(wall_in(BERLIN, 4 * HOUR)))
    assert due_in(works) == {4}
    assert [each.answer for each in what_came_of_it(works).deliveries or ()] == ["moved", "moved"]
    hours_pass(monkeypatch, 2.5)
    await works.fire(up_to=now() + 3 * HOUR)
    assert (works.inboxes, works.floor.channel.sent) == ([], [])
    hours_pass(monkeypatch, 4.1)
    await works.fire(up_to=now() + 5 * HOUR)
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)


async def test_moved_earlier_it_goes_out_then_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_morning(ahead=4 * HOUR)
    await works.reads(a_move(wall_in(BERLIN, HOUR)))
    hours_pass(monkeypatch, 1.1)
    await works.fire(up_to=now() + 2 * HOUR)
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)
    await works.fire(up_to=now() + 9 * HOUR)
    assert len(works.floor.channel.sent) == 1


async def test_what_went_out_says_so() -> None:
    works = await a_morning(ahead=-HOUR)
    await works.persist_reads()
    await works.reads(a_move(wall_in(BERLIN, 4 * HOUR)))
    assert [each.answer for each in what_came_of_it(works).deliveries or ()] == ["sent", "sent"]
    await works.fire(up_to=now() + 9 * HOUR)
    assert len(works.floor.channel.sent) == 1


async def test_the_same_move_read_again_changes_nothing() -> None:
    works = await a_morning()
    move = a_move(wall_in(BERLIN, 4 * HOUR))
    await works.reads(move)
    before = works.rows()
    await works.reads(move)
    assert works.rows() == before
    assert [each.answer for each in what_came_of_it(works).deliveries or ()] == ["moved", "moved"]


async def test_an_older_move_that_is_read_again_does_not_undo_a_newer_one() -> None:
    works = await a_morning()
    older = a_move(wall_in(BERLIN, 4 * HOUR))
    await works.reads(older)
    await works.reads(a_move(wall_in(BERLIN, 6 * HOUR), offset=2, at=timedelta(seconds=1)))
    await works.reads(older)
    assert due_in(works) == {6}


async def test_what_was_cancelled_has_no_time_any_more() -> None:
    works = await scheduled(5)
    await works.reads(a_request(b'{"cancel": "r-1"}', offset=1))
    await works.reads(a_move(in_hours(-1), offset=2))
    assert what_came_of_it(works).refused == "cancelled"
    await works.fire(up_to=now() + 9 * HOUR)
    assert works.inboxes == []


async def test_cancelled_after_a_move_it_is_stopped() -> None:
    works = await a_morning()
    await works.reads(a_move(wall_in(BERLIN, 4 * HOUR)))
    await works.reads(a_request(b'{"cancel": "r-1"}', offset=2))
    await works.fire(up_to=now() + 9 * HOUR)
    await works.persist_reads()
    assert (set(works.states().values()), works.inboxes) == ({"CANCELLED"}, [])


async def test_somebody_elses_is_not_theirs_to_move() -> None:
    works = await scheduled(5)
    foreign = a_request(b'{"reschedule": "r-other", "send_at": "2026-12-01T09:00Z"}', offset=1)
    await works.reads(foreign)
    assert timers(works) == [5]


async def test_a_move_without_a_time_is_refused_with_the_field() -> None:
    works = await scheduled(5)
    await works.reads(a_request(b'{"reschedule": "r-1"}', offset=1))
    [receipt] = [each for each in works.floor.receipts() if each["verdict"] == "rejected"]
    assert [error["pointer"] for error in receipt["errors"]] == ["/send_at"]


async def test_dying_in_the_middle_is_made_good_by_reading_it_again() -> None:
    works = await a_morning()
    works.floor.outage.failing["notifications.note_rescheduled"] = 1
    move = a_move(wall_in(BERLIN, 4 * HOUR))
    with pytest.raises(Exception, match="away"):
        await works.reads(move)
    await works.reads(move)
    assert due_in(works) == {4}
    assert isinstance(what_came_of_it(works).send_at, datetime)


async def test_a_further_step_keeps_its_turn_when_the_first_one_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the step before it, and not at the new time whatever became of that."""
    steps = [{"after": "1h", "unless": "seen", "channels": ["email"]}]
    works = await a_morning(channels=["in_app"], fallback=steps)
    await works.reads(a_move(wall_in(BERLIN, 4 * HOUR)))
    assert [each.answer for each in what_came_of_it(works).deliveries or ()] == ["moved"]
    hours_pass(monkeypatch, 4.1)
    await works.fire(up_to=now() + 4.5 * HOUR)
    assert (works.inboxes, works.floor.channel.sent) == (["ana"], [])


async def test_an_audience_moves_until_its_time_comes() -> None:
    works = await scheduled(5, to=[{"topic": "news"}])
    await works.reads(a_move(in_hours(2)))
    assert what_came_of_it(works).refused is None
    assert [round((timer.due_at - now()) / HOUR) for timer in works.floor.timers.timers.values()] == [2]
