"""A backend writes straight to Kafka; the rest is ours."""

import json
from collections.abc import Callable

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas.ids import notification_id
from tests.eventually import eventually

REQUESTS = "notifications.dev.requests"


async def test_a_bare_json_record_becomes_an_inbox_item(
    resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    person, request_id = unique("ana"), unique("order")
    record = {"to": person, "message": {"title": "Hello", "body": "from plain Kafka"}, "request_id": request_id}

    await resources.publisher.publish(Outgoing(REQUESTS, person, json.dumps(record).encode()))

    [item] = await eventually(lambda: resources.stores.inbox.newest("dev", person, before=None, limit=10))
    assert (item.title, item.message) == ("Hello", "from plain Kafka")
    expected = notification_id("dev", "kafka", request_id)
    assert item.notification_id == expected
    [row] = await eventually(lambda: resources.stores.deliveries.of("dev", expected))
    assert row.state == "SENT"
    [step] = row.history
    assert (step.event, step.answer) == ("sent", "stored")
    assert step.origin.startswith("notifications.dev.in-app/")
