"""What the ledger promises about what rests: the fake, AWS's DynamoDB Local, and moto."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from infrastructure.dynamo.deliveries import Waiting, Won
from schemas.deliveries import Delivery, DeliveryRecord, row_of
from tests.contract.conftest import Shelves
from tests.contract.test_troubled import Unique
from tests.eventually import eventually

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_record(name: str, *, person: str = "ana", turn: int = 0) -> DeliveryRecord:
    return DeliveryRecord(
        environment="dev",
        notification_id=f"ntf_{name}",
        delivery_id=f"dlv_{name}",
        recipient=person,
        channel="in_app",
        turn=turn,
    )


def resting(record: DeliveryRecord, until: datetime, **changes: Any) -> Delivery:
    known: dict[str, Any] = {"state": "RETRY", "turn": record.turn + 1, "reason": "scheduled", "next_at": until}
    return row_of(record, NOON, **(known | changes)).with_step("t/0/1")


async def test_what_nobody_has_claimed_rests_and_is_claimed_at_its_turn(shelves: Shelves, unique: Unique) -> None:
    name = unique("one")
    row = await shelves.deliveries.rest(resting(a_record(name), NOON + HOUR))
    assert (row.state, row.turn, row.version, row.held, row.history[-1].event) == ("RETRY", 1, 1, True, "held")
    early = await shelves.deliveries.claim(a_record(name), NOON)
    assert isinstance(early, Waiting), "the record that was on its way finds that it waits"
    assert isinstance(await shelves.deliveries.claim(a_record(name, turn=1), NOON), Won)


async def test_it_rests_again_once_for_each_turn(shelves: Shelves, unique: Unique) -> None:
    name = unique("one")
    await shelves.deliveries.rest(resting(a_record(name), NOON))
    again = await shelves.deliveries.rest(resting(a_record(name, turn=1), NOON + HOUR))
    assert (again.turn, again.next_at, again.version) == (2, NOON + HOUR, 2)
    stale = await shelves.deliveries.rest(resting(a_record(name, turn=1), NOON + 9 * HOUR))
    assert stale == again


async def test_of_two_that_rest_at_once_one_is_written(racing_shelves: Shelves, unique: Unique) -> None:
    name = unique("one")
    wishes = [resting(a_record(name), NOON + hours * HOUR) for hours in (1, 2)]
    rows = await asyncio.gather(*(racing_shelves.deliveries.rest(wish) for wish in wishes))
    assert rows[0] == rows[1]
    assert rows[0].version == 1


async def test_what_was_released_or_has_ended_does_not_lie_down_again(shelves: Shelves, unique: Unique) -> None:
    name = unique("one")
    row = await shelves.deliveries.rest(resting(a_record(name), NOON))
    released = (await shelves.trouble.release(row, "olga", NOON)).delivery
    assert await shelves.deliveries.rest(resting(a_record(name, turn=2), NOON + HOUR)) == released
    claim = await shelves.deliveries.claim(a_record(name, turn=2), NOON)
    assert isinstance(claim, Won)
    sent = await shelves.deliveries.settle(claim.delivery.model_copy(update={"state": "SENT"}).with_step("t/0/2"))
    assert await shelves.deliveries.rest(resting(a_record(name, turn=2), NOON + HOUR)) == sent


async def test_what_rests_for_one_person_is_found_the_earliest_first(shelves: Shelves, unique: Unique) -> None:
    person, names = unique("ana"), [unique("d") for _ in range(3)]
    for name, hours in zip(names, (3, 1, 2), strict=True):
        await shelves.deliveries.rest(resting(a_record(name, person=person), NOON + hours * HOUR))
    await shelves.deliveries.rest(resting(a_record(unique("other"), person=unique("ben")), NOON))
    retried = resting(a_record(unique("retried"), person=person), NOON, reason="http_503")
    await shelves.deliveries.rest(retried)

    async def found(*wanted: str, **how: Any) -> list[Delivery]:
        async def look() -> list[Delivery]:
            rows = await shelves.deliveries.resting_of("dev", person, **how)
            return rows if [row.delivery_id for row in rows] == [f"dlv_{name}" for name in wanted] else []

        return await eventually(look)

    first, second, third = names[1], names[2], names[0]
    rows = await found(first, second, third)
    await found(first, second, limit=2)
    await found(second, third, after=f"2026-12-01T13:00:00.000Z#dlv_{first}")
    await shelves.deliveries.claim(a_record(first, person=person, turn=1), NOON)
    await found(second, third)
    assert rows[0].next_at == NOON + HOUR
