"""A send at each person's own clock: planned once, due where they live, moved when they move."""

from datetime import timedelta
from typing import Any

import pytest

from consumers.handlers import deliver_external, deliver_in_app
from schemas.outcomes import Sent
from tests.unit.clockwork import Clockwork, wall_in
from tests.unit.letters import Shop
from tests.unit.stories import a_request, now
from tests.unit.test_holds import quiet_now

TOKYO, BERLIN, NEW_YORK = "Asia/Tokyo", "Europe/Berlin", "America/New_York"
HOUR = timedelta(hours=1)


async def a_morning(*, zone: str = BERLIN, ahead: timedelta = 2 * HOUR, **body: Any) -> Clockwork:
    """Ana lives in that zone, and something is due there after a while."""
    works = Clockwork(*(Sent("250"),) * 4)
    await works.floor.knows("ana", "ana@x.io")
    await works.chooses("ana", zone=zone)
    await works.sends(**{"to": "ana", "channels": ["in_app", "email"], "send_at": wall_in(zone, ahead)} | body)
    return works


def hours_pass(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """On the clocks of those who deliver."""
    for module in (deliver_external, deliver_in_app):
        monkeypatch.setattr(module, "now_utc", lambda: now() + hours * HOUR)


def due_in(works: Clockwork) -> set[int]:
    """In how many whole hours the next turns come."""
    return {round((row.next_at - now()) / HOUR) for row in works.rows().values() if row.next_at}


async def test_each_person_has_a_line_with_its_own_time() -> None:
    works = Clockwork()
    for person, zone in (("ana", BERLIN), ("ben", NEW_YORK), ("eva", TOKYO)):
        await works.chooses(person, zone=zone)
    await works.sends(to=["ana", "ben", "eva", "somebody"], channels=["in_app"], send_at=wall_in(BERLIN, HOUR))
    hours = {
        each.recipient: round((each.due_at - now()) / HOUR) for each in works.floor.notification.plan.lines if each.due_at
    }
    summer = hours["somebody"] - 1  # Berlin is one hour ahead of UTC, or two
    assert summer in (1, 2)
    assert (hours["ana"], hours["ben"] in (6, 7), hours["eva"]) == (1, True, 1 + summer - 9)
    assert works.inboxes == ["eva"], "there it has been that late for hours"
    assert {who for who, _ in works.rows()} == {"ana", "ben", "somebody"}


async def test_it_rests_on_every_channel_and_goes_out_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_morning()
    assert works.states() == {("ana", "in_app"): "RETRY", ("ana", "email"): "RETRY"}
    assert {row.reason for row in works.rows().values()} == {"scheduled"}
    assert not works.inboxes
    assert due_in(works) == {2}
    assert await works.fire() == 0
    hours_pass(monkeypatch, 2.01)
    assert await works.fire(up_to=now() + 3 * HOUR) == 3, "two turns, and the second look at ana's choice"
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)


async def test_a_timer_that_fires_too_early_finds_that_it_is_not_its_time() -> None:
    works = await a_morning()
    await works.fire(up_to=now() + 3 * HOUR)
    assert (works.inboxes, works.floor.channel.sent, due_in(works)) == ([], [], {2})


async def test_who_moves_east_gets_it_at_once_where_it_is_later_already() -> None:
    works = await a_morning()
    await works.chooses("ana", zone=TOKYO)
    await works.fire()
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)
    await works.fire(up_to=now() + 3 * HOUR)
    assert len(works.floor.channel.sent) == 1, "the old timer finds it sent"


async def test_who_moves_west_gets_it_later_and_the_old_timer_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_morning()
    await works.chooses("ana", zone=NEW_YORK)
    await works.fire()
    [hours] = due_in(works)
    assert hours in (7, 8)
    hours_pass(monkeypatch, 3)
    await works.fire(up_to=now() + 3 * HOUR)
    assert (works.inboxes, works.floor.channel.sent) == ([], [])
    hours_pass(monkeypatch, 9)
    await works.fire(up_to=now() + 9 * HOUR)
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)


