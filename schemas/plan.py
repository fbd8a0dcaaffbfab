"""Who gets what on which channel: decided once, stored, and followed by every replay."""

from datetime import datetime, timedelta
from typing import Any, Literal

from schemas.audiences import Audience
from schemas.base import Record, UtcDatetime
from schemas.deliveries import DeliveryRecord, deadline
from schemas.digest_terms import Terms
from schemas.durations import Duration
from schemas.events import FieldError
from schemas.ids import shard_of
from schemas.outcomes import Policy
from schemas.preferences import About
from schemas.recipients import people_named
from schemas.requests import Channel, FallbackStep, NotificationRequest, TopicTarget
from schemas.schedules import SendAt, last_moment
from schemas.topics import Environment, Priority
from schemas.types import in_turn


class PlannedDelivery(Record):
    """One line of the plan: a delivery to make, or a skip with its reason."""

    delivery_id: str
    recipient: str
    channel: Channel
    endpoint: str = ""
    address: str | None = None
    policy: Policy = "at_least_once"
    skipped: str | None = None
    bare: bool = False  # an address without a person: nobody there has preferences
    chosen: int = 0  # the version of the person's preferences that was consulted
    due_at: UtcDatetime | None = None  # when it was asked for, on this person's clock
    capped: bool = False  # a cap was full: it has to ask again before it goes out
    step: int = 0  # 0: the first channels; n: the n-th step of the fallback
    devices: tuple[str, ...] = ()  # of somebody of an audience, where steps follow: all that were planned for
    digest: Terms | None = None  # gathered into a window instead of being sent by itself

    @property
    def goes_by_itself(self) -> bool:
        return self.skipped is None and self.digest is None

    def shard(self, shards: int) -> int:
        """Which of the plan's ledger shards holds its row."""
        return shard_of(self.recipient, shards)


class Told(Record):
    """What a digest tells about: how many events, and the ids of those it shows."""

    count: int
    more: int = 0
    late: int = 0
    notifications: tuple[str, ...] = ()


class Plan(Record):
    """What a request became. The people of its `audience` are no lines; `shards` is how many the ledger has for it all."""

    lines: tuple[PlannedDelivery, ...]
    type: str
    category: str
    template: str | None
    priority: Priority
    moved_from: Priority | None = None  # what was asked for, where the producer is over its quota
    expires_at: UtcDatetime | None = None
    expires_after: Duration | None = None  # of a time on each person's clock: after it was due there
    told: Told | None = None  # of a digest
    fallback: tuple[FallbackStep, ...] = ()
    audience: Audience | None = None
    shards: int = 1

    def deadline(self, due_at: datetime, longest: timedelta) -> datetime:
        """When what was due then is given up."""
        return deadline(due_at, self.expires_at, self.expires_after or longest)

    @property
    def to_make(self) -> tuple[PlannedDelivery, ...]:
        return tuple(line for line in self.lines if line.skipped is None)

    def waits_before(self, line: PlannedDelivery) -> timedelta:
        """How long a line waits for its turn, when every step before it settles at once."""
        return sum((step.after for step in self.fallback[: line.step]), timedelta(0))

    def channels_of(self, audience: Audience) -> tuple[Channel, ...]:
        """Every channel somebody of its audience may be reached on, sooner or later."""
        return tuple(channel for _, channel in in_turn(audience.channels, self.fallback))

    def with_lines(self, lines: tuple[PlannedDelivery, ...]) -> "Plan":
        return self.model_copy(update={"lines": lines})

    def moved(self, to: Priority) -> "Plan":
        """The same at a lower priority, of which it says so."""
        audience = self.audience.model_copy(update={"priority": to}) if self.audience else None
        return self.model_copy(update={"priority": to, "moved_from": self.priority, "audience": audience})

    @property
    def moves(self) -> dict[str, Any]:
        """What its producer and readers are told about that: `{"moved_to_bulk": "quota"}`."""
        return {f"moved_to_{self.priority}": "quota"} if self.moved_from else {}

    @property
    def skips(self) -> tuple[PlannedDelivery, ...]:
        return tuple(line for line in self.lines if line.skipped is not None)


class Notification(Record):
    """One accepted request with its plan: the row everything later reads."""

    notification_id: str
    environment: Environment
    producer: str
    request_id: str
    body_hash: str
    origin: str
    accepted_at: UtcDatetime
    planned_at: UtcDatetime
    request: NotificationRequest
    plan: Plan
    cancelled_at: UtcDatetime | None = None
    wish: str | None = None  # the last one for another time, by its id; the request says that time already

    @property
    def whose(self) -> dict[str, Any]:
        """What a status event says about the notification it belongs to; nobody has counted an audience yet."""
        of = len(self.plan.lines) if self.plan.audience is None else None
        return {"producer": self.producer, "request_id": self.request_id, "of": of}

    def record_of(self, line: PlannedDelivery, correlation_id: str = "", traceparent: str = "") -> DeliveryRecord:
        """What travels on the channel's Kafka topic for a line; with its endpoint, where the plan does not list it."""
        audience = self.plan.audience if self.line(line.delivery_id) is None else None
        return DeliveryRecord(
            environment=self.environment,
            notification_id=self.notification_id,
            delivery_id=line.delivery_id,
            recipient=line.recipient,
            channel=line.channel,
            endpoint=line.endpoint if audience else "",
            devices=line.devices,
            shards=self.plan.shards,
            priority=audience.priority if audience else self.plan.priority,
            bare=line.bare,
            capped=line.capped,
            gathers=line.digest if audience else None,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )

    @property
    def due_at(self) -> datetime:
        """When the last of it is due, if nothing holds it."""
        return last_moment(self.request.send_at) if self.request.send_at else self.accepted_at

    def line(self, wanted: str) -> PlannedDelivery | None:
        return next((line for line in self.plan.lines if line.delivery_id == wanted), None)


class Unplanned(Record):
    """What is known of what has no plan: a request waits for its time, or was refused and why; a digest had no events."""

    status: Literal["SCHEDULED", "REJECTED", "EMPTY"]
    producer: str
    request_id: str
    at: UtcDatetime
    due_at: UtcDatetime | None = None
    send_at: SendAt | None = None
    timer_id: str | None = None
    people: tuple[str, ...] = ()
    reason: str | None = None
    errors: tuple[FieldError, ...] = ()


def about(request: NotificationRequest, plan: Plan, line: PlannedDelivery) -> About:
    """What a person's preferences are asked about. Whoever is named is not there because of a topic."""
    named = line.recipient in people_named(request)
    return About(
        channel=line.channel,
        category=plan.category,
        type=plan.type.partition("@")[0],
        topics=() if named else tuple(target.topic for target in request.to if isinstance(target, TopicTarget)),
        urgent="urgent" in (plan.priority, plan.moved_from),
    )
