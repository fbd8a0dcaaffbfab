"""Pushes planned and delivered: one for each device, to whoever it belongs to at the moment of sending."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.deliveries import DeliveryRecord
from schemas.devices import Device, FcmDevice, device_of
from schemas.outcomes import Dead, Sent
from schemas.plan import PlannedDelivery
from schemas.planning import MAX_PLANNED, make_plan
from schemas.recipients import Contact, Recipient, recipients_of
from schemas.requests import NotificationRequest
from schemas.types import PLAIN
from tests.unit.stories import Floor, a_request, as_read

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PUSH = {"channels": ["push"]}


def a_phone(token: str) -> Device:
    return device_of(FcmDevice(kind="fcm", token=f"token-of-{token}"), NOON)


async def a_floor(*tokens: str, script: tuple[Any, ...] = (), **body: Any) -> Floor:
    """Ana has these phones, and a request for pushes has been routed."""
    floor = Floor(*script)
    for token in tokens:
        await floor.devices.register("dev", "ana", a_phone(token))
    await floor.route.handle(a_request(PUSH | body))
    return floor


async def delivered(floor: Floor) -> Floor:
    for record in floor.handed_out("push"):
        await floor.external().handle(record)
    return floor


def reasons(floor: Floor) -> list[str | None]:
    return [line.skipped for line in floor.notification.plan.lines]


async def test_each_device_has_a_delivery_of_its_own_whose_id_is_made_of_the_devices() -> None:
    floor = await a_floor("one", "two")
    lines = floor.notification.plan.lines
    assert [line.endpoint for line in lines] == [a_phone("one").id, a_phone("two").id]
    assert len({line.delivery_id for line in lines}) == 2
    assert [row.key for row in floor.handed_out("push")] == [b"ana", b"ana"]


async def test_a_stored_plan_holds_nothing_that_lets_one_send_to_a_device() -> None:
    floor = await a_floor("secret-token")
    told = floor.notification.model_dump_json() + "".join(str(each.value) for each in floor.handed_out("push"))
    assert "secret-token" not in told


async def test_without_a_device_it_says_so() -> None:
    floor = await a_floor()
    assert reasons(floor) == ["no_device"]
    assert floor.handed_out("push") == []


async def test_what_is_sent_shows_until_its_deadline_and_replaces_what_has_its_key() -> None:
    floor = await delivered(await a_floor("one", collapse_key="order-42", expires_at="2036-12-01T00:00:00Z"))
    [(_, address, content)] = floor.channel.sent
    assert Device.model_validate_json(address).token == "token-of-one"
    assert content.collapse is not None
    assert len(content.collapse) == 32
    assert content.until == datetime(2036, 12, 1, tzinfo=UTC)
    assert floor.row.state == "SENT"


@pytest.mark.parametrize("becomes", ["removed", "somebody else's"])
async def test_a_device_that_is_not_hers_any_more_gets_nothing_that_was_on_its_way(becomes: str) -> None:
    floor = await a_floor("shared")
    if becomes == "removed":
        await floor.devices.remove("dev", "ana", a_phone("shared").id)
    else:
        await floor.devices.register("dev", "ben", a_phone("shared"))
    await delivered(floor)
    assert (floor.row.state, floor.row.reason, floor.channel.sent) == ("SKIPPED", "device_gone", [])


async def test_a_device_a_provider_does_not_know_is_dropped_and_the_others_stay() -> None:
    floor = await a_floor("old", "new", script=(Dead("unregistered", gone=True),))
    await delivered(floor)
    assert sorted(row.state for row in floor.deliveries.rows.values()) == ["FAILED", "SENT"]
    assert [each.token for each in await floor.devices.of("dev", "ana")] == ["token-of-new"]


async def test_a_push_that_is_refused_says_nothing_about_the_device() -> None:
    floor = await delivered(await a_floor("one", script=(Dead("fcm_INVALID_ARGUMENT"),)))
    assert floor.row.state == "FAILED"
    assert len(await floor.devices.of("dev", "ana")) == 1


async def test_that_a_device_works_is_written_once_a_day() -> None:
    floor = await delivered(await a_floor("one", script=(Sent("200"),)))
    [device] = await floor.devices.of("dev", "ana")
    assert device.last_ok_at is not None
    await floor.route.handle(a_request(PUSH | {"request_id": "r-2"}))
    floor.outage.writes.clear()
    await delivered(floor)
    assert "devices.worked" not in floor.outage.writes


async def test_while_the_devices_are_away_the_outcome_is_held_and_not_sent_again() -> None:
    floor = await a_floor("one", script=(Dead("unregistered", gone=True),))
    floor.outage.failing["devices.remove"] = 2
    await delivered(floor)
    assert (floor.row.state, len(floor.channel.sent)) == ("FAILED", 1)
    assert await floor.devices.of("dev", "ana") == ()


# --- audiences


async def an_audience(*tokens: str, **body: Any) -> Floor:
    floor = Floor()
    await floor.contacts.subscribe("dev", "ana", ("news",), LONG_AGO)
    for token in tokens:
        await floor.devices.register("dev", "ana", a_phone(token))
    await floor.route.handle(a_request({"to": [{"topic": "news"}], "channels": ["push"]} | body))
    await floor.walks()
    return floor


def handed_out(floor: Floor, channel: str = "push") -> list[DeliveryRecord]:
    sent = floor.publisher.on(f"notifications.dev.{channel}.bulk")
    return [DeliveryRecord.model_validate_json(each.value or b"") for each in sent]


async def worked_off(floor: Floor, channel: str = "push") -> None:
    for sent in floor.publisher.on(f"notifications.dev.{channel.replace('_', '-')}.bulk"):
        worker = floor.in_app if channel == "in_app" else floor.external()
        await worker.handle(as_read(sent))


async def test_everybody_of_an_audience_is_pushed_to_on_each_device() -> None:
    floor = await an_audience("one", "two")
    assert [each.endpoint for each in handed_out(floor)] == [a_phone("one").id, a_phone("two").id]
    await worked_off(floor)
    assert [row.state for row in floor.deliveries.rows.values()] == ["SENT", "SENT"]


async def test_a_device_that_went_between_walk_and_sending_ends_as_gone() -> None:
    floor = await an_audience("one")
    await floor.devices.remove("dev", "ana", a_phone("one").id)
    await worked_off(floor)
    assert (floor.row.state, floor.row.reason, floor.quarantined()) == ("SKIPPED", "device_gone", [])


async def test_the_steps_of_an_audience_go_to_the_devices_that_were_planned_for() -> None:
    """So that what was counted when it was walked is what ends, whatever devices come and go meanwhile."""
    steps = [{"after": "1h", "unless": "seen", "channels": ["push"]}]
    floor = await an_audience("one", "two", channels=["in_app"], fallback=steps)
    await floor.devices.remove("dev", "ana", a_phone("one").id)
    await floor.devices.register("dev", "ana", a_phone("three"))
    await worked_off(floor, "in_app")
    records = [
        DeliveryRecord.model_validate_json(each.value)
        for each in floor.timers.timers.values()
        if each.topic.endswith(".push.bulk")
    ]
    assert {each.endpoint for each in records} == {a_phone("one").id, a_phone("two").id}


async def test_a_cancelled_audience_ends_what_waits_on_devices() -> None:
    floor = await an_audience("one")
    await floor.cancelled()
    await worked_off(floor)
    assert (floor.row.state, floor.channel.sent) == ("CANCELLED", [])


async def test_a_newer_one_for_an_audience_stands_before_a_push_that_has_not_gone() -> None:
    floor = await an_audience("one", collapse_key="k")
    waiting = floor.publisher.on("notifications.dev.push.bulk")
    body = {"to": [{"topic": "news"}], "channels": ["push"], "collapse_key": "k", "request_id": "r-2"}
    await floor.route.handle(a_request(body, offset=1))
    for record in floor.handed_out("expand"):
        await floor.expand.handle(record)
    await floor.external().handle(as_read(waiting[0]))
    assert [(row.state, row.reason) for row in floor.deliveries.rows.values()] == [("SKIPPED", "superseded")]


# --- the plan's cap


def planned(people: int, each: int, **body: Any) -> list[PlannedDelivery]:
    request = NotificationRequest.model_validate(
        {"to": [f"p{n}" for n in range(people)], "message": "Hi", "channels": ["push"]} | body
    )
    devices = {f"p{n}": tuple(f"dev_{n}_{number}" for number in range(each)) for n in range(people)}
    recipients = recipients_of(request, {}, devices)
    return list(make_plan("ntf_1", request, PLAIN, None, recipients, NOON, {}).lines)


def test_a_plan_has_room_for_so_many_and_says_who_got_less() -> None:
    lines = planned(people=100, each=20)
    to_make = [line for line in lines if line.skipped is None]
    left_out = [line for line in lines if line.skipped == "too_many_devices"]
    assert len(to_make) == MAX_PLANNED
    assert {line.recipient for line in to_make} == {f"p{n}" for n in range(100)}, "everybody on one device at least"
    assert {(line.endpoint, line.recipient) for line in left_out} <= {("", f"p{n}") for n in range(100)}
    assert len(left_out) >= 75
    assert len({line.delivery_id for line in lines}) == len(lines)


def test_as_many_as_there_is_room_for_are_all_planned() -> None:
    assert [line.skipped for line in planned(people=25, each=20)] == [None] * MAX_PLANNED


# --- addresses of mail


def test_an_address_that_bounced_is_skipped_unless_the_request_brings_another() -> None:
    contact = Contact(person="ana", email="ana@x.io", email_verified=True, email_bounced_at=NOON)
    kept = Recipient("ana", "ana", None, "primary", bounced=True)
    request = NotificationRequest.model_validate({"to": "ana", "message": "Hi"})
    [recipient] = recipients_of(request, {"ana": contact})
    assert recipient == kept
    assert recipient.unreachable_on("email") == "bounced"
    override = NotificationRequest.model_validate({"to": {"user": "ana", "email": "else@x.io"}, "message": "Hi"})
    [other] = recipients_of(override, {"ana": contact})
    assert other.unreachable_on("email") is None


async def test_a_provider_that_knows_nobody_there_ends_the_mail_to_that_address_and_no_other() -> None:
    floor = Floor(Dead("smtp_550", gone=True))
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"channels": ["email"]}))
    await floor.contacts.change("dev", "ana", {"email": "new@x.io"})  # she has another one by now
    [record] = floor.handed_out()
    await floor.external().handle(record)
    found = await floor.contacts.get("dev", "ana")
    assert found is not None
    assert (found.email, found.email_state) == ("new@x.io", "verified")


async def test_an_address_given_with_the_request_says_nothing_about_the_contacts() -> None:
    floor = Floor(Dead("smtp_550", gone=True), Dead("smtp_550", gone=True))
    await floor.knows("ana", "ana@x.io")
    for body in ({"to": {"user": "ana", "email": "typo@x.io"}}, {"to": {"email": "ana@x.io"}, "request_id": "r-2"}):
        await floor.route.handle(a_request({"channels": ["email"]} | body if "user" in str(body) else body))
    for record in floor.handed_out():
        await floor.external().handle(record)
    found = await floor.contacts.get("dev", "ana")
    assert found is not None
    assert found.email_state == "verified"
