"""persist folds status events into the ledger; a repeat changes nothing."""

from typing import Any

import pytest

from infrastructure.ports import Received
from schemas.events import StatusEvent
from schemas.outcomes import Unavailable
from tests.unit.stories import Floor, now

TOPIC = "notifications.dev.status"


def a_status(**fields: Any) -> Received:
    known: dict[str, Any] = {"environment": "dev", "notification_id": "ntf_1", "delivery_id": "dlv_1", "at": now()}
    known |= {"recipient": "ana", "channel": "in_app", "event": "sent", "state": "SENT", "unclaimed": True}
    return Received(TOPIC, 0, 0, 0, b"dlv_1", StatusEvent.model_validate(known | fields).model_dump_json().encode())


async def test_an_inbox_delivery_gets_its_ledger_row_and_whoever_waits_is_woken() -> None:
    floor = Floor()
    await floor.persist.handle(a_status(answer="stored"))
    assert (floor.row.state, floor.row.recipient, floor.row.answer) == ("SENT", "ana", "stored")
    assert [step.event for step in floor.row.history] == ["sent"]
    assert floor.announcer.woken == [("outcome", "ntf_1")]


async def test_a_claimed_delivery_writes_its_own_row_and_persist_leaves_it_alone() -> None:
    floor = Floor()
    await floor.persist.handle(a_status(channel="email", unclaimed=False))
    assert floor.deliveries.rows == {}


async def test_a_skip_gets_its_row_whatever_the_channel() -> None:
    floor = Floor()
    await floor.persist.handle(a_status(channel="email", event="skipped", state="SKIPPED", reason="no_address"))
    assert (floor.row.state, floor.row.reason) == ("SKIPPED", "no_address")


async def test_a_repeat_or_an_older_event_does_not_undo_a_newer_one() -> None:
    floor = Floor()
    await floor.persist.handle(a_status(version=2, event="cancelled", state="CANCELLED"))
    await floor.persist.handle(a_status(version=1))
    await floor.persist.handle(a_status(version=2, reason="repeated"))
    assert (floor.row.state, floor.row.reason) == ("CANCELLED", None)


async def test_the_same_event_twice_is_one_step_of_the_history() -> None:
    floor = Floor()
    for _ in range(2):
        await floor.persist.handle(a_status())
    assert len(floor.row.history) == 1


async def test_what_is_not_over_yet_wakes_nobody() -> None:
    floor = Floor()
    await floor.persist.handle(a_status(channel="email", event="retrying", state="RETRY", unclaimed=False))
    await floor.persist.handle(a_status(delivery_id=None, event="routed", state=None))
    assert floor.announcer.woken == []
    assert floor.deliveries.rows == {}


async def test_an_outage_passes_through_and_the_repeat_completes() -> None:
    floor = Floor()
    floor.outage.away.add("deliveries.record")
    with pytest.raises(Unavailable):
        await floor.persist.handle(a_status())
    assert floor.announcer.woken == []
    floor.outage.away.clear()
    await floor.persist.handle(a_status())
    assert floor.row.state == "SENT"


async def test_bytes_that_are_no_status_are_buried_as_they_came() -> None:
    floor = Floor()
    record = Received(TOPIC, 0, 0, 0, None, b"\xff")
    await floor.persist.handle(record)
    assert floor.quarantined() == [(b"\xff", "unreadable")]
