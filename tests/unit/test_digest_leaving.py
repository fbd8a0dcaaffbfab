"""What is taken out of a window, and what becomes of it when somebody dies or too many come at once."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from consumers import gathering
from infrastructure.ports import Outgoing, Received
from schemas.outcomes import Unavailable
from tests.unit.stories import as_read, now
from tests.unit.test_cancel import a_cancellation, answers_of
from tests.unit.windows import (
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


async def test_cancelled_in_an_open_window_it_is_out_and_the_others_go() -> None:
    floor = a_floor()
    await sends(floor, 1, 2)
    await floor.route.handle(a_cancellation("r-1"))
    row = row_of(floor, 1)
    assert (row.state, [step.event for step in row.history]) == ("CANCELLED", ["digested", "cancelled"])
    cancellation = await floor.notifications.cancellation("dev", row.notification_id)
    assert cancellation is not None
    assert [each.answer for each in cancellation.deliveries or ()] == ["stopped"]
    await sends(floor, 1)
    await windows_close(floor)
    assert told(floor) == ["r-2"]


async def test_cancelled_before_it_joined_it_never_joins() -> None:
    floor = a_floor()
    floor.outage.failing["digests.join"] = 1
    with pytest.raises(Unavailable):
        await sends(floor, 1)
    await floor.route.handle(a_cancellation("r-1"))
    await sends(floor, 1)
    assert await answers_of(floor) == [("in_app", "stopped")]
    await windows_close(floor)
    assert digests(floor) == []


async def test_a_window_whose_events_are_all_cancelled_sends_nothing_and_says_so() -> None:
    floor = a_floor()
    await sends(floor, 1)
    await floor.route.handle(a_cancellation("r-1"))
    await windows_close(floor)
    assert digests(floor) == []
    [window] = floor.digests.newest.values()
    note = await floor.notifications.unplanned("dev", window.window_id)
    assert note is not None
    assert note.status == "EMPTY"


async def test_cancelled_after_the_end_it_is_what_its_digest_is() -> None:
    for sent, answer in ((False, "digested"), (True, "sent")):
        floor = a_floor()
        await floor.knows("ana", "ana@x.io")
        await sends(floor, 1, channels=["email"])
        await windows_close(floor)
        if sent:
            await floor.external().handle(floor.handed_out()[0])
        await floor.route.handle(a_cancellation("r-1"))
        cancellation = await floor.notifications.cancellation("dev", row_of(floor, 1).notification_id)
        assert cancellation is not None
        assert [each.answer for each in cancellation.deliveries or ()] == [answer]
        assert row_of(floor, 1).state == "DIGESTED"


async def test_a_newer_one_takes_the_older_out_of_the_open_window() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, collapse_key="post-7")
    row = row_of(floor, 1)
    assert (row.state, row.reason) == ("SKIPPED", "superseded")
    await windows_close(floor)
    assert told(floor) == ["r-2"]


async def test_superseded_before_it_joined_it_never_joins() -> None:
    floor = a_floor()
    floor.outage.failing["digests.join"] = 1
    with pytest.raises(Unavailable):
        await sends(floor, 1, collapse_key="post-7")
    await sends(floor, 2, 1, collapse_key="post-7")
    await windows_close(floor)
    assert told(floor) == ["r-2"]


async def test_what_is_in_a_closed_digest_stays_in_it() -> None:
    floor = a_floor()
    await sends(floor, 1, collapse_key="post-7")
    await windows_close(floor)
    await sends(floor, 2, collapse_key="post-7")
    assert row_of(floor, 1).state == "DIGESTED"
    assert told(floor) == ["r-1"]


async def test_what_expires_inside_its_window_is_taken_out_at_the_end() -> None:
    floor = a_floor()
    soon = now() + timedelta(milliseconds=30)
    await sends(floor, 1, expires_at=soon.isoformat())
    await sends(floor, 2)
    await asyncio.sleep((soon - now()).total_seconds() + 0.01)
    await windows_close(floor)
    row = row_of(floor, 1)
    assert (row.state, row.reason) == ("EXPIRED", f"deadline_passed:digest:{the_digest(floor).notification_id}")
    assert told(floor) == ["r-2"]
    assert floor.events().count("expired") == 1


async def test_a_window_whose_opener_died_before_it_opened_never_opens() -> None:
    floor = a_floor()
    floor.outage.failing["digests.open"] = 1
    with pytest.raises(Unavailable):
        await sends(floor, 1)
    assert len(timers(floor)) == 1, "timer first"
    await windows_close(floor)
    await sends(floor, 1)
    await windows_close(floor)
    assert told(floor) == ["r-1"]


async def test_a_crowded_window_holds_up_nobody_and_the_event_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_LONGEST_WAIT_S", 0.0)
    floor = a_floor()
    floor.digests.crowded = 12
    await sends(floor, 1)
    [again] = [timer for timer in floor.timers.timers.values() if timer.topic != DIGESTS]
    assert json.loads(again.value)["request_id"] == "r-1"
    assert not floor.notifications.routed
    await floor.route.handle(as_read(Outgoing(again.topic, again.key, again.value.encode(), again.headers)))
    await windows_close(floor)
    assert told(floor) == ["r-1"]


STEPS = (
    "timers.put",
    "notifications.note_unplanned",
    "notifications.put",
    "notifications.mark_routed",
    "digests.open",
    "digests.join",
    "digests.find",
    "digests.close",
    "digests.pages",
)


@pytest.mark.parametrize("step", STEPS)
async def test_a_death_at_any_step_is_repeated_to_the_same_end(step: str) -> None:
    floor = a_floor()

    async def until_done(handle: Any, record: Received) -> None:
        floor.outage.failing[step] = 1
        while True:
            try:
                await handle(record)
            except Unavailable:
                continue
            return

    await until_done(floor.route.handle, an_event(1))
    await until_done(floor.route.handle, an_event(2))
    time_passes(floor)
    for timer in timers(floor):
        await until_done(floor.digest.handle, timer)
    assert told(floor) == ["r-1", "r-2"]
    assert len({record.value for record in floor.handed_out("in-app")}) == 1