async def test_what_was_let_rest_while_the_zone_changed_is_found_by_the_second_look() -> None:
    works = await a_morning()
    rows, works.floor.deliveries.rows = works.floor.deliveries.rows, {}  # the index has not heard of them yet
    await works.chooses("ana", zone=TOKYO)
    works.floor.deliveries.rows = rows
    assert await works.fire() == 0
    assert await works.fire(up_to=now() + timedelta(minutes=2)) == 1 + 1, "a look for each change"
    await works.fire()
    assert works.inboxes == ["ana"]


async def test_shorter_quiet_hours_let_go_of_what_they_held() -> None:
    works = Clockwork(Sent("250"))
    await works.floor.knows("ana", "ana@x.io")
    await works.chooses("ana", quiet_hours=quiet_now())
    await works.sends(to="ana", channels=["email"])
    assert works.floor.row.reason == "quiet_hours"
    await works.chooses("ana", quiet_hours=None)
    await works.fire()
    assert works.floor.row.state == "SENT"


@pytest.mark.parametrize(
    ("said", "known", "hours"),
    [
        ({"zone": TOKYO, "quiet_hours": quiet_now()}, NEW_YORK, 1),
        ({"quiet_hours": quiet_now()}, TOKYO, 10),
        ({}, TOKYO, 1),
        ({}, "Mars/Olympus", 10),
        ({}, None, 10),
    ],
)
async def test_the_zone_is_the_chosen_one_then_of_the_quiet_hours_then_of_the_login_then_the_default(
    said: dict[str, Any], known: str | None, hours: int
) -> None:
    works = Clockwork()
    if said:
        await works.chooses("ana", **said)
    if known:
        await works.floor.contacts.change("dev", "ana", {"zone": known})
    await works.sends(to="ana", channels=["in_app"], send_at=wall_in(TOKYO, HOUR))
    assert due_in(works) == {hours}


async def test_what_has_expired_by_then_says_so() -> None:
    soon = (now() + HOUR).isoformat()
    works = await a_morning(expires_at=soon)
    await works.persist_reads()
    assert works.states() == {("ana", "in_app"): "EXPIRED", ("ana", "email"): "EXPIRED"}
    assert {row.reason for row in works.rows().values()} == {"deadline_passed:scheduled"}


async def test_quiet_hours_hold_the_mail_after_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    works = await a_morning(zone="UTC", ahead=HOUR)
    await works.chooses("ana", quiet_hours=quiet_now(), zone="UTC")
    hours_pass(monkeypatch, 1.01)
    await works.fire(up_to=now() + 2 * HOUR)
    assert works.inboxes == ["ana"], "the inbox wakes nobody"
    assert works.rows()["ana", "email"].reason == "quiet_hours"


async def test_released_it_goes_out_at_once_on_both_channels() -> None:
    works = await a_morning()
    shop = Shop(works.floor)
    for row in list(works.rows().values()):
        await shop.repairs.release("dev", row.notification_id, row.delivery_id, "olga")
    await works.fire(up_to=now() + timedelta(seconds=2))
    assert (works.inboxes, len(works.floor.channel.sent)) == (["ana"], 1)
    await works.persist_reads()
    assert set(works.states().values()) == {"SENT"}
    await works.fire(up_to=now() + 3 * HOUR)
    assert len(works.floor.channel.sent) == 1


async def test_cancelled_it_was_stopped_on_both_channels() -> None:
    works = await a_morning()
    await works.reads(a_request(b'{"cancel": "r-1"}', offset=1))
    notification = works.floor.notification.notification_id
    found = await works.floor.notifications.cancellation("dev", notification)
    assert found is not None
    assert [each.answer for each in found.deliveries or ()] == ["stopped", "stopped"]
    await works.fire(up_to=now() + 3 * HOUR)
    await works.persist_reads()
    assert (works.inboxes, works.floor.channel.sent) == ([], [])
    assert set(works.states().values()) == {"CANCELLED"}


async def test_a_plan_read_again_lets_rest_what_rests_and_sends_nothing_twice() -> None:
    works = await a_morning()
    record = a_request({"to": "ana", "channels": ["in_app", "email"], "send_at": wall_in(BERLIN, 2 * HOUR)})
    works.floor.notifications.routed.clear()
    await works.reads(record)
    assert works.states() == {("ana", "in_app"): "RETRY", ("ana", "email"): "RETRY"}
    assert {row.turn for row in works.rows().values()} == {1}
