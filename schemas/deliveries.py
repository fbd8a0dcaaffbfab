"""One notification to one endpoint of one person on one channel: its states and the record that carries its ids."""

from datetime import datetime, timedelta
from typing import Literal

from schemas.base import Record, UtcDatetime
from schemas.digest_terms import Terms
from schemas.ids import shard_of
from schemas.topics import Environment, Priority

State = Literal["PENDING", "IN_FLIGHT", "RETRY", "SENT", "SKIPPED", "FAILED", "EXPIRED", "CANCELLED", "UNKNOWN", "DIGESTED"]
StatusName = Literal[
    "routed",
    "scheduled",
    "sent",
    "skipped",
    "retrying",
    "held",
    "failed",
    "expired",
    "cancelled",
    "unknown",
    "redriven",
    "released",
    "late",
    "digested",
]
ENDED: frozenset[State] = frozenset({"SENT", "SKIPPED", "FAILED", "EXPIRED", "CANCELLED", "UNKNOWN", "DIGESTED"})
"""Nothing more is tried by itself. UNKNOWN is settled by what the provider tells later, or by a person; DIGESTED is in a
digest, which is a notification with a delivery of its own."""


HOLDS = frozenset({"quiet_hours", "scheduled", "capped"})
"""What a delivery may rest for without anything having failed; a reason says it first, details follow a colon."""
HELD: Literal["held"] = "held"
RELEASED: Literal["released"] = "released"


class DeliveryRecord(Record):
    """What travels on a channel's Kafka topic: ids only, the content stays in the notification's row.

    `turn` counts how often the delivery has waited: a record acts only on the row whose turn it is. `shards` is the
    plan's: with the recipient it says where the ledger row is. `endpoint` is said where the plan does not list it, `devices`
    where moreover further steps follow: those that its person had when the plan was made.
    """

    environment: Environment
    notification_id: str
    delivery_id: str
    recipient: str
    channel: str
    endpoint: str = ""
    devices: tuple[str, ...] = ()
    shards: int = 1
    priority: Priority = "normal"
    turn: int = 0
    bare: bool = False  # to an address, not to a person
    capped: bool = False  # it asks its caps before it goes out
    gathers: Terms | None = None  # it joins a digest when its own time has come; said where the plan does not list it
    correlation_id: str = ""
    traceparent: str = ""

    @property
    def shard(self) -> int:
        return shard_of(self.recipient, self.shards)

    @property
    def known_devices(self) -> tuple[str, ...]:
        return devices_known(self.channel, self.endpoint, self.devices)


class Step(Record):
    """One thing that happened to a delivery, with the place in Kafka of the record that brought it about.

    `by` is the operator whose doing it was, `note` what they wrote: for operators' eyes.
    """

    event: str
    at: UtcDatetime
    attempt: int = 0
    reason: str | None = None
    answer: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    next_at: UtcDatetime | None = None
    origin: str = ""
    by: str | None = None
    note: str | None = None


WITHDRAWN = 1000
"""Version of the ledger row of an inbox item that was taken back: above any that storing and redriving it could reach."""

EVENT_OF: dict[State, StatusName] = {
    "SENT": "sent",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "cancelled",
    "RETRY": "retrying",
    "SKIPPED": "skipped",
    "UNKNOWN": "unknown",
    "PENDING": "redriven",
    "DIGESTED": "digested",
}


class Delivery(Record):
    """A row of the ledger. Its history lives in it: a step costs no write of its own.

    `attempt` counts from 0. `doubtful`: an attempt may have reached the provider without our hearing of it. `released`:
    an operator said that nothing is to hold it any more. `kept_shard`: where it stays although its recipient was erased.
    """

    environment: Environment
    notification_id: str
    delivery_id: str
    recipient: str
    channel: str
    endpoint: str | None = None
    devices: tuple[str, ...] | None = None
    shards: int = 1
    kept_shard: int | None = None
    state: State
    attempt: int = 0
    turn: int = 0
    version: int = 0
    claim_token: str | None = None
    claimed_at: UtcDatetime | None = None
    doubtful: bool = False
    released: bool = False
    capped: bool = False
    gathers: Terms | None = None
    cancel_requested_at: UtcDatetime | None = None
    reason: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    answer: str | None = None
    next_at: UtcDatetime | None = None
    updated_at: UtcDatetime
    history: tuple[Step, ...] = ()

    @property
    def shard(self) -> int:
        return shard_of(self.recipient, self.shards) if self.kept_shard is None else self.kept_shard

    @property
    def known_devices(self) -> tuple[str, ...]:
        return devices_known(self.channel, self.endpoint, self.devices)

    @property
    def held(self) -> bool:
        """It waits for its time, not for another attempt."""
        return self.state == "RETRY" and (self.reason or "").partition(":")[0] in HOLDS

    @property
    def event(self) -> StatusName:
        return HELD if self.held else EVENT_OF[self.state]

    def with_step(self, origin: str) -> "Delivery":
        """The row as it is to be written, with what just happened as the last line of its history."""
        step = Step(
            event=self.event,
            at=self.updated_at,
            attempt=self.attempt,
            reason=self.reason,
            answer=self.answer,
            provider=self.provider,
            provider_id=self.provider_id,
            next_at=self.next_at,
            origin=origin,
        )
        return self.model_copy(update={"history": (*self.history, step)})


def row_of(record: DeliveryRecord, now: datetime, **fields: object) -> Delivery:
    """A row of the delivery a record names."""
    ids = record.model_dump(
        include={"environment", "notification_id", "delivery_id", "recipient", "channel", "shards", "capped", "gathers"}
    )
    where = {"endpoint": record.endpoint or None, "devices": record.devices or None}
    return Delivery.model_validate(ids | where | {"updated_at": now} | fields)


def devices_known(channel: str, endpoint: str | None, devices: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a record or row knows of its person's devices: all that were planned for, else the one it is about."""
    return devices or ((endpoint,) if channel == "push" and endpoint else ())


def deadline(due_at: datetime, expires_at: datetime | None, longest: timedelta) -> datetime:
    """When a delivery is given up: its own expiry, else `longest` after it was due."""
    return expires_at or due_at + longest
