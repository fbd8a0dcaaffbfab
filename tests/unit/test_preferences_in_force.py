"""What people choose holds: in the plan, and again right before sending."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consumers.handlers import deliver_external
from infrastructure.ports import Received
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Retry, Sent
from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.quiet_hours import QuietHours
from schemas.unsubscribe import read_token
from tests.unit.stories import KEY, Floor, a_request, a_routed_email, as_read, now


@pytest.fixture(autouse=True)
def _quick_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_external, "_HOLD_S", 0.0)


async def chooses(floor: Floor, person: str, change: Change) -> None:
    number = len(floor.preferences.verdicts)
    await floor.preferences.apply(
        PreferenceCommand(environment="dev", person=person, change_id=f"c-{number}", change=change, at=now())
    )


def off(level: str, name: str = "", channel: str = "*") -> Change:
    setting = {"level": level, "name": name, "channel": channel, "enabled": False}
    return Change(settings=(Setting.model_validate(setting),))


def skips(floor: Floor) -> dict[tuple[str, str], str | None]:
    return {(line.recipient, line.channel): line.skipped for line in floor.notification.plan.lines}


async def test_the_plan_skips_what_is_not_wanted_and_says_upon_which_version() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    await chooses(floor, "ana", off("category", "orders", "email"))
    await floor.route.handle(a_request({"to": ["ana", "ben"], "category": "orders", "channels": ["in_app", "email"]}))
    assert skips(floor) == {
        ("ana", "in_app"): None,
        ("ana", "email"): "preference:category",
        ("ben", "in_app"): None,
        ("ben", "email"): "no_address",
    }
    assert {line.chosen for line in floor.notification.plan.lines if line.recipient == "ana"} == {1}
    assert floor.handed_out() == []


async def test_whoever_comes_by_a_topic_that_is_off_is_skipped_and_whoever_is_named_is_not() -> None:
    floor = Floor()
    for person in ("ana", "ben"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
        await chooses(floor, person, off("topic", "news"))
    await floor.route.handle(a_request({"to": [{"topic": "news"}, {"user": "ben"}]}))
    await floor.walks()
    assert skips(floor) == {("ben", "in_app"): None}
    [ana] = floor.deliveries.rows.values()
    assert (ana.recipient, ana.state, ana.reason) == ("ana", "SKIPPED", "preference:topic")
    assert not floor.handed_out("in-app.bulk")


async def test_a_mandatory_category_and_a_bare_address_are_not_touched() -> None:
    floor = Floor()
    await chooses(floor, "ana", off("global"))
    await floor.route.handle(a_request({"category": "security"}))
    assert skips(floor) == {("ana", "in_app"): None}

    other = Floor()
    await other.route.handle(a_request({"to": {"email": "ana@x.io"}}))
    [record] = other.handed_out()
    address = other.notification.plan.lines[0].recipient
    await chooses(other, address, off("global"))  # nobody is called that; a person could be
    await other.external().handle(record)
    assert other.row.state == "SENT"


async def test_a_record_that_does_not_say_so_is_still_one_to_a_bare_address() -> None:
    """As a record of an older worker, or one put back by hand: the plan decides, not the record."""
    floor = Floor(Sent("250"))
    await floor.route.handle(a_request({"to": {"email": "ana@x.io"}}))
    [sent] = floor.publisher.on("notifications.dev.email")
    delivery = DeliveryRecord.model_validate_json(sent.value or b"").model_copy(update={"bare": False})
    await chooses(floor, delivery.recipient, off("global"))
    await floor.external().handle(as_read(replace(sent, value=delivery.model_dump_json().encode())))
    assert floor.row.state == "SENT"


async def test_a_refused_delivery_is_not_counted_towards_a_cap() -> None:
    floor = Floor()
    await chooses(floor, "ana", off("type", "nudge"))
    await floor.route.handle(a_request({"type": "nudge"}))
    assert set(skips(floor).values()) == {"preference:type", "no_address"}
    assert not floor.caps.counted


async def test_an_opt_out_after_routing_holds_before_the_next_send() -> None:
    floor, record = await a_routed_email(Sent("250"))
    await chooses(floor, "ana", off("global", channel="email"))
    await floor.external().handle(record)
    assert not floor.channel.sent
    assert (floor.row.state, floor.row.reason) == ("SKIPPED", "preference:global")
    assert floor.events()[-1] == "skipped"
    assert not floor.dead_letters()


async def test_an_opt_out_between_two_attempts_ends_it() -> None:
    floor, record = await a_routed_email(Retry("http_503"), Sent("250"))
    await floor.external().handle(record)
    await chooses(floor, "ana", off("category", "general"))
    await floor.external().handle(floor.due_next())
    assert len(floor.channel.sent) == 1
    assert (floor.row.state, floor.row.reason) == ("SKIPPED", "preference:category")


async def test_an_opt_out_before_the_inbox_stores_it_leaves_a_row_and_no_item() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"channels": ["in_app"]}))
    await chooses(floor, "ana", Change(muted_until=now() + timedelta(hours=1)))
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    assert await floor.inbox.unread("dev", "ana") == 0
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))
    assert (floor.row.state, floor.row.reason) == ("SKIPPED", "muted")


async def test_an_opt_out_after_the_inbox_stored_it_does_not_unsay_it() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"channels": ["in_app"]}))
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    await chooses(floor, "ana", off("global"))
    await floor.in_app.handle(record)
    assert floor.events() == ["routed", "sent", "sent"]


async def test_an_outage_of_the_preferences_holds_the_record() -> None:
    floor, record = await a_routed_email(Sent("250"))
    floor.outage.away.add("preferences.get")
    with pytest.raises(Exception, match=r"preferences\.get"):
        await floor.external().handle(record)
    assert not floor.channel.sent


def around_now(before: int = 5, after: int = 60) -> Change:
    start, end = now() - timedelta(minutes=before), now() + timedelta(minutes=after)
    window = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}", "zone": "UTC"}
    return Change(quiet_hours=QuietHours.model_validate(window))


async def in_quiet_hours(body: dict[str, Any] | None = None) -> tuple[Floor, Received]:
    floor, record = await a_routed_email(Sent("250"), body=body)
    await chooses(floor, "ana", around_now())
    return floor, record


async def test_quiet_hours_hold_it_in_a_timer_and_use_up_no_attempt() -> None:
    floor, record = await in_quiet_hours()
    await floor.external().handle(record)
    assert not floor.channel.sent
    assert (floor.row.state, floor.row.reason, floor.row.attempt, floor.row.turn) == ("RETRY", "quiet_hours", 0, 1)
    assert floor.outage.writes[-3:] == ["deliveries.claim", "timers.put", "deliveries.settle"]
    assert floor.row.next_at is not None
    assert timedelta(minutes=58) < floor.row.next_at - now() < timedelta(minutes=65)


async def test_what_was_held_is_sent_when_the_hours_are_over() -> None:
    floor, record = await in_quiet_hours()
    await floor.external().handle(record)
    await chooses(floor, "ana", Change(quiet_hours=None))
    await floor.external().handle(floor.due_next())
    assert (floor.row.state, len(floor.channel.sent)) == ("SENT", 1)


async def test_urgent_goes_out_at_night() -> None:
    floor = Floor(Sent("250"))
    await floor.knows("ana", "ana@x.io")
    await chooses(floor, "ana", around_now())
    await floor.route.handle(a_request({"channels": ["email"], "priority": "urgent"}))
    [record] = [as_read(sent) for sent in floor.publisher.on("notifications.dev.email.urgent")]
    await floor.external().handle(record)
    assert floor.row.state == "SENT"


async def test_what_would_expire_before_morning_is_not_sent_at_night_all_the_same() -> None:
    floor, record = await in_quiet_hours({"expires_at": (now() + timedelta(minutes=10)).isoformat()})
    await floor.external().handle(record)
    assert (floor.row.state, floor.row.reason) == ("EXPIRED", "deadline_passed:quiet_hours")
    assert not floor.channel.sent


async def test_a_mail_says_how_to_get_no_more_of_its_kind() -> None:
    floor, record = await a_routed_email(Sent("250"), body={"category": "offers"})
    await floor.external().handle(record)
    [(_, _, content)] = floor.channel.sent
    address, token = (content.unsubscribe_url or "").rsplit("/", 1)
    scope = read_token((KEY,), token)
    assert address == "https://notify.example.com/unsubscribe"
    assert scope
    assert (scope.environment, scope.person, scope.category, scope.channel) == ("dev", "ana", "offers", "email")


@pytest.mark.parametrize("body", [{"category": "security"}, {"to": {"email": "ana@x.io"}}])
async def test_where_there_is_nothing_to_unsubscribe_from_there_is_no_link(body: dict[str, Any]) -> None:
    floor, record = await a_routed_email(Sent("250"), body={"category": "offers", **body})
    await floor.external().handle(record)
    [(_, _, content)] = floor.channel.sent
    assert content.unsubscribe_url is None


async def test_a_record_says_that_it_goes_to_no_person() -> None:
    """Then its preferences are not even read."""
    floor = Floor()
    await floor.route.handle(a_request({"to": {"email": "ana@x.io"}}))
    [record] = floor.handed_out()
    assert DeliveryRecord.model_validate_json(record.value or b"").bare
    floor.outage.away.add("preferences.get")
    await floor.external().handle(record)
    assert floor.row.state == "SENT"
