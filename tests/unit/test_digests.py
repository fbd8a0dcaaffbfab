"""The way of a digest: events join, a timer closes, what was gathered goes out once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.cli.trace import why
from api.status import status_of, timeline_of
from infrastructure.ports import Received
from tests.unit.stories import now
from tests.unit.windows import (
    DAY,
    DIGESTS,
    a_floor,
    an_event,
    digests,
    row_of,
    sends,
    the_digest,
    time_passes,
    timers,
    told,
    windows_close,
)


async def test_events_wait_together_and_go_out_as_one() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3)
    assert floor.handed_out("in-app") == [], "nothing goes by itself"
    assert floor.events() == ["digested", "routed"] * 3
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert item.title == "3 new: Comment 3"
    assert item.message == "3 new:\n• Comment 3\n• Comment 2\n• Comment 1"
    shown = item.data["digest"]
    assert (shown["count"], shown["more"], len(shown["notifications"])) == (3, 0, 3)
    assert told(floor) == ["r-1", "r-2", "r-3"]


async def test_the_row_of_an_event_names_its_digest_and_when_that_closes() -> None:
    floor = a_floor()
    await sends(floor, 1)
    row, [window] = row_of(floor, 1), floor.digests.newest.values()
    assert (row.state, row.reason, row.next_at) == ("DIGESTED", f"digest:{window.window_id}", window.closes_at)
    note = await floor.notifications.unplanned("dev", window.window_id)
    assert note is not None
    assert (note.status, note.due_at) == ("SCHEDULED", window.closes_at), "the digest can be looked up before it is one"
    assert [step.event for step in row.history] == ["digested"]


async def test_the_timeline_and_the_trace_say_where_it_went_and_the_digest_says_what_it_tells() -> None:
    floor = a_floor()
    await sends(floor, 1, 2)
    row = row_of(floor, 1)
    [event] = [
        event for event in timeline_of(floor.notifications.rows["dev", row.notification_id], [row]) if "reason" in event
    ]
    assert row.next_at is not None
    window = row.reason.removeprefix("digest:") if row.reason else ""
    assert why(event) == f"into {window}, closes at {row.next_at:%Y-%m-%d %H:%M:%S} UTC"
    await windows_close(floor)
    assert status_of(the_digest(floor), [])["digest"]["count"] == 2


async def test_a_replayed_event_and_a_doubled_timer_add_nothing() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 1)
    floor.notifications.routed.clear()  # its worker died before it had said so
    await sends(floor, 1, 2)
    await windows_close(floor)
    await windows_close(floor)
    floor.notifications.routed.clear()
    await windows_close(floor)
    await sends(floor, 1)
    assert told(floor) == ["r-1", "r-2"]
    assert len({record.value for record in floor.handed_out("in-app")}) == 1


async def test_a_timer_that_comes_early_puts_the_next_under_another_name() -> None:
    floor = a_floor()
    await sends(floor, 1)
    [first] = floor.timers.timers.values()
    await floor.digest.handle(timers(floor)[0])
    second = next(timer for timer in floor.timers.timers.values() if timer != first)
    assert (second.due_at, second.timer_id != first.timer_id) == (first.due_at, True)
    assert digests(floor) == []


async def test_a_sliding_window_waits_for_the_last_event_and_no_longer_than_its_maximum() -> None:
    floor = a_floor()
    how = {"window": "10m", "mode": "sliding", "max": "25m"}
    await sends(floor, 1, digest=how)
    opened = now()
    for number, passed, waits in ((2, 9, 10), (3, 9, 7), (4, 6, 1)):
        time_passes(floor, timedelta(minutes=passed))
        await sends(floor, number, digest=how)
        await floor.digest.handle(timers(floor)[0])
        due = list(floor.timers.timers.values())[-1].due_at
        assert abs(timedelta(minutes=waits) - (due - opened)) < timedelta(seconds=5)
        [note] = [note for note in floor.notifications.notes.values() if note.request_id.startswith("digest:")]
        assert note.due_at == due, "whoever looks the digest up is told its new time"
    assert digests(floor) == []
    time_passes(floor, timedelta(minutes=1, seconds=1))
    await floor.digest.handle(timers(floor)[0])
    assert told(floor) == ["r-1", "r-2", "r-3", "r-4"]


async def test_what_comes_after_the_end_is_in_the_next_digest_and_what_was_late_is_named() -> None:
    floor = a_floor()
    await sends(floor, 1)
    straggler = replace(an_event(2), timestamp_ms=int(now().timestamp() * 1000) - 1000)  # its way was longer
    await windows_close(floor)
    time_passes(floor, -DAY)
    await floor.route.handle(straggler)
    await sends(floor, 3)
    late, in_time = row_of(floor, 2), row_of(floor, 3)
    assert late.reason == in_time.reason != row_of(floor, 1).reason
    assert (late.answer or "").startswith("late: accepted before the last digest was closed at ")
    assert in_time.answer is None
    await windows_close(floor)
    second = next(digest for digest in digests(floor) if digest.plan.told and digest.plan.told.count == 2)
    assert second.plan.told is not None
    assert second.plan.told.late == 1
    assert second.request.message is not None
    assert "• Comment 2 (late: from " in second.request.message.body


async def test_a_template_gets_items_count_and_more() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3, type="post.liked")
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert (item.title, item.message) == ("3 likes", "Comment 3;Comment 2;+1")
    assert (item.data["digest"]["count"], item.data["digest"]["more"]) == (3, 1)


@pytest.mark.parametrize(("where", "url"), [("/posts/7", "/posts/7"), ("no link at all", None), ("//evil.example", None)])
async def test_a_digest_links_to_the_newest_event_if_that_has_a_link_a_message_may_have(where: str, url: str | None) -> None:
    floor = a_floor()
    await sends(floor, 1, 2, type="linked", message=None, variables={"where": where})
    await windows_close(floor)
    message = the_digest(floor).request.message
    assert message is not None
    assert message.url == url


async def test_a_single_event_stays_as_it_was() -> None:
    floor = a_floor()
    long = "word " * 500
    await sends(floor, 1, message={"title": "Only", "body": long, "data": {"post": 7}})
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert (item.title, item.message, item.data["post"], item.data["digest"]["count"]) == ("Only", long, 7, 1)


async def test_a_window_that_crashes_its_worker_is_put_away_and_tried_again_later() -> None:
    floor = a_floor()
    await sends(floor, 1)
    time_passes(floor)
    [record] = timers(floor)
    floor.timers.timers.clear()
    await floor.digest.bury(record, KeyError("bug"))
    assert [reason for _, reason in floor.quarantined()] == ["crash:KeyError"]
    [again] = floor.timers.timers.values()
    assert again.due_at > now() + timedelta(minutes=14)
    await windows_close(floor)
    assert told(floor) == ["r-1"]


async def test_records_nobody_of_ours_wrote_are_put_away() -> None:
    floor = a_floor()
    await floor.digest.handle(Received(DIGESTS, 0, 0, 0, None, b"{}", ()))
    await floor.digest.bury(Received(DIGESTS, 0, 1, 0, None, b"x", ()), KeyError("bug"))
    assert [reason for _, reason in floor.quarantined()] == ["unreadable", "crash:KeyError"]
