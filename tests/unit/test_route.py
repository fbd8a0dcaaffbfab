"""route decides once; a replay follows the plan."""

import json
from datetime import timedelta
from typing import Any

import pytest

from schemas.base import iso
from schemas.catalogue import Catalogue
from schemas.outcomes import Unavailable
from schemas.types import NotificationType
from tests.unit.stories import Floor, a_request, as_read, now

CONFLICT = "request_id_conflict"


async def test_a_request_becomes_a_plan_deliveries_a_status_and_a_receipt() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"type": "order.shipped", "message": None, "variables": {"order": "42"}}))

    assert floor.notification.plan.template == "order-shipped@1"
    assert [len(floor.handed_out(channel)) for channel in ("in-app", "email")] == [1, 1]
    assert floor.events() == ["routed"]
    [receipt] = floor.receipts()
    assert (receipt["verdict"], receipt["counts"]) == ("accepted", {"PLANNED": 2, "SKIPPED": 0})
    assert floor.is_routed


async def test_the_row_comes_before_what_is_handed_out_and_the_mark_after_it() -> None:
    floor = Floor()
    floor.publisher.fail_next(1)
    with pytest.raises(Unavailable):
        await floor.route.handle(a_request())
    assert floor.outage.writes == ["notifications.put"]
    assert not floor.is_routed
    await floor.route.handle(a_request())
    assert floor.is_routed


async def test_a_delivery_on_its_way_carries_ids_and_no_content() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"message": "secret words", "channels": ["email"]}))
    [record] = floor.handed_out()
    assert record.key == b"ana"
    assert b"secret words" not in (record.value or b"")
    assert b"ana@x.io" not in (record.value or b"")


async def test_a_replay_follows_the_plan_though_the_world_has_changed() -> None:
    floor = Floor()
    floor.publisher.is_away = True
    with pytest.raises(Unavailable):
        await floor.route.handle(a_request({"type": "order.shipped", "message": None}))
    planned = floor.notification.plan

    floor.publisher.is_away = False
    floor.catalogue = Catalogue.of([NotificationType(name="order.shipped", channels=("slack",))], [])
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"type": "order.shipped", "message": None}))

    assert floor.notification.plan == planned
    assert len(floor.handed_out("in-app")) == 1
    assert floor.handed_out("email") == floor.handed_out("slack") == []


async def test_a_repeat_of_the_same_record_gets_only_the_first_receipt_again() -> None:
    floor = Floor()
    for _ in range(2):
        await floor.route.handle(a_request(offset=7))
    assert [receipt["verdict"] for receipt in floor.receipts()] == ["accepted", "accepted"]
    assert len(floor.handed_out("in-app")) == 1
    assert floor.events() == ["routed"]


async def test_the_same_request_in_another_record_is_a_duplicate() -> None:
    floor = Floor()
    await floor.route.handle(a_request(offset=7))
    await floor.route.handle(a_request({"message": {"body": "Hi"}}, offset=8))
    assert [receipt["verdict"] for receipt in floor.receipts()] == ["accepted", "duplicate"]
    assert len(floor.handed_out("in-app")) == 1


async def test_another_body_under_the_same_id_is_refused_and_the_first_one_stands() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"message": "first"}))
    await floor.route.handle(a_request({"message": "second"}, offset=1))
    assert floor.receipts()[1]["verdict"] == "rejected"
    assert floor.receipts()[1]["errors"][0]["pointer"] == "/request_id"
    [(value, reason)] = floor.quarantined()
    assert (reason, json.loads(value or b"")["message"]) == (CONFLICT, "second")
    assert floor.notification.request.message is not None
    assert floor.notification.request.message.body == "first"


async def test_two_who_plan_at_once_follow_the_plan_that_was_stored_first() -> None:
    floor, other = Floor(), Floor()
    await other.knows("ana", "ana@x.io")
    await other.route.handle(a_request({"channels": ["email"]}))

    async def nothing_yet(*_: Any) -> None:
        floor.notifications.rows |= other.notifications.rows

    floor.notifications.get = nothing_yet  # type: ignore[method-assign, assignment]  # read before the other one had written
    await floor.route.handle(a_request({"channels": ["email"]}))
    assert len(floor.handed_out()) == 1, "our own plan had skipped for want of an address"


async def test_what_expired_before_it_was_routed_is_handed_to_nobody() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"expires_at": "2020-01-01T00:00:00Z"}))
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))
    assert floor.handed_out("in-app") == []
    assert (floor.row.state, floor.row.reason, floor.is_routed) == ("EXPIRED", "deadline_passed", True)


