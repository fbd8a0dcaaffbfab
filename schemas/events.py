"""What our workers tell each other and the world: status events, receipts, refusals. Ids only, no personal data."""

from typing import Any, Literal

from pydantic import Field

from schemas.base import Record, UtcDatetime
from schemas.deliveries import Delivery, State, StatusName
from schemas.topics import Environment


class Position(Record):
    """A place in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def of(cls, text: str) -> "Position":
        """Raises `ValueError` for what is no `topic/partition/offset`."""
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic=topic, partition=int(partition), offset=int(offset))


class StatusEvent(Record):
    """One thing that happened to a notification or to one of its deliveries.

    `of` counts the lines of the notification's plan. `unclaimed`: no claim has written the ledger's row, so persist does, in
    one of the plan's `shards`.
    """

    environment: Environment
    notification_id: str
    producer: str | None = None
    request_id: str | None = None
    of: int | None = None
    delivery_id: str | None = None
    event: StatusName
    at: UtcDatetime
    version: int = 1
    recipient: str | None = None
    channel: str | None = None
    shards: int = 1
    state: State | None = None
    attempt: int = 0
    turn: int = 0
    reason: str | None = None
    answer: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    next_at: UtcDatetime | None = None
    origin: Position | None = None
    worker: str = ""
    unclaimed: bool = False

    @property
    def name(self) -> str:
        """Names the event within its notification: a repeat of the same event has the same name."""
        return f"{self.delivery_id or ''}#{self.version:06d}#{self.event}"


def event_of(row: Delivery, **more: Any) -> StatusEvent:
    """What a row of the ledger says, as an event; `more` is what its reporter knows besides."""
    known = row.model_dump(
        include={
            "environment",
            "notification_id",
            "delivery_id",
            "version",
            "recipient",
            "channel",
            "shards",
            "state",
            "attempt",
            "turn",
            "reason",
            "answer",
            "provider",
            "provider_id",
            "next_at",
        }
    )
    return StatusEvent.model_validate(known | {"event": row.event, "at": row.updated_at} | more)


class Completion(Record):
    """A timer's question on the status topic: has everything planned for this notification ended?"""

    environment: Environment
    notification_id: str


class FieldError(Record):
    """What is wrong where; `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


Verdict = Literal["accepted", "rejected", "duplicate", "final"]


class Receipt(Record):
    """Our answer to a producer. `moved_to_bulk`: it goes, at a lower priority, because its producer is over its quota;
    `moved_to_normal`: the same of an urgent one.

    A `final` one may be followed by another with a higher `revision`, when what had ended changes once more.
    """

    producer: str
    request_id: str
    notification_id: str | None = None
    verdict: Verdict
    revision: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()
    moved_to_bulk: Literal["quota"] | None = None
    moved_to_normal: Literal["quota"] | None = None
    origin: Position | None = None
    at: UtcDatetime
