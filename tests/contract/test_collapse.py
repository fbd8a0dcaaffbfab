# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""The pointer only advances, and what is behind it is taken back exactly, on the fake and on the real stores."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.dynamo.deliveries import Settled, Won
from infrastructure.dynamo.inbox import cursor_of
from schemas.collapse import Pointer
from schemas.deliveries import DeliveryRecord
from schemas.live import InboxItem
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_pointer(number: int, name: str = "ntf_a") -> Pointer:
    return Pointer(notification_id=name, accepted_at=NOON + timedelta(milliseconds=number))


def a_record(notification: str, channel: str = "email") -> DeliveryRecord:
    return DeliveryRecord(
        environment="dev", notification_id=notification, delivery_id="dlv_1", recipient="ana", channel=channel
    )


def an_item(person: str) -> InboxItem:
    cursor = cursor_of(NOON, "dlv_1")
    return InboxItem(person=person, id="dlv_1", notification_id="ntf_1", cursor=cursor, message="Hi", created_at=NOON)


async def test_a_pointer_only_advances(shelves: Shelves, unique: Unique) -> None:
    name, (first, second, third) = unique("order"), map(a_pointer, range(3))
    assert await shelves.pointers.newest("dev", name) is None
    assert await shelves.pointers.advance("dev", name, None, second) == second
    assert await shelves.pointers.advance("dev", name, None, third) == second, "somebody was faster: look again"
    assert await shelves.pointers.advance("dev", name, second, first) == second, "never back"
    assert await shelves.pointers.advance("dev", name, second, third) == third
    assert await shelves.pointers.advance("dev", name, second, third) == third, "asked again, it is there"
    assert await shelves.pointers.newest("dev", name) == third
    assert await shelves.pointers.newest("test", name) is None


async def test_of_two_in_one_moment_the_greater_id_is_newer(shelves: Shelves, unique: Unique) -> None:
    name, one, two = unique("order"), a_pointer(1, "ntf_a"), a_pointer(1, "ntf_b")
    await shelves.pointers.advance("dev", name, None, one)
    assert await shelves.pointers.advance("dev", name, one, two) == two
    assert await shelves.pointers.advance("dev", name, two, one) == two


async def test_many_that_race_leave_the_newest(racing_shelves: Shelves, unique: Unique) -> None:
    name, pointers = unique("order"), [a_pointer(number) for number in range(12)]

    async def advances(own: Pointer) -> None:
        newest = await racing_shelves.pointers.newest("dev", name)
        while newest is None or newest.is_behind(own):
            newest = await racing_shelves.pointers.advance("dev", name, newest, own)

    await asyncio.gather(*map(advances, random.Random(3).sample(pointers, 12)))
    assert await racing_shelves.pointers.newest("dev", name) == pointers[-1]


async def test_an_unread_item_is_superseded_and_stays_away(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    await shelves.inbox.put_if_absent("dev", an_item(person))
    for _ in range(2):
        assert await shelves.inbox.supersede("dev", person, "dlv_1", NOON)
    assert await shelves.inbox.newest("dev", person, before=None, limit=9) == []
    assert await shelves.inbox.unread("dev", person) == 0
    assert await shelves.inbox.put_if_absent("dev", an_item(person)) == "withdrawn"
    assert await shelves.inbox.withdraw("dev", person, "dlv_1", NOON) == "superseded"


async def test_what_was_not_stored_yet_never_will_be(shelves: Shelves, unique: Unique) -> None:
    person = unique("ana")
    assert await shelves.inbox.supersede("dev", person, "dlv_1", NOON)
    assert await shelves.inbox.put_if_absent("dev", an_item(person)) == "withdrawn"


async def test_what_was_read_or_taken_back_by_its_sender_is_left_alone(shelves: Shelves, unique: Unique) -> None:
    reader, sender = unique("reader"), unique("sender")
    for person in (reader, sender):
        await shelves.inbox.put_if_absent("dev", an_item(person))
    await shelves.inbox.mark_read("dev", reader, "dlv_1", NOON)
    await shelves.inbox.withdraw("dev", sender, "dlv_1", NOON)
    for person in (reader, sender):
        assert not await shelves.inbox.supersede("dev", person, "dlv_1", NOON)
    assert len(await shelves.inbox.newest("dev", reader, before=None, limit=9)) == 1
    assert await shelves.inbox.withdraw("dev", sender, "dlv_1", NOON) == "recalled"


@pytest.mark.parametrize("state", [None, "RETRY", "IN_FLIGHT", "SENT", "CANCELLED"])
async def test_a_delivery_is_superseded_unless_it_is_under_way_or_has_ended(
    shelves: Shelves, unique: Unique, state: str | None
) -> None:
    record = a_record(unique("ntf"))
    if state == "CANCELLED":
        await shelves.deliveries.cancel(record, NOON, "t/0/1")
    elif state is not None:
        claim = await shelves.deliveries.claim(record, NOON)
        assert isinstance(claim, Won)
        if state != "IN_FLIGHT":
            row = claim.delivery.model_copy(update={"state": state, "turn": int(state == "RETRY")})
            assert await shelves.deliveries.settle(row.with_step("t/0/1"))
    found = await shelves.deliveries.supersede(record, NOON, "t/0/2")
    assert (found is not None) == (state in (None, "RETRY"))
    if found is None:
        return
    assert (found.state, found.reason) == ("SKIPPED", "superseded")
    assert await shelves.deliveries.supersede(record, NOON, "t/0/3") == found, "asked again, it says the same"
    claim = await shelves.deliveries.claim(record.model_copy(update={"turn": found.turn}), NOON)
    assert isinstance(claim, Settled)
