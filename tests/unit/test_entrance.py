"""Whatever way a request comes in, it is counted by that way once Kafka has it."""

from typing import get_args

import pytest
from prometheus_client import REGISTRY

from infrastructure.kafka.entrance import Entrance, EntranceName
from infrastructure.live_catalogue import LiveCatalogue
from schemas import topics
from schemas.catalogue import Catalogue
from schemas.outcomes import Unavailable
from schemas.requests import NotificationRequest
from schemas.types import NotificationType
from tests.fakes.publisher import FakePublisher

HI = NotificationRequest.model_validate({"to": "ana", "message": "Hi"})


def counted(entrance: EntranceName) -> float:
    return REGISTRY.get_sample_value("published_messages_total", {"entrance": entrance, "environment": "dev"}) or 0


async def submit(publisher: FakePublisher, entrance: EntranceName) -> None:
    await Entrance(publisher, b"k" * 32).submit(
        HI, entrance=entrance, environment="dev", producer="user:ana", request_id="r-1", correlation_id="c-1"
    )


@pytest.mark.parametrize("entrance", get_args(EntranceName))
async def test_each_entrance_counts_what_kafka_acknowledged_to_it(entrance: EntranceName) -> None:
    before = {name: counted(name) for name in get_args(EntranceName)}
    await submit(FakePublisher(), entrance)
    assert {name: counted(name) - before[name] for name in before} == {name: float(name == entrance) for name in before}


async def test_what_kafka_did_not_acknowledge_is_not_counted() -> None:
    publisher, before = FakePublisher(), counted("http")
    publisher.fail_next()
    with pytest.raises(Unavailable):
        await submit(publisher, "http")
    assert counted("http") == before


@pytest.mark.parametrize(
    ("said", "goes_to"),
    [
        ({"type": "login.code"}, "urgent"),
        ({"type": "login.code", "priority": "normal"}, "normal"),
        ({"priority": "urgent"}, "urgent"),
        ({"type": "news"}, "bulk"),
        ({"type": "nobody.knows.it"}, "normal"),
        ({}, "normal"),
    ],
)
async def test_what_is_urgent_by_its_type_takes_the_urgent_way_from_the_door_on(
    said: dict[str, str], goes_to: topics.Priority
) -> None:
    types = [NotificationType(name="login.code", priority="urgent"), NotificationType(name="news", priority="bulk")]
    publisher = FakePublisher()
    await Entrance(publisher, b"k" * 32, LiveCatalogue(Catalogue.of(types, []))).submit(
        NotificationRequest.model_validate({"to": "ana", "message": "Hi"} | said),
        entrance="http",
        environment="dev",
        producer="user:ana",
        request_id="r-1",
        correlation_id="c-1",
    )
    [record] = publisher.records
    assert record.topic == topics.requests("dev", goes_to)
