"""What is to be gathered and was sent for a time on each person's clock: it joins when that time has come there."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from consumers import gathering
from consumers.handlers import deliver, deliver_external, deliver_in_app
from schemas.deliveries import Delivery
from schemas.digest_terms import Digest
from schemas.types import NotificationType
from tests.unit.clockwork import Clockwork, wall_in
from tests.unit.stories import now
from tests.unit.test_cancel import a_cancellation
from tests.unit.windows import CATALOGUE, told, windows_close

BERLIN, TOKYO, HOUR = "Europe/Berlin", "Asia/Tokyo", timedelta(hours=1)


class _Later(datetime):
    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def hours_pass(monkeypatch: pytest.MonkeyPatch) -> Any:
    """On the clocks of those who deliver and gather."""

    def passes(hours: float) -> None:
        monkeypatch.setattr(_Later, "ahead", hours * HOUR)
        monkeypatch.setattr(gathering, "datetime", _Later)
        for module in (deliver, deliver_external, deliver_in_app):
            monkeypatch.setattr(module, "now_utc", lambda: now() + hours * HOUR)

    return passes


async def a_works(*, zone: str = BERLIN) -> Clockwork:
    works = Clockwork()
    works.floor.catalogue = CATALOGUE
    await works.floor.knows("ana", "ana@x.io")
    await works.chooses("ana", zone=zone)
    return works


async def sends(works: Clockwork, number: int, *, ahead: timedelta = 2 * HOUR, **said: Any) -> None:
    body = {"type": "post.commented", "message": f"Comment {number}", "channels": ["in_app"], "request_id": f"r-{number}"}
    await works.sends(**body | {"send_at": wall_in(BERLIN, ahead)} | said)


def states(works: Clockwork) -> list[tuple[str, str | None]]:
    return [(row.state, (row.reason or "").partition(":")[0]) for row in works.floor.deliveries.rows.values()]


def the_row(works: Clockwork) -> Delivery:
    [row] = works.floor.deliveries.rows.values()
    return row


async def fired(works: Clockwork, hours: float = 3) -> None:
    """The turns that are due by then; windows close when a story says so."""
    others = {key: timer for key, timer in works.floor.timers.timers.items() if not timer.timer_id.startswith("turn#")}
    for key in others:
        del works.floor.timers.timers[key]
    await works.fire(up_to=now() + hours * HOUR)
    works.floor.timers.timers.update(others)


@pytest.mark.parametrize("channel", ["in_app", "email"])
async def test_it_joins_a_window_when_its_own_time_has_come_and_not_before(hours_pass: Any, channel: str) -> None:
    works = await a_works()
    await sends(works, 1, channels=[channel])
    assert (states(works), works.floor.digests.newest) == ([("RETRY", "scheduled")], {})
    await fired(works)
    assert states(works) == [("RETRY", "scheduled")], "a timer that is early gathers nothing"
    hours_pass(2.01)
    await fired(works)
    assert states(works) == [("DIGESTED", "digest")]
    assert [step.event for step in the_row(works).history][-1] == "digested"
    [window] = works.floor.digests.newest.values()
    assert now() + HOUR < window.opened_at
    await fired(works, 4)
    assert len(works.floor.digests.events["dev", window.window_id]) == 1
    assert (works.inboxes, works.floor.channel.sent) == ([], [])


async def test_where_it_is_that_late_already_it_is_gathered_at_once() -> None:
    works = await a_works(zone=TOKYO)
    await sends(works, 1)
    assert states(works) == [("DIGESTED", "digest")]


async def test_it_meets_what_others_send_at_that_time(hours_pass: Any) -> None:
    works = await a_works()
    await sends(works, 1)
    hours_pass(2.01)
    await sends(works, 2, send_at=None)
    await fired(works)
    await windows_close(works.floor)
    assert told(works.floor) == ["r-1", "r-2"]


async def test_sent_for_later_is_not_late(hours_pass: Any) -> None:
    works = await a_works()
    await sends(works, 1)
    await sends(works, 2, send_at=None)
    await windows_close(works.floor)
    hours_pass(2.01)
    await fired(works)
    rows = [row for row in works.floor.deliveries.rows.values() if row.state == "DIGESTED"]
    assert [row.answer for row in rows] == [None, None]


async def test_cancelled_while_it_rests_it_never_joins(hours_pass: Any) -> None:
    works = await a_works()
    await sends(works, 1)
    await works.floor.route.handle(a_cancellation("r-1"))
    assert states(works) == [("CANCELLED", "cancelled")]
    hours_pass(2.01)
    await fired(works)
    assert (states(works), works.floor.digests.newest) == ([("CANCELLED", "cancelled")], {})


async def test_who_moves_east_has_it_gathered_at_once() -> None:
    works = await a_works()
    await sends(works, 1)
    await works.chooses("ana", zone=TOKYO)
    await works.fire()
    assert states(works) == [("DIGESTED", "digest")]


async def test_route_that_reads_it_again_at_its_time_leaves_it_to_its_timer(hours_pass: Any) -> None:
    works = await a_works()
    at = wall_in(BERLIN, 2 * HOUR)
    await sends(works, 1, send_at=at)
    works.floor.notifications.routed.clear()
    hours_pass(2.01)
    await sends(works, 1, send_at=at)
    assert states(works) == [("RETRY", "scheduled")]
    await fired(works)
    await fired(works)
    await windows_close(works.floor)
    assert told(works.floor) == ["r-1"]


async def test_a_busy_window_is_tried_again_in_the_same_turn(hours_pass: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_LONGEST_WAIT_S", 0.0)
    works = await a_works()
    await sends(works, 1)
    hours_pass(2.01)
    works.floor.digests.crowded = 12
    await fired(works)
    assert states(works) == [("RETRY", "scheduled")]
    await fired(works)
    assert states(works) == [("DIGESTED", "digest")]


async def test_what_an_operator_released_goes_by_itself() -> None:
    works = await a_works()
    await sends(works, 1)
    key, row = next(iter(works.floor.deliveries.rows.items()))
    works.floor.deliveries.rows[key] = row.model_copy(update={"released": True})
    await fired(works)
    assert works.inboxes == ["ana"]


async def test_everybody_of_an_audience_joins_at_their_own_time(hours_pass: Any) -> None:
    works = await a_works()
    floor = works.floor
    floor.catalogue = CATALOGUE.__class__.of(
        [NotificationType(name="post.commented", channels=("in_app",), digest=Digest(window=HOUR))], []
    )
    await works.chooses("eva", zone=TOKYO)
    for person in ("ana", "eva"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - HOUR)
    await sends(works, 1, to=[{"topic": "news"}])
    await floor.walks()
    await works.channels_read()
    assert {row.recipient: row.state for row in floor.deliveries.rows.values()} == {"ana": "RETRY", "eva": "DIGESTED"}
    hours_pass(2.01)
    await fired(works)
    assert {row.state for row in floor.deliveries.rows.values()} == {"DIGESTED"}
