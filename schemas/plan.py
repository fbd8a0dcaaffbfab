"""Who gets what on which channel: decided once, stored, and followed by every replay. Pure; time comes as an argument."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from schemas.audiences import Audience, ledger_shards
from schemas.base import Record, UtcDatetime
from schemas.deliveries import Delivery, DeliveryRecord, deadline
from schemas.devices import TOO_MANY_DEVICES, within
from schemas.digest_terms import Terms
from schemas.durations import Duration
from schemas.events import FieldError
from schemas.ids import delivery_id, shard_of
from schemas.outcomes import Policy
from schemas.preferences import About
from schemas.recipients import Contact, Recipient, people_named, person_as_recipient
from schemas.requests import Channel, FallbackStep, NotificationRequest, TopicTarget
from schemas.schedules import SendAt, is_wall_clock, last_moment
from schemas.topics import Environment, Priority
from schemas.types import NotificationType, in_turn

MAX_PLANNED = 500


class TooManyDeliveries(ValueError):
    """A request would plan more deliveries than one notification may have."""


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


def channels_for(
    recipient: Recipient, request: NotificationRequest, kind: NotificationType
) -> Sequence[tuple[int, Channel]]:
    """Each with its step. A person gets the request's channels, else the type's; a bare address is its own channel."""
    if recipient.person is not None:
        return in_turn(kind.channels_for(request), kind.steps_for(request))
    own: Channel = "slack" if recipient.slack else "email"
    return ((0, own),)


def make_plan(
    notification: str,
    request: NotificationRequest,
    kind: NotificationType,
    template: str | None,
    recipients: Sequence[Recipient],
    accepted_at: datetime,
    policies: Mapping[Channel, Policy],
    audience: Audience | None = None,
) -> Plan:
    """Every delivery of a notification, or its skip with the reason; `policies` are the deployment's, per channel."""
    agreed: dict[Channel, Policy] = {**policies, **kind.policy}
    turns = [(recipient, *turn) for recipient in recipients for turn in channels_for(recipient, request, kind)]
    if len(turns) > MAX_PLANNED:
        raise TooManyDeliveries(f"{len(turns)} deliveries planned; one request may have {MAX_PLANNED}")
    lines: list[PlannedDelivery] = []
    room = MAX_PLANNED - len(turns)
    for recipient, step, channel in turns:
        policy = agreed.get(channel, "at_least_once")
        mine = _lines(notification, recipient, channel, request, policy, step, room)
        room -= sum(line.skipped is None for line in mine[1:])
        lines += mine
    expires_at, expires_after = request.expires_at, None
    if expires_at is None and kind.expires_after is not None:
        if request.send_at is not None and is_wall_clock(request.send_at):
            expires_after = kind.expires_after
        else:
            expires_at = (request.send_at or accepted_at) + kind.expires_after
    return Plan(
        lines=tuple(lines),
        type=kind.pinned,
        category=request.category or kind.category,
        template=template,
        priority=request.priority or kind.priority,
        expires_at=expires_at,
        expires_after=expires_after,
        fallback=kind.steps_for(request),
        audience=audience,
        shards=ledger_shards(audience),
    )


def audience_lines(
    notification: Notification,
    people: Iterable[str],
    contacts: Mapping[str, Contact],
    devices: Mapping[str, Sequence[str]] | None = None,
) -> tuple[PlannedDelivery, ...]:
    """What an audience's people get, or why not: the rule of `make_plan` for people whom the stored plan does not list.

    Whoever does not know their devices gets no lines of pushes: which those are depends on them.
    """
    audience = notification.plan.audience
    if audience is None:
        return ()
    lines = (
        line
        for person in people
        for step, channel in in_turn(audience.channels, notification.plan.fallback)
        if channel != "push" or devices is not None
        for line in _lines(
            notification.notification_id,
            person_as_recipient(person, None, contacts.get(person), (devices or {}).get(person, ())),
            channel,
            notification.request,
            audience.policies.get(channel, "at_least_once"),
            step,
        )
    )
    if not devices or not notification.plan.fallback:
        return tuple(lines)
    return tuple(line.model_copy(update={"devices": tuple(devices.get(line.recipient, ()))}) for line in lines)


def line_of(
    notification: Notification, delivery: str, recipient: str, devices: Sequence[str] = ()
) -> PlannedDelivery | None:
    """A line by its delivery's id: of the stored plan, or made again for somebody of its audience; addresses left out."""
    listed = notification.line(delivery)
    if listed is not None or recipient in people_named(notification.request):
        return listed
    again = audience_lines(notification, (recipient,), {}, {recipient: devices})
    return next((line for line in again if line.delivery_id == delivery), None)


def record_of_row(notification: Notification, row: Delivery) -> DeliveryRecord | None:
    """What travels for a row that waits, for its turn; None where the plan has no such line, or no longer."""
    line = line_of(notification, row.delivery_id, row.recipient, row.known_devices)
    known = {"turn": row.turn, "capped": row.capped, "gathers": row.gathers}
    return notification.record_of(line).model_copy(update=known) if line else None


def _lines(
    notification: str,
    recipient: Recipient,
    channel: Channel,
    request: NotificationRequest,
    policy: Policy,
    step: int,
    room: int = MAX_PLANNED,
) -> list[PlannedDelivery]:
    """One for each place they are to be reached at on that channel; beyond the first as many as there is room for."""
    endpoints, is_cut = within(recipient.endpoints_on(channel), room)
    skipped = recipient.unreachable_on(channel)
    if step == 0 and request.channels is not None and channel not in request.channels:
        skipped = "channel_not_asked_for"

    def line(endpoint: str, skipped: str | None) -> PlannedDelivery:
        return PlannedDelivery(
            delivery_id=delivery_id(notification, recipient.key, channel, endpoint),
            recipient=recipient.key,
            channel=channel,
            endpoint=endpoint,
            address=recipient.address_on(channel),
            policy=policy,
            skipped=skipped,
            step=step,
            bare=recipient.person is None,
        )

    return [line(each, skipped) for each in endpoints] + ([line("", skipped or TOO_MANY_DEVICES)] if is_cut else [])


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
