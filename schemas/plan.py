"""Who gets what on which channel: decided once, stored, and followed by every replay. Pure; time comes as an argument."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.base import Record, UtcDatetime
from schemas.deliveries import DeliveryRecord
from schemas.digest_terms import Terms
from schemas.events import FieldError
from schemas.ids import delivery_id, endpoint_of
from schemas.outcomes import Policy
from schemas.preferences import About
from schemas.requests import Channel, EmailTarget, NotificationRequest, PersonTarget, SlackTarget, TopicTarget
from schemas.topics import Environment, Priority
from schemas.types import NotificationType

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
    digest: Terms | None = None  # gathered into a window instead of being sent by itself


class Told(Record):
    """What a digest tells about: how many events, and the ids of those it shows."""

    count: int
    more: int = 0
    late: int = 0
    notifications: tuple[str, ...] = ()


class Plan(Record):
    lines: tuple[PlannedDelivery, ...]
    type: str
    category: str
    template: str | None
    priority: Priority
    expires_at: UtcDatetime | None = None
    told: Told | None = None  # of a digest

    @property
    def to_make(self) -> tuple[PlannedDelivery, ...]:
        return tuple(line for line in self.lines if line.skipped is None)

    @property
    def by_themselves(self) -> tuple[PlannedDelivery, ...]:
        """What is to make and not gathered."""
        return tuple(line for line in self.to_make if line.digest is None)

    def without(self, recipients: Collection[str], reason: str) -> "Plan":
        """The same plan with whatever would go to these recipients by itself skipped."""
        own = {line.delivery_id for line in self.by_themselves if line.recipient in recipients}
        changed = tuple(
            line.model_copy(update={"skipped": reason}) if line.delivery_id in own else line for line in self.lines
        )
        return self.model_copy(update={"lines": changed})

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

    @property
    def whose(self) -> dict[str, Any]:
        """What a status event says about the notification it belongs to."""
        return {"producer": self.producer, "request_id": self.request_id, "of": len(self.plan.lines)}

    def record_of(self, line: PlannedDelivery, correlation_id: str = "", traceparent: str = "") -> DeliveryRecord:
        """What travels on the channel's Kafka topic for a line of the plan."""
        return DeliveryRecord(
            environment=self.environment,
            notification_id=self.notification_id,
            delivery_id=line.delivery_id,
            recipient=line.recipient,
            channel=line.channel,
            priority=self.plan.priority,
            bare=line.bare,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )

    def line(self, wanted: str) -> PlannedDelivery | None:
        return next((line for line in self.plan.lines if line.delivery_id == wanted), None)


class Unplanned(Record):
    """What is known of what has no plan: a request waits for its time, or was refused and why; a digest had no events."""

    status: Literal["SCHEDULED", "REJECTED", "EMPTY"]
    producer: str
    request_id: str
    at: UtcDatetime
    due_at: UtcDatetime | None = None
    reason: str | None = None
    errors: tuple[FieldError, ...] = ()


class Contact(Record):
    """What is known of a person: where they can be reached."""

    person: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None


@dataclass(frozen=True)
class Recipient:
    """Somebody to reach: a person with what is known of them, or a bare address."""

    key: str
    person: str | None = None
    email: str | None = None
    email_endpoint: str = ""
    slack: str | None = None

    def reachable_on(self, channel: Channel) -> tuple[str, str | None] | str:
        """(endpoint, address) on that channel, or the reason why not."""
        if channel == "in_app":
            return ("", None) if self.person else "no_inbox"
        if channel == "email":
            return (self.email_endpoint, self.email) if self.email else "no_address"
        return (self.slack, self.slack) if self.slack else "no_address"


def people_named(request: NotificationRequest) -> tuple[str, ...]:
    return tuple(target.user for target in request.to if isinstance(target, PersonTarget))


def recipients_of(
    request: NotificationRequest, audience: Iterable[str], contacts: dict[str, Contact]
) -> tuple[Recipient, ...]:
    """Everybody a request names, each once; an address in the request overrides the contact's."""
    found: dict[str, Recipient] = {}
    for target in request.to:
        match target:
            case PersonTarget(user=user, email=email):
                found.setdefault(user, _person(user, email, contacts.get(user)))
            case EmailTarget(email=email):
                endpoint = endpoint_of(email)
                found.setdefault(f"email:{endpoint}", Recipient(f"email:{endpoint}", None, email, endpoint))
            case SlackTarget(slack=name):
                found.setdefault(f"slack:{name}", Recipient(f"slack:{name}", slack=name))
            case _:
                continue
    for user in audience:
        found.setdefault(user, _person(user, None, contacts.get(user)))
    return tuple(found.values())


def _person(user: str, given: str | None, contact: Contact | None) -> Recipient:
    if given:
        return Recipient(user, user, given, endpoint_of(given))
    return Recipient(user, user, contact.email if contact else None, "primary")


def channels_for(recipient: Recipient, request: NotificationRequest, kind: NotificationType) -> Sequence[Channel]:
    """A person gets the request's channels, else the type's; a bare address is its own channel."""
    if recipient.person is not None:
        return request.channels or kind.channels
    own: Channel = "slack" if recipient.slack else "email"
    return (own,)


def make_plan(
    notification: str,
    request: NotificationRequest,
    kind: NotificationType,
    template: str | None,
    recipients: Sequence[Recipient],
    accepted_at: datetime,
    policies: Mapping[Channel, Policy],
) -> Plan:
    """Every delivery of a notification, or its skip with the reason; `policies` are the deployment's, per channel."""
    agreed: dict[Channel, Policy] = {**policies, **kind.policy}
    lines = [
        _line(notification, recipient, channel, request, agreed.get(channel, "at_least_once"))
        for recipient in recipients
        for channel in channels_for(recipient, request, kind)
    ]
    if len(lines) > MAX_PLANNED:
        raise TooManyDeliveries(f"{len(lines)} deliveries planned; one request may have {MAX_PLANNED}")
    expires_at = request.expires_at
    if expires_at is None and kind.expires_after is not None:
        expires_at = (request.send_at or accepted_at) + kind.expires_after
    return Plan(
        lines=tuple(lines),
        type=kind.pinned,
        category=request.category or kind.category,
        template=template,
        priority=request.priority or kind.priority,
        expires_at=expires_at,
    )


def _line(
    notification: str, recipient: Recipient, channel: Channel, request: NotificationRequest, policy: Policy
) -> PlannedDelivery:
    reach = recipient.reachable_on(channel)
    endpoint, address = ("", None) if isinstance(reach, str) else reach
    skipped = reach if isinstance(reach, str) else None
    if request.channels is not None and channel not in request.channels:
        skipped = "channel_not_asked_for"
    return PlannedDelivery(
        delivery_id=delivery_id(notification, recipient.key, channel, endpoint),
        recipient=recipient.key,
        channel=channel,
        endpoint=endpoint,
        address=address,
        policy=policy,
        skipped=skipped,
        bare=recipient.person is None,
    )


def about(request: NotificationRequest, plan: Plan, line: PlannedDelivery) -> About:
    """What a person's preferences are asked about. Whoever is named is not there because of a topic."""
    named = line.recipient in people_named(request)
    return About(
        channel=line.channel,
        category=plan.category,
        type=plan.type.partition("@")[0],
        topics=() if named else tuple(target.topic for target in request.to if isinstance(target, TopicTarget)),
        urgent=plan.priority == "urgent",
    )
