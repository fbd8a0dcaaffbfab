"""What waits: a record to be put back on its Kafka topic when its time comes. Early or doubled firing does no harm."""

import zlib
from datetime import datetime

from pydantic import Field

from schemas import topics
from schemas.base import Record, UtcDatetime, iso
from schemas.deliveries import DeliveryRecord
from schemas.topics import Environment

TIMER_SHARDS = 4


def shard_of(timer_id: str) -> int:
    return zlib.crc32(timer_id.encode()) % TIMER_SHARDS


def order_of(timer_id: str, due_at: datetime) -> str:
    """Where it stands in its shard: by time, then by id."""
    return f"{iso(due_at)}#{timer_id}"


class Timer(Record):
    """Fires once or more at or after `due_at`; the same id and time is the same timer."""

    environment: Environment
    timer_id: str
    due_at: UtcDatetime
    topic: str
    key: str | None
    value: str
    headers: dict[str, str] = Field(default_factory=dict)

    @property
    def shard(self) -> int:
        return shard_of(self.timer_id)

    @property
    def order(self) -> str:
        return order_of(self.timer_id, self.due_at)


def delivery_timer(delivery: DeliveryRecord, name: str, due_at: datetime) -> Timer:
    """Puts the delivery's record back on its channel's Kafka topic."""
    return Timer(
        environment=delivery.environment,
        timer_id=name,
        due_at=due_at,
        topic=topics.deliveries(delivery.environment, delivery.channel, delivery.priority),
        key=delivery.recipient,
        value=delivery.model_dump_json(exclude_defaults=True),
    )


def turn_timer(delivery: DeliveryRecord, due_at: datetime) -> Timer:
    """The one of its next turn, by whomever it is put: a worker that retries, or an operator who redrives."""
    return delivery_timer(delivery, f"turn#{delivery.delivery_id}#{delivery.turn}", due_at)


def step_timer(delivery: DeliveryRecord, due_at: datetime) -> Timer:
    """The one that begins a step of the fallback, whichever delivery of the step before it puts it."""
    return delivery_timer(delivery, f"step#{delivery.delivery_id}", due_at)


def up_to(now: datetime) -> str:
    """The greatest sort key that is due at `now`."""
    return f"{iso(now)}$"