async def test_a_cap_skips_what_is_over_it_and_a_replay_counts_nothing_twice() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    for number in range(3):
        nudge = a_request({"type": "nudge", "request_id": f"r-{number}"}, offset=number)
        floor.publisher.fail_next(1)
        with pytest.raises(Unavailable):
            await floor.route.handle(nudge)
        await floor.route.handle(nudge)
    plans = [row.plan for row in floor.notifications.rows.values()]
    assert [len(plan.to_make) for plan in plans] == [2, 2, 0], "a notification counts once, whatever its channels"
    assert {line.skipped for line in plans[-1].lines} == {"capped"}
    assert floor.receipts()[-1]["counts"] == {"PLANNED": 0, "SKIPPED": 2}


async def test_a_count_whose_plan_was_never_stored_is_used_by_the_replay() -> None:
    floor = Floor()
    floor.outage.failing["notifications.put"] = 5
    for _ in range(5):
        with pytest.raises(Unavailable):
            await floor.route.handle(a_request({"type": "nudge"}))
    await floor.route.handle(a_request({"type": "nudge"}))
    assert len(floor.notification.plan.to_make) == 1
    [counted] = floor.caps.counted.values()
    assert len(counted) == 1


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"chanels": []}, "invalid", "/chanels"),
    ({"type": "gone"}, "unknown_type", "/type"),
    ({"message": None, "template": "gone"}, "unknown_template", "/template"),
    ({"message": None, "type": "empty"}, "nothing_to_send", "/message"),
    ({"environment": "prod"}, "wrong_environment", "/environment"),
]


@pytest.mark.parametrize(("body", "reason", "pointer"), REFUSED)
async def test_what_cannot_be_carried_out_is_put_aside_and_its_producer_told(
    body: dict[str, Any], reason: str, pointer: str
) -> None:
    floor = Floor()
    record = a_request(body)
    await floor.route.handle(record)
    assert floor.quarantined() == [(record.value, reason)]
    [receipt] = floor.receipts()
    assert (receipt["verdict"], receipt["request_id"], receipt["errors"][0]["pointer"]) == ("rejected", "r-1", pointer)
    assert floor.notifications.rows == {}


async def test_a_skip_is_said_with_its_reason() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"channels": ["in_app", "email"]}))
    skipped = [each for each in floor.publisher.values_on("notifications.dev.status") if each["event"] == "skipped"]
    assert [(each["channel"], each["reason"], each["state"]) for each in skipped] == [("email", "no_address", "SKIPPED")]
    assert floor.receipts()[0]["counts"] == {"PLANNED": 1, "SKIPPED": 1}


async def test_a_later_request_rests_in_a_timer_and_comes_back_under_its_ids() -> None:
    floor = Floor()
    record = a_request({"send_at": iso(now() + timedelta(hours=2)), "request_id": None})
    await floor.route.handle(record)
    assert floor.events() == ["scheduled"]
    assert floor.notifications.rows == {}

    [timer] = floor.timers.timers.values()
    again = floor.due_next()
    assert (again.topic, again.value) == (record.topic, record.value)
    soon = (
        again.value.replace(iso(timer.due_at).encode(), iso(now() - timedelta(seconds=1)).encode()) if again.value else b""
    )
    await floor.route.handle(
        a_request(soon).__class__(again.topic, 1, 99, again.timestamp_ms, again.key, soon, again.headers)
    )
    first = floor.publisher.values_on("notifications.dev.status")[0]["notification_id"]
    assert floor.notification.notification_id == first


async def test_a_later_request_put_off_twice_is_one_timer() -> None:
    floor = Floor()
    record = a_request({"send_at": "2999-01-01T00:00:00Z"})
    for _ in range(2):
        await floor.route.handle(record)
    assert len(floor.timers.timers) == 1


@pytest.mark.parametrize("away", ["notifications.get", "notifications.put", "contacts.get", "notifications.mark_routed"])
async def test_while_our_floor_is_out_the_record_is_held_and_nobody_refused(away: str) -> None:
    floor = Floor()
    floor.outage.away.add(away)
    with pytest.raises(Unavailable):
        await floor.route.handle(a_request({"channels": ["email"]}))
    assert floor.quarantined() == []

    floor.outage.away.clear()
    await floor.route.handle(a_request({"channels": ["email"]}))
    assert floor.is_routed


async def test_a_request_that_crashes_us_is_put_aside_with_its_bytes() -> None:
    floor = Floor()
    record = a_request()
    await floor.route.bury(record, RecursionError())
    assert floor.quarantined() == [(record.value, "crash:RecursionError")]
    assert floor.receipts()[0]["verdict"] == "rejected"
