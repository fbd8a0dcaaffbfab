"""What a digest says: its events tallied when its window has closed, and the notification that is made of them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.digests import Gathered, Window, cut
from schemas.identity import body_hash
from schemas.ids import delivery_id
from schemas.plan import Notification, Plan, PlannedDelivery, Told
from schemas.requests import EmailTarget, Message, NotificationRequest, PersonTarget, SlackTarget, Target, TopicTarget

MOST_BYTES = 128 * 1024
"""Of the events a digest shows, together: DynamoDB takes rows of 400 KB, and an inbox item is held twice."""
_LINES_IN_TEXT = 10


@dataclass
class Tally:
    """Takes the events of a closed window, newest first and page by page; keeps what is shown and counts the rest."""

    window: Window
    closed_at: datetime
    count: int = 0
    late: int = 0
    shown: list[Gathered] = field(default_factory=list)
    expires_at: datetime | None = None
    _bytes: int = 0

    def take(self, page: Iterable[Gathered]) -> list[Gathered]:
        """Counts a page; what expired while it waited is not counted, but given back."""
        expired = []
        for event in page:
            if event.expires_at is not None and event.expires_at <= self.closed_at:
                expired.append(event)
            else:
                self._count(event)
        return expired

    def _count(self, event: Gathered) -> None:
        self.expires_at = _later(self.expires_at, event.expires_at) if self.count else event.expires_at
        self.count += 1
        self.late += event.late
        size = len(event.model_dump_json().encode())
        if len(self.shown) < self.window.terms.limit and self._bytes + size <= MOST_BYTES:
            self.shown.append(event)
            self._bytes += size

    @property
    def told(self) -> Told:
        shown = tuple(event.notification_id for event in self.shown)
        return Told(count=self.count, more=self.count - len(shown), late=self.late, notifications=shown)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """A digest expires when the last of its events does; with one that never expires it does not either."""
    return max(one, other) if one is not None and other is not None else None


def stays_as_it_is(tally: Tally) -> bool:
    """A single event needs no list around it."""
    return tally.count == 1 and tally.window.terms.template is None


def digest_of(tally: Tally, origin: str, only: Notification | None = None) -> Notification:
    """The notification that a closed window is; made again of the same events it is the same one.

    `only` is the event's own notification where that one stays as it is.
    """
    window, at = tally.window, tally.closed_at
    request = NotificationRequest(
        type=window.series.type if window.series.type != "plain" else None,
        to=_targets(window),
        channels=(window.series.channel,),
        digest=False,
        **_content(tally, only),
    )
    plan = Plan(
        lines=(_line(tally),),
        type=window.type,
        category=window.series.category,
        template=only.plan.template if only else window.terms.template,
        priority=window.priority,
        expires_at=tally.expires_at,
        told=tally.told,
    )
    return Notification(
        notification_id=window.window_id,
        environment=window.environment,
        producer=window.series.producer,
        request_id=window.request_id,
        body_hash=body_hash(request),
        origin=origin,
        accepted_at=at,
        planned_at=at,
        request=request,
        plan=plan,
    )


def _line(tally: Tally) -> PlannedDelivery:
    window = tally.window
    return PlannedDelivery(
        delivery_id=delivery_id(window.window_id, window.series.recipient, window.series.channel, window.series.endpoint),
        recipient=window.series.recipient,
        channel=window.series.channel,
        endpoint=window.series.endpoint,
        address=tally.shown[0].address,
        policy=window.line.policy,
        bare=window.line.bare,
    )


def _targets(window: Window) -> tuple[Target, ...]:
    """Whom it is for as preferences ask: somebody who was named, or a member of audiences."""
    if window.series.topics:
        return tuple(TopicTarget(topic=topic) for topic in window.series.topics)
    if not window.line.bare:
        return (PersonTarget(user=window.series.recipient),)
    address = window.line.address or ""
    return (SlackTarget(slack=address),) if window.series.channel == "slack" else (EmailTarget(email=address),)


def _content(tally: Tally, only: Notification | None) -> dict[str, Any]:
    """A template gets the events as variables; without one they are listed."""
    if only is not None:
        said = only.request
        return {"message": said.message, "template": said.template, "variables": said.variables}
    if tally.window.terms.template is not None:
        return {"template": tally.window.terms.template, "variables": variables_of(tally)}
    return {"message": default_message(tally)}


def variables_of(tally: Tally) -> dict[str, Any]:
    told = tally.told
    return {
        "items": [_item(event) for event in tally.shown],
        "count": told.count,
        "more": told.more,
        "late": told.late,
        "key": tally.window.terms.key,
    }


def _item(event: Gathered) -> dict[str, Any]:
    return {
        "title": event.title,
        "text": event.text,
        "url": event.url,
        "late": event.late,
        "at": event.accepted_at.isoformat(),
        "notification_id": event.notification_id,
        "variables": event.variables,
    }


def default_message(tally: Tally) -> Message:
    newest, told = tally.shown[0], tally.told
    lines = [f"• {_marked(event, event.title or event.text)}" for event in tally.shown[:_LINES_IN_TEXT]]
    left = told.count - len(lines)
    heads = [f"{told.count} new:", *lines, *([f"…and {left} more"] if left else [])]
    return Message(title=f"{told.count} new: {cut(newest.title or newest.text, 100)}", body="\n".join(heads), url=newest.url)


def _marked(event: Gathered, text: str) -> str:
    """A reader who has had the digest before this one is told what it would have belonged to."""
    return f"{text} (late: from {event.accepted_at:%Y-%m-%d %H:%M} UTC)" if event.late else text
