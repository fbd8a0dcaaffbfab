"""How a plan is made of a request, its type and its recipients. Pure; time comes as an argument."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.audiences import Audience, ledger_shards
from schemas.devices import TOO_MANY_DEVICES, within
from schemas.ids import delivery_id
from schemas.outcomes import Policy
from schemas.plan import Plan, PlannedDelivery
from schemas.recipients import Recipient
from schemas.requests import Channel, NotificationRequest
from schemas.schedules import is_wall_clock
from schemas.types import NotificationType, in_turn

MAX_PLANNED = 500


class TooManyDeliveries(ValueError):
    """A request would plan more deliveries than one notification may have."""


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
        mine = lines_on(notification, recipient, channel, request, policy, step, room)
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


def lines_on(
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
