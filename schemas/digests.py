"""A window: events that wait for one digest. When it closes, and what a ledger row says of an event inside. Pure."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from schemas.base import Record, UtcDatetime, iso
from schemas.deliveries import Delivery, DeliveryRecord, row_of
from schemas.digest_terms import Terms
from schemas.ids import series_id, window_id
from schemas.plan import Notification, PlannedDelivery, Unplanned, about
from schemas.requests import Channel, Link
from schemas.timers import Timer
from schemas.topics import Environment, Priority, digests

_INTO = "digest:"
MOST_TEXT, MOST_TITLE, MOST_VARIABLES_BYTES = 500, 200, 4096


class Series(Record):
    """Whose windows follow one another: events of one series share a digest, others never do.

    Whatever decides whether a delivery goes, where to and as what is part of it: a producer cannot write into another's
    digest, a mail to a second address does not end up at the first, and a choice about a category or an audience that
    holds for one event of a digest holds for all.
    """

    environment: Environment
    producer: str
    recipient: str
    channel: Channel
    endpoint: str
    type: str
    category: str
    topics: tuple[str, ...] = ()
    key: str = ""

    @property
    def id(self) -> str:
        about_it = (self.type, self.category, *self.topics, self.key)
        return series_id(self.environment, self.producer, self.recipient, self.channel, self.endpoint, *about_it)


def series_of(notification: Notification, line: PlannedDelivery, terms: Terms) -> Series:
    asked = about(notification.request, notification.plan, line)
    return Series(
        environment=notification.environment,
        producer=notification.producer,
        recipient=line.recipient,
        channel=line.channel,
        endpoint=line.endpoint,
        type=asked.type,
        category=asked.category,
        topics=tuple(sorted(asked.topics)),
        key=terms.key,
    )


class Window(Record):
    """One digest in the making: its terms are those of the event that opened it, and stay.

    `before` is when the window before it was closed. `last_at` is known of sliding ones, once asked for.
    """

    window_id: str
    series: Series
    terms: Terms
    line: PlannedDelivery
    type: str
    priority: Priority
    opened_at: UtcDatetime
    before: UtcDatetime | None = None
    closed_at: UtcDatetime | None = None
    last_at: UtcDatetime | None = None

    @property
    def environment(self) -> Environment:
        return self.series.environment

    @property
    def request_id(self) -> str:
        """Under which its receipts come."""
        return f"digest:{self.window_id}"

    @property
    def closes_at(self) -> datetime:
        """As far as is known: the next event may put it off while the window slides."""
        if self.terms.mode == "fixed" or self.terms.max is None:
            return self.opened_at + self.terms.window
        last = max(self.last_at or self.opened_at, self.opened_at)
        return min(last + self.terms.window, self.opened_at + self.terms.max)

    def is_late(self, accepted_at: datetime) -> bool:
        """Accepted before the digest before this one was closed: it belongs to what that one told about."""
        return self.before is not None and accepted_at < self.before


def new_window(
    series: Series,
    line: PlannedDelivery,
    terms: Terms,
    before: datetime | None,
    now: datetime,
    *,
    pinned: str,
    priority: Priority,
) -> Window:
    """The id is made of the moment too, so it is never used twice, also when the rows of old windows are long gone."""
    return Window(
        window_id=window_id(series.id, iso(now)),
        series=series,
        terms=terms,
        line=line.model_copy(update={"digest": None}),
        type=pinned,
        priority=priority,
        opened_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        before=before,
    )


def note_of(window: Window, status: Literal["SCHEDULED", "EMPTY"], at: datetime) -> Unplanned:
    """What can be looked up under a digest's id as long as there is no notification: it waits, or it had no events."""
    return Unplanned(
        status=status,
        producer=window.series.producer,
        request_id=window.request_id,
        at=at,
        due_at=window.closes_at if status == "SCHEDULED" else None,
    )


class Gathered(Record):
    """One event in a window: what its digest may show of it. Long texts are cut, and large variables stay out."""

    notification_id: str
    delivery_id: str
    shards: int = 1
    accepted_at: UtcDatetime
    expires_at: UtcDatetime | None = None
    address: str | None = None
    late: bool = False
    title: str = ""
    text: str = ""
    url: str | None = None
    variables: dict[str, Any] = Field(default_factory=dict)

    @property
    def order(self) -> str:
        return place_of(self.accepted_at, self.delivery_id)


def place_of(accepted_at: datetime, delivery_id: str) -> str:
    """Among the events of its window: in the order of acceptance."""
    return f"{iso(accepted_at)}#{delivery_id}"


_LINK: TypeAdapter[str] = TypeAdapter(Link)


def link_or_none(url: str | None) -> str | None:
    """What a template made of a link may be none that a message takes; its digest goes without."""
    try:
        return _LINK.validate_python(url)
    except ValidationError:
        return None


def cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def reason_of(window: str) -> str:
    """As the ledger says it of an event that is in a digest."""
    return _INTO + window


def window_in(row: Delivery) -> str | None:
    """The window that the row of an event names."""
    found = (row.reason or "").removeprefix(_INTO)
    return found if row.state == "DIGESTED" and found != row.reason else None


def digested_row(
    record: DeliveryRecord, window: Window, event: Gathered, now: datetime, origin: str, rested: Delivery | None = None
) -> Delivery:
    """`rested` is the row of one that has waited for its own time before it joins."""
    late = (
        f"late: accepted before the last digest was closed at {iso(window.before)}" if event.late and window.before else None
    )
    row = row_of(
        record,
        now,
        state="DIGESTED",
        version=rested.version + 1 if rested else 1,
        turn=record.turn,
        reason=reason_of(window.window_id),
        answer=late,
        next_at=window.closes_at,
        history=rested.history if rested else (),
    )
    return row.with_step(origin)


def expired_row(window: Window, event: Gathered, now: datetime, origin: str) -> Delivery:
    """Of an event whose deadline passed while it waited in its window."""
    row = Delivery(
        environment=window.environment,
        notification_id=event.notification_id,
        delivery_id=event.delivery_id,
        recipient=window.series.recipient,
        channel=window.series.channel,
        shards=event.shards,
        state="EXPIRED",
        reason=f"deadline_passed:{reason_of(window.window_id)}",
        updated_at=now,
    )
    return row.with_step(origin)


class WindowDue(Record):
    """A timer's question on the digests topic: is it time to close this window?"""

    environment: Environment
    window_id: str


DUE_TYPE = "carillon.digest.v1"


def window_timer(environment: Environment, window: str, due_at: datetime, by: str) -> Timer:
    """`by` says who puts it: one that is put again must not have the name of the one that is just firing."""
    asked = WindowDue(environment=environment, window_id=window)
    return Timer(
        environment=environment,
        timer_id=f"window#{window}#{by}",
        due_at=due_at,
        topic=digests(environment),
        key=window,
        value=asked.model_dump_json(),
    )
