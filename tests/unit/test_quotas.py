"""A producer that sends too much goes on at the lowest priority, and is told so; nobody else and no replay pays for it."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from infrastructure.ports import Received
from schemas.cloudevents import SET_ASIDE
from schemas.outcomes import Unavailable
from schemas.plan import about
from tests.unit.stories import Floor, a_request, as_read

URGENT = "notifications.dev.requests.urgent"
ASIDE = "notifications.dev.requests.bulk"


def a_floor(**rules: Any) -> Floor:
    floor = Floor()
    floor.quota_rules = replace(floor.quota_rules, **{"per_minute": 2, "urgent_per_minute": 1} | rules)
    return floor


async def routed(floor: Floor, record: Received) -> None:
    """What is set aside is routed where it went."""
    before = len(floor.publisher.records)
    await floor.route.handle(record)
    for sent in floor.publisher.records[before:]:
        if sent.topic == ASIDE:
            await floor.route.handle(as_read(sent))


async def sends(floor: Floor, number: int, **body: Any) -> str:
    """The Kafka topic the delivery was handed to."""
    before = len(floor.publisher.records)
    topic = URGENT if body.get("priority") == "urgent" else "notifications.dev.requests"
    await routed(floor, a_request({"request_id": f"r-{number}", **body}, offset=number, topic=topic))
    [handed] = [each.topic for each in floor.publisher.records[before:] if "in-app" in each.topic]
    return handed.removeprefix("notifications.dev.")


def told(floor: Floor) -> list[str | None]:
    return [receipt.get("moved_to_bulk") for receipt in floor.receipts()]


async def test_what_is_over_the_quota_goes_as_bulk_and_the_receipt_says_so() -> None:
    floor = a_floor()
    assert [await sends(floor, number) for number in range(4)] == ["in-app", "in-app", "in-app.bulk", "in-app.bulk"]
    assert told(floor) == [None, None, "quota", "quota"]
    assert [each.plan.moved_from for each in floor.notifications.rows.values()] == [None, None, "normal", "normal"]
    floor.monotonic_s += 30
    assert await sends(floor, 4) == "in-app"


async def test_each_delivery_counts_and_skips_do_not() -> None:
    floor = a_floor(per_minute=3)
    await floor.route.handle(a_request({"request_id": "many", "to": ["a", "b", "c"], "channels": ["in_app", "email"]}))
    assert floor.limiter.asked == [("producer:dev:kafka", 3)]
    assert await sends(floor, 1) == "in-app.bulk"


async def test_a_replay_follows_the_stored_plan_and_counts_nothing() -> None:
    floor = a_floor()
    for _ in range(5):
        await floor.route.handle(a_request(offset=0))
    assert len(floor.limiter.asked) == 1
    assert [await sends(floor, number) for number in (2, 3)] == ["in-app", "in-app.bulk"]


async def test_urgent_has_an_allowance_of_its_own_and_what_is_over_it_goes_as_normal_never_as_bulk() -> None:
    floor = a_floor()
    assert [await sends(floor, number, priority="urgent") for number in range(3)] == ["in-app.urgent", "in-app", "in-app"]
    assert [receipt.get("moved_to_normal") for receipt in floor.receipts()] == [None, "quota", "quota"]
    assert told(floor) == [None, None, None]
    assert [await sends(floor, number) for number in (3, 4)] == ["in-app", "in-app"], "normal ones are counted apart"


async def test_a_busy_producers_share_is_fetched_in_blocks_and_asked_for_in_vain_a_few_times_a_second() -> None:
    floor = a_floor(per_minute=1000)
    found = Counter([await sends(floor, number) for number in range(1500)])
    assert found == {"in-app": 1000, "in-app.bulk": 500}
    assert floor.limiter.asked == [("producer:dev:kafka", 10)] * 101, "a hundred blocks, and one refusal"
    floor.monotonic_s += 1
    assert await sends(floor, 1500) == "in-app", "what comes back is asked for again"


async def test_what_is_tried_again_because_the_store_was_away_counts_once() -> None:
    floor = a_floor()
    floor.outage.failing["notifications.put"] = 5
    for _ in range(5):
        with pytest.raises(Unavailable):
            await floor.route.handle(a_request({"request_id": "r-0"}, offset=0))
    assert [await sends(floor, number) for number in range(3)] == ["in-app", "in-app", "in-app.bulk"]


async def test_mandatory_categories_are_neither_counted_nor_moved() -> None:
    floor = a_floor()
    found = [await sends(floor, number, priority="urgent", category="security") for number in range(5)]
    assert found == ["in-app.urgent"] * 5
    assert floor.limiter.asked == []


async def test_a_producer_may_have_a_quota_of_its_own() -> None:
    floor = a_floor(own={"kafka": 1})
    assert [await sends(floor, number) for number in range(2)] == ["in-app", "in-app.bulk"]


async def test_an_audience_of_a_producer_over_its_quota_is_bulk_too_whatever_its_type_says() -> None:
    floor = a_floor(per_minute=1)
    body = {"to": ["ana", "ben", {"topic": "news"}]}
    await routed(floor, a_request(body))
    plan = floor.notification.plan
    assert (plan.priority, plan.moved_from) == ("bulk", "normal")
    assert plan.audience is not None
    assert plan.audience.priority == "bulk"


async def test_what_is_over_the_quota_waits_in_bulks_queue_and_stays_what_it_was() -> None:
    floor = a_floor(per_minute=1)
    await sends(floor, 0)
    record = a_request({"request_id": "r-1"}, offset=1)
    await floor.route.handle(record)
    [aside] = floor.publisher.on(ASIDE)
    assert len(floor.notifications.rows) == 1, "nothing of it is stored yet"
    await floor.route.handle(replace(as_read(aside, 77), timestamp_ms=record.timestamp_ms + 60_000))
    stored = list(floor.notifications.rows.values())[1]
    assert (stored.request_id, stored.producer, stored.origin) == ("r-1", "kafka", str(record.position))
    assert stored.accepted_at.timestamp() * 1000 == record.timestamp_ms
    for later_s in (0, 1):
        floor.monotonic_s += later_s
        await routed(floor, record)  # the worker died before it had committed
    assert len(floor.handed_out("in-app")) == 1
    assert len(floor.handed_out("in-app.bulk")) == 1
    assert [receipt["verdict"] for receipt in floor.receipts()] == ["accepted"] * 4
    assert len(floor.limiter.asked) == 2


async def test_a_flood_goes_aside_unplanned_and_what_may_not_be_moved_stays() -> None:
    floor = a_floor(per_minute=1)
    for number in range(2):
        await sends(floor, number)
    floor.outage.away = {"notifications.get"}  # nothing is looked up
    await floor.route.handle(a_request({"request_id": "r-2"}, offset=2))
    assert len(floor.publisher.on(ASIDE)) == 2
    floor.outage.away = set()
    assert await sends(floor, 3, category="security") == "in-app"
    assert await sends(floor, 4, priority="urgent") == "in-app.urgent"


async def test_setting_aside_that_fails_leaves_the_record_where_it_is() -> None:
    floor = a_floor(per_minute=1)
    await sends(floor, 0)
    floor.publisher.fail_next()
    with pytest.raises(Unavailable):
        await floor.route.handle(a_request({"request_id": "r-1"}, offset=1))
    assert await sends(floor, 1) == "in-app.bulk"


async def test_nobody_else_says_that_a_request_was_set_aside() -> None:
    floor = a_floor()
    forged = a_request({"request_id": "r-0"}, topic=ASIDE)
    await floor.route.handle(replace(forged, headers=((SET_ASIDE, b"0 t/0/0"), *forged.headers)))
    assert floor.notification.origin == str(forged.position)
    assert (floor.notification.plan.moved_from, len(floor.limiter.asked)) == (None, 1)


async def test_an_urgent_one_that_was_moved_is_still_not_held_at_night() -> None:
    floor = a_floor(urgent_per_minute=1)
    await floor.route.handle(a_request({"to": ["ana", "ben"], "priority": "urgent"}, topic=URGENT))
    found = floor.notification
    assert (found.plan.priority, found.plan.moved_from) == ("normal", "urgent")
    assert about(found.request, found.plan, found.plan.lines[0]).urgent
