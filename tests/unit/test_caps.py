"""Caps: how many, in which scope, until when; and what becomes of those beyond."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.caps import Cap, Counted, Full, Scope, counted_with, scopes, strictest
from schemas.catalogue import Catalogue
from schemas.durations import as_text
from schemas.outcomes import Sent, Unavailable
from schemas.types import NotificationType
from tests.unit.clockwork import Clockwork
from tests.unit.letters import Shop
from tests.unit.stories import CATALOGUE, a_request, now
from tests.unit.test_wall_clock import hours_pass

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_HELD = Cap(max=2, window=HOUR, over="hold")
BOTH: dict[str, Any] = {"to": "ana", "channels": ["in_app", "email"]}


def a_scope(*caps: Cap) -> Scope:
    return Scope("nudge", "nudge", caps)


def counted(*minutes: int) -> tuple[Counted, ...]:
    return tuple(Counted(notification_id=f"n{minute}", at=NOON + timedelta(minutes=minute)) for minute in minutes)


def test_the_next_may_go_when_the_oldest_that_counts_has_left_the_window() -> None:
    full = counted_with(counted(0, 10, 20), a_scope(TWO_HELD), "new", NOON + timedelta(minutes=30))
    assert full == Full("nudge", TWO_HELD, NOON + timedelta(minutes=70))
    assert isinstance(full, Full)
    assert isinstance(counted_with(counted(0, 10, 20), a_scope(TWO_HELD), "new", full.until), tuple)
    early = full.until - timedelta(seconds=1)
    assert isinstance(counted_with(counted(0, 10, 20), a_scope(TWO_HELD), "new", early), Full)


def test_of_several_full_caps_one_that_drops_decides_else_the_longest() -> None:
    daily = Cap(max=2, window=timedelta(days=1), over="hold")
    dropping = Cap(max=2, window=timedelta(minutes=40))
    at = NOON + timedelta(minutes=30)
    found = [counted_with(counted(10, 20), a_scope(*caps), "new", at) for caps in ((TWO_HELD, daily), (daily, dropping))]
    assert [full.cap for full in found if isinstance(full, Full)] == [daily, dropping]
    assert strictest([]) is None


def test_a_type_has_its_scope_and_all_types_together_have_one_no_type_can_be_called() -> None:
    assert [scope.key for scope in scopes("nudge", (TWO_HELD,), (TWO_HELD,))] == ["nudge", "#person"]
    assert scopes("nudge", (), ()) == ()


@pytest.mark.parametrize(("seconds", "text"), [(90, "90s"), (3600, "1h"), (86400, "1d"), (5400, "90m"), (172800, "2d")])
def test_a_span_is_said_as_people_write_it(seconds: int, text: str) -> None:
    assert as_text(timedelta(seconds=seconds)) == text


async def capped_works(*, person_caps: tuple[Cap, ...] = (), of_type: tuple[Cap, ...] = ()) -> Clockwork:
    works = Clockwork(*(Sent("250"),) * 9)
    works.floor.person_caps = person_caps
    types = [
        *{each.pinned: each for each in CATALOGUE.types.values()}.values(),
        NotificationType(name="tip", caps=of_type, category="tips"),
    ]
    works.floor.catalogue = Catalogue.of(types, list({each.pinned: each for each in CATALOGUE.templates.values()}.values()))
    await works.floor.knows("ana", "ana@x.io")
    return works


async def sends(works: Clockwork, *names: str, **body: Any) -> None:
    for name in names:
        await works.sends(request_id=name, **BOTH | body)


def reasons(works: Clockwork) -> set[str | None]:
    return {row.reason for row in works.floor.deliveries.rows.values()}


async def test_across_types_a_person_gets_so_many_and_the_next_says_which_cap() -> None:
    works = await capped_works(person_caps=(Cap(max=2, window=HOUR),))
    await sends(works, "a", type="tip", message="Hi")
    await sends(works, "b", "c")
    [third] = [each for each in works.floor.notifications.rows.values() if each.request_id == "c"]
    assert {line.skipped for line in third.plan.lines} == {"capped:person:2/1h"}
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (2, 2)


async def test_what_is_over_a_holding_cap_rests_and_goes_out_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    await sends(works, "a", "b", "c", "d")
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (2, 2)
    assert {row.reason for row in works.rows().values() if row.held} == {"capped:person:2/1h"}
    assert await works.fire() == 0
    hours_pass(monkeypatch, 1.01)
    assert await works.fire(up_to=now() + 1.02 * HOUR) == 4
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (4, 4)
    [whole] = works.floor.caps.counted.values()
    assert len(whole) == 2, "each once, and the first two have left the window"


async def test_of_those_that_ask_at_once_only_so_many_go_and_the_rest_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await capped_works(of_type=(Cap(max=1, window=HOUR, over="hold"),))
    await sends(works, "a", "b", "c", type="tip", message="Hi")
    assert len(works.inboxes) == 1
    hours_pass(monkeypatch, 1.01)
    await works.fire(up_to=now() + 1.02 * HOUR)
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (2, 2)
    hours_pass(monkeypatch, 2.1)
    await works.fire(up_to=now() + 2.2 * HOUR)
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (3, 3)


async def test_it_waits_until_its_deadline_at_most() -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    await sends(works, "a", "b")
    await sends(works, "c", expires_at=(now() + HOUR / 2).isoformat())
    await works.persist_reads()
    expired = [row for row in works.floor.deliveries.rows.values() if row.state == "EXPIRED"]
    assert [row.reason for row in expired] == ["deadline_passed:capped:person:2/1h"] * 2
    assert len(works.floor.receipts()) == 3


@pytest.mark.parametrize("body", [{"priority": "urgent"}, {"category": "security"}])
async def test_the_urgent_and_the_mandatory_pass_and_are_not_counted(body: dict[str, Any]) -> None:
    works = await capped_works(person_caps=(Cap(max=1, window=HOUR),))
    await sends(works, "a", "b", "c", **body)
    await works.floor.route.handle(a_request({"to": "ben", "request_id": "d"}))
    assert set(works.floor.caps.counted) == {("dev", "ben", "#person")}
    assert not [line for each in works.floor.notifications.rows.values() for line in each.plan.skips]


async def test_planning_again_counts_nothing_twice() -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    works.floor.outage.failing["notifications.put"] = 1
    record = a_request(BOTH | {"request_id": "a"})
    with pytest.raises(Unavailable):
        await works.reads(record)
    await works.reads(record)
    await works.reads(record)
    [whole] = works.floor.caps.counted.values()
    assert len(whole) == 1


async def test_a_cap_that_is_taken_away_holds_up_nobody() -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    await sends(works, "a", "b", "c")
    works.floor.person_caps = ()
    await works.fire(up_to=now() + 2 * HOUR)
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (3, 3)


async def test_an_audience_rests_too_and_its_people_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await capped_works(person_caps=(Cap(max=1, window=HOUR, over="hold"),))
    await works.floor.contacts.subscribe("dev", "ana", ("news",), now() - HOUR)
    await sends(works, "a")
    await works.reads(a_request({"to": [{"topic": "news"}], "request_id": "b", "channels": ["in_app"]}))
    await works.floor.walks()
    await works.channels_read()
    assert "capped:person:1/1h" in reasons(works)
    await works.chooses("ana", zone="Asia/Tokyo")  # woken, it asks as before
    await works.fire()
    assert len(works.inboxes) == 1
    hours_pass(monkeypatch, 1.01)
    await works.fire(up_to=now() + 1.02 * HOUR)
    assert len(works.inboxes) == 2


async def test_cancelled_while_it_rests_it_is_stopped_and_never_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    await sends(works, "a", "b", "c")
    await works.reads(a_request(b'{"cancel": "c"}', offset=3))
    [found] = works.floor.notifications.cancellations.values()
    assert [each.answer for each in found.deliveries or ()] == ["stopped", "stopped"]
    hours_pass(monkeypatch, 1.01)
    await works.fire(up_to=now() + 2 * HOUR)
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (2, 2)
    [whole] = works.floor.caps.counted.values()
    assert len(whole) == 2


async def test_released_it_goes_out_over_the_cap() -> None:
    works = await capped_works(person_caps=(TWO_HELD,))
    await sends(works, "a", "b", "c")
    shop = Shop(works.floor)
    for row in [row for row in works.floor.deliveries.rows.values() if row.held]:
        await shop.repairs.release("dev", row.notification_id, row.delivery_id, "olga")
    await works.fire(up_to=now() + timedelta(seconds=2))
    assert (len(works.inboxes), len(works.floor.channel.sent)) == (3, 3)
