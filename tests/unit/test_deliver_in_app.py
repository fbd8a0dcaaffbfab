"""deliver.in_app: the item, put once under its delivery id, is the delivery."""

from dataclasses import replace
from typing import Any

import pytest

from infrastructure.ports import Received
from schemas.outcomes import Unavailable
from tests.unit.stories import Floor, a_request, as_read, now


async def a_routed_item(**body: Any) -> tuple[Floor, Received]:
    floor = Floor()
    await floor.route.handle(a_request({"channels": ["in_app"]} | body))
    [record] = floor.handed_out("in-app")
    return floor, record


async def test_an_item_is_stored_announced_and_said() -> None:
    message = {"title": "T", "body": "B", "url": "/o", "actions": [{"label": "Open", "url": "/o"}], "data": {"n": 1}}
    floor, record = await a_routed_item(message=message, category="orders")
    await floor.in_app.handle(record)
    [item] = await floor.inbox.newest("dev", "ana", before=None, limit=9)
    assert (item.title, item.message, item.url, item.data, item.category) == ("T", "B", "/o", {"n": 1}, "orders")
    assert item.actions == ({"label": "Open", "url": "/o"},)
    assert floor.announcer.woken == [("inbox", "ana")]
    assert floor.events() == ["routed", "sent"]


async def test_a_record_that_comes_again_changes_nothing_for_the_reader() -> None:
    floor, record = await a_routed_item()
    await floor.in_app.handle(record)
    [first] = await floor.inbox.newest("dev", "ana", before=None, limit=9)
    await floor.inbox.mark_read("dev", "ana", first.id, now())
    await floor.in_app.handle(record)
    [again] = await floor.inbox.newest("dev", "ana", before=None, limit=9)
    assert again.cursor == first.cursor
    assert again.read_at is not None


async def test_an_outage_passes_through_and_the_repeat_stores_it() -> None:
    floor, record = await a_routed_item()
    floor.outage.away.add("inbox.put")
    with pytest.raises(Unavailable):
        await floor.in_app.handle(record)
    assert floor.events() == ["routed"]
    floor.outage.away.clear()
    await floor.in_app.handle(record)
    assert await floor.inbox.unread("dev", "ana") == 1


@pytest.mark.parametrize("why", ["cancelled", "expired"])
async def test_what_was_stopped_is_not_stored(why: str) -> None:
    floor, record = await a_routed_item()
    if why == "cancelled":
        await floor.cancelled()
    else:
        floor.expires()
    await floor.in_app.handle(record)
    assert (floor.inbox.items, floor.events()[-1]) == ({}, why)


async def test_what_is_in_the_inbox_already_was_sent_whatever_came_later() -> None:
    floor, record = await a_routed_item()
    await floor.in_app.handle(record)
    await floor.cancelled()
    await floor.in_app.handle(record)
    assert floor.events() == ["routed", "sent", "sent"]


@pytest.mark.parametrize("value", [b"\xff", b"{}", None])
async def test_bytes_that_are_no_delivery_are_put_away_at_once(value: bytes | None) -> None:
    floor, record = await a_routed_item()
    await floor.in_app.handle(replace(record, value=value))
    assert floor.quarantined() == [(value, "unreadable")]


async def test_a_delivery_on_the_topic_of_another_channel_is_put_away() -> None:
    floor, record = await a_routed_item()
    await floor.external().handle(replace(record, topic="notifications.dev.email"))
    assert floor.quarantined() == [(record.value, "not_planned")]


async def test_a_text_that_cannot_be_made_fails_and_is_a_dead_letter() -> None:
    floor, record = await a_routed_item(message=None, type="order.shipped")
    await floor.in_app.handle(record)
    assert floor.inbox.items == {}
    assert [letter.headers["x-dlq-reason"] for letter in floor.dead_letters()] == ["cannot_render"]


async def test_a_record_that_crashes_us_is_quarantined_with_its_bytes() -> None:
    floor, record = await a_routed_item()
    await floor.in_app.bury(record, KeyError("bug"))
    assert floor.quarantined() == [(record.value, "crash:KeyError")]


async def test_what_persist_makes_of_it_is_the_ledger_row() -> None:
    floor, record = await a_routed_item()
    await floor.in_app.handle(record)
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))
    assert (floor.row.state, floor.row.answer) == ("SENT", "stored")
