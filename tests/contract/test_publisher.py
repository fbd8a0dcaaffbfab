"""What a publisher promises, in memory and with a broker."""

import asyncio
from collections.abc import Callable

from infrastructure.ports import Outgoing, Publisher

TOPIC = "notifications.test.receipts"


async def test_a_record_has_its_place_when_the_call_returns(publisher: Publisher, unique: Callable[[str], str]) -> None:
    first = await publisher.publish(Outgoing(TOPIC, unique("r"), b"{}", {"ce_id": "é", "raw": b"\xff"}))
    assert first.topic == TOPIC
    assert first.offset >= 0


async def test_records_of_one_key_follow_each_other(publisher: Publisher, unique: Callable[[str], str]) -> None:
    key = unique("r")
    places = [await publisher.publish(Outgoing(TOPIC, key, b"%d" % n)) for n in range(5)]
    assert len({place.partition for place in places}) == 1
    offsets = [place.offset for place in places]
    assert offsets == sorted(set(offsets))


async def test_many_at_once_all_get_a_place_of_their_own(publisher: Publisher, unique: Callable[[str], str]) -> None:
    places = await asyncio.gather(*(publisher.publish(Outgoing(TOPIC, unique("r"), b"{}")) for _ in range(200)))
    assert len({str(place) for place in places}) == 200


async def test_a_record_may_be_without_a_key_or_without_a_value(publisher: Publisher, unique: Callable[[str], str]) -> None:
    assert (await publisher.publish(Outgoing(TOPIC, None, b"{}"))).topic == TOPIC
    assert (await publisher.publish(Outgoing(TOPIC, unique("r"), None))).topic == TOPIC
