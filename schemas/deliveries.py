"""One notification to one endpoint of one person on one channel: its states and the record that carries its ids."""

from datetime import datetime, timedelta
from typing import Literal

from schemas.base import Record, UtcDatetime
from schemas.topics import Environment, Priority

State = Literal["PENDING", "IN_FLIGHT", "RETRY", "SENT", "SKIPPED", "FAILED", "EXPIRED", "CANCELLED", "UNKNOWN"]
FINAL: frozenset[State] = frozenset({"SENT", "SKIPPED", "FAILED", "EXPIRED", "CANCELLED"})


class DeliveryRecord(Record):
    """What travels on a channel's Kafka topic: ids only, the content stays in the notification's row."""

    environment: Environment
    notification_id: str
    delivery_id: str
    recipient: str
    channel: str
    priority: Priority = "normal"
    attempt: int = 0
    seen_claim: str | None = None
    correlation_id: str = ""
    traceparent: str = ""


class Delivery(Record):
    """A row of the ledger."""

    environment: Environment
    notification_id: str
    delivery_id: str
    recipient: str
    channel: str
    state: State
    attempt: int = 0
    version: int = 0
    claim_token: str | None = None
    reason: str | None = None
    provider_id: str | None = None
    answer: str | None = None
    next_at: UtcDatetime | None = None
    updated_at: UtcDatetime

    @property
    def settled(self) -> bool:
        """Nothing more will be tried."""
        return self.state in FINAL


def deadline(due_at: datetime, expires_at: datetime | None, longest: timedelta) -> datetime:
    """When a delivery is given up: its own expiry, else `longest` after it was due."""
    return expires_at or due_at + longest
