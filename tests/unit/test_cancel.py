"""Cancelling is exact: the answer says what happened, whatever order things came in."""

import asyncio
import json
from typing import Any

import pytest

from infrastructure.ports import Received
from schemas.cancelling import CancelledDelivery
from schemas.outcomes import Retry, Unavailable
from tests.unit.stories import REQUESTS, Floor, a_request, a_routed_email, now


def a_cancellation(request_id: str = "r-1", *, headers: tuple[tuple[str, bytes], ...] = (), **more: Any) -> Received:
    value = json.dumps({"cancel": request_id} | more).encode()
    return Received(REQUESTS, 0, 99, int(now().timestamp() * 1000), b"ana", value, headers)


async def answers_of(floor: Floor) -> list[tuple[str, str]]:
    found = await floor.notifications.cancellation("dev", floor.notification.notification_id)
    assert found is not None
    assert found.deliveries is not None
    return [(answer.channel, answer.answer) for answer in found.deliveries]


async def the_answer(floor: Floor) -> CancelledDelivery:
    found = await floor.notifications.cancellation("dev", floor.notification.notification_id)
    assert found is not None
    [answer] = found.deliveries or ()
    return answer


async def test_what_nobody_has_begun_is_stopped() -> None:
    floor, record = await a_routed_email()
    await floor.route.handle(a_cancellation())
    assert (await the_answer(floor)).answer == "stopped"
    await floor.external().handle(record)
    assert (floor.channel.sent, floor.row.state) == ([], "CANCELLED")
    assert floor.events() == ["routed", "cancelled", "cancelled"]


async def test_a_retry_that_waits_is_stopped_and_its_timer_finds_nothing_to_do() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    await floor.external().handle(record)
    await floor.route.handle(a_cancellation())
    await floor.external().handle(floor.due_next())
    assert (len(floor.channel.sent), floor.row.state) == (1, "CANCELLED")


async def test_what_was_sent_is_said_to_be_sent() -> None:
    floor, record = await a_routed_email()
    await floor.external().handle(record)
    sent_at = floor.row.updated_at
    await floor.route.handle(a_cancellation())
    answer = await the_answer(floor)
    assert (answer.answer, answer.at, floor.row.state) == ("sent", sent_at, "SENT")


async def test_an_attempt_under_way_is_named_and_none_follows_it() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    floor.channel.open.clear()
    sending = asyncio.create_task(floor.external().handle(record))
    await floor.channel.called.wait()
    since = floor.row.updated_at
    await floor.route.handle(a_cancellation())
    answer = await the_answer(floor)
    assert (answer.answer, answer.at) == ("under_way", since)
    floor.channel.open.set()
    await sending
    assert (floor.row.state, floor.row.reason) == ("CANCELLED", "cancelled_after:http_503")


async def test_an_inbox_item_is_stopped_before_it_is_stored_and_recalled_afterwards() -> None:
    for stored, answer in ((False, "stopped"), (True, "recalled")):
        floor = Floor()
        await floor.route.handle(a_request())
        [record] = floor.handed_out("in-app")
        if stored:
            await floor.in_app.handle(record)
        await floor.route.handle(a_cancellation())
        await floor.in_app.handle(record)
        assert await answers_of(floor) == [("in_app", answer)]
        assert floor.inbox.items == {}
        assert (("recalled", "ana") in floor.announcer.woken) == stored
        assert floor.events()[-1] == "cancelled"


async def test_a_cancellation_that_comes_first_is_found_by_the_request() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_cancellation())
    await floor.route.handle(a_request({"channels": ["in_app", "email"]}))
    assert floor.handed_out("email") == floor.handed_out("in-app") == []
    assert await answers_of(floor) == [("in_app", "stopped"), ("email", "stopped")]
    assert (floor.row.state, floor.is_routed) == ("CANCELLED", True)
    await floor.route.handle(a_request({"channels": ["in_app", "email"]}, offset=1))
    assert [receipt["verdict"] for receipt in floor.receipts()] == ["accepted", "duplicate"]


async def test_somebody_elses_request_of_the_same_id_is_not_touched() -> None:
    floor, record = await a_routed_email()
    forged = (("ce_source", b"user:mallory"),)
    await floor.route.handle(a_cancellation(headers=forged))
    await floor.external().handle(record)
    assert floor.row.state == "SENT"
    assert [reason for _, reason in floor.quarantined()] == ["unknown_source"]


@pytest.mark.parametrize("more", [{"why": "because"}, {"environment": "prod"}, {"cancel": ""}, {"cancel": 7}])
async def test_a_cancellation_that_cannot_be_read_is_refused_with_a_receipt(more: dict[str, Any]) -> None:
    floor, _ = await a_routed_email()
    await floor.route.handle(a_cancellation(**more))
    assert floor.receipts()[-1]["verdict"] == "rejected"
    assert floor.notification.cancelled_at is None


@pytest.mark.parametrize("away", ["notifications.cancel", "deliveries.cancel", "notifications.note_cancelled"])
async def test_an_outage_in_the_middle_is_repeated_to_the_same_end(away: str) -> None:
    floor, record = await a_routed_email()
    floor.outage.away.add(away)
    with pytest.raises(Unavailable):
        await floor.route.handle(a_cancellation())
    floor.outage.away.clear()
    await floor.route.handle(a_cancellation())
    await floor.external().handle(record)
    assert (floor.channel.sent, (await the_answer(floor)).answer) == ([], "stopped")
