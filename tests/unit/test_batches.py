"""What meets in one moment travels in one call; readers of one row share its answer, writers of one row take turns."""

import asyncio
from collections.abc import Mapping
from typing import Any

from infrastructure.dynamo.batches import Batches


class Calls:
    """Answers every read with its own key, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    async def call(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(payload["RequestItems"]["t"])
        await asyncio.sleep(0)
        return {"Responses": {"t": payload["RequestItems"]["t"]["Keys"]}} if action == "BatchGetItem" else {}


def a_key(name: str) -> dict[str, Any]:
    return {"id": {"S": name}}


async def test_a_hundred_readers_of_one_row_ask_for_it_once() -> None:
    calls = Calls()
    batches = Batches(calls.call)
    names = ["same"] * 300 + [f"other-{number}" for number in range(99)]
    found = await asyncio.gather(*(batches.get("t", a_key(name)) for name in names))
    assert found == [a_key(name) for name in names]
    [asked] = calls.asked
    assert len(asked["Keys"]) == 100


async def test_the_hundred_and_first_row_waits_for_the_next_call_and_those_who_share_a_row_do_not() -> None:
    calls = Calls()
    batches = Batches(calls.call)
    names = [f"row-{number}" for number in range(101)] + ["row-0"]
    assert await asyncio.gather(*(batches.get("t", a_key(name)) for name in names)) == [a_key(name) for name in names]
    assert [len(asked["Keys"]) for asked in calls.asked] == [100, 1]


async def test_two_writes_of_one_row_take_two_calls_in_their_order() -> None:
    calls = Calls()
    batches = Batches(calls.call)
    items = [a_key("same") | {"n": {"N": str(number)}} for number in range(2)]
    await asyncio.gather(*(batches.put("t", item, ("id",)) for item in items))
    written: list[Any] = [entry["PutRequest"]["Item"] for request in calls.asked for entry in list[Any](request)]
    assert (written, len(calls.asked)) == (items, 2)
