"""What an audience's people get: lines that the stored plan does not list, made again wherever they are needed."""

from collections.abc import Iterable, Mapping, Sequence

from schemas.deliveries import Delivery, DeliveryRecord
from schemas.plan import Notification, PlannedDelivery
from schemas.planning import lines_on
from schemas.recipients import Contact, people_named, person_as_recipient
from schemas.types import in_turn


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
        for line in lines_on(
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
