"""What an operator does to deliveries in trouble. Every step is conditional, says who, and may be repeated."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from api.audiences import row_named
from api.pacing import DEFAULT_PER_S, paced
from infrastructure.dynamo.troubled import Already, Change, Moved, NotSo
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Publisher
from infrastructure.resources import Stores
from schemas import cloudevents
from schemas.audience_plan import line_of
from schemas.deliveries import RELEASED, Delivery
from schemas.events import event_of
from schemas.plan import Notification, PlannedDelivery
from schemas.timers import Timer, turn_timer
from schemas.topics import Environment
from schemas.troubled import Look, Settlement, listed_as

log = structlog.get_logger()

MOST_AT_ONCE = 10_000
_SOON = timedelta(seconds=1)
_SAMPLES = 5

Result = Literal["redriven", "released", "already on its way", "left alone", "missing"]
Move = Callable[[Delivery, str, datetime], Awaitable[Change]]


@dataclass(frozen=True)
class Wanted:
    """Which deliveries an operator means: those a look shows, or those of one notification among them."""

    look: Look
    notification_id: str | None = None


@dataclass(frozen=True)
class Preview:
    """What a replay would do: how many of which (channel, reason), and the first few. `whole` unless there were too many."""

    counts: dict[tuple[str, str], int]
    samples: tuple[Delivery, ...]
    whole: bool

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Differs(Exception):
    """There are not as many as the person has been shown; nothing was done."""

    def __init__(self, found: Preview) -> None:
        super().__init__(f"{found.total} deliveries match now")
        self.found = found


class Repairs:
    """`publisher` seals: what is said here is a worker's word."""

    def __init__(self, stores: Stores, publisher: Publisher) -> None:
        self._stores = stores
        self._reporter = Reporter(publisher, "operators")

    async def redrive(self, environment: Environment, notification_id: str, delivery_id: str, by: str) -> Change | None:
        """None when there is no such delivery. Whether it was cancelled or is too late, deliver will see."""
        row = await row_named(self._stores, environment, notification_id, delivery_id)
        return await self._redrive(row, by) if row is not None else None

    async def release(self, environment: Environment, notification_id: str, delivery_id: str, by: str) -> Change | None:
        """What waits for its time goes out now, once. A cancelled or expired one does not."""
        row = await row_named(self._stores, environment, notification_id, delivery_id)
        return await self._release(row, by) if row is not None else None

    async def settle(
        self, environment: Environment, notification_id: str, delivery_id: str, state: Settlement, by: str, note: str
    ) -> Change | None:
        """What nobody could tell, a person found out."""
        row = await row_named(self._stores, environment, notification_id, delivery_id)
        if row is None:
            return None
        change = await self._stores.trouble.settle(row, state, by, note, datetime.now(UTC))
        if not isinstance(change, NotSo):
            await self._report(change.delivery, await self._stores.notifications.get(environment, notification_id))
        _say("delivery.settled_by_hand", change, by)
        return change

    async def discard(
        self, environment: Environment, notification_id: str, delivery_id: str, by: str, note: str
    ) -> Change | None:
        row = await row_named(self._stores, environment, notification_id, delivery_id)
        if row is None:
            return None
        change = await self._stores.trouble.discard(row, by, note, datetime.now(UTC))
        _say("delivery.discarded", change, by)
        return change

    async def preview(self, environment: Environment, wanted: Wanted) -> Preview:
        """Changes nothing."""
        counts: Counter[tuple[str, str]] = Counter()
        samples: list[Delivery] = []
        async with aclosing(self._rows(environment, wanted)) as rows:
            async for row in rows:
                if counts.total() >= MOST_AT_ONCE:
                    return Preview(dict(counts), tuple(samples), whole=False)
                counts[row.channel, row.reason or ""] += 1
                samples += [row] if len(samples) < _SAMPLES else []
        return Preview(dict(counts), tuple(samples), whole=True)

    async def replay(
        self, environment: Environment, wanted: Wanted, by: str, *, expected: int, per_s: float = DEFAULT_PER_S
    ) -> AsyncGenerator[Result, None]:
        """Redrives what matches, or releases it where it is HELD, oldest first; raises `Differs` when it is not as many.

        Stopped in the middle, it has done so to some of them; begun again, it goes on with the others.
        """
        if wanted.look.until is None:  # what fails again meanwhile is not redriven twice
            wanted = replace(wanted, look=replace(wanted.look, until=datetime.now(UTC)))
        found = await self.preview(environment, wanted)
        if found.total != expected or not found.whole:
            raise Differs(found)
        held = wanted.look.state == "HELD"
        async with aclosing(self._rows(environment, wanted)) as rows, aclosing(paced(rows, per_s)) as slowly:
            async for row in slowly:
                change = await (self._release(row, by) if held else self._redrive(row, by))
                yield _result(change, "released" if held else "redriven")

    async def _rows(self, environment: Environment, wanted: Wanted) -> AsyncGenerator[Delivery, None]:
        look = replace(wanted.look, newest_first=False)
        if wanted.notification_id is not None:
            notification = await self._stores.notifications.get(environment, wanted.notification_id)
            for shard in range(notification.plan.shards if notification else 1):
                for row in await self._stores.deliveries.in_shard(environment, wanted.notification_id, shard):
                    if listed_as(row) == look.state and look.shows(row) and _is_inside(row, look):
                        yield row
            return
        after: str | None = None
        while True:
            page = await self._stores.trouble.page(environment, look, after=after)
            for row in page.rows:
                yield row
            if (after := page.after) is None:
                return

    async def _redrive(self, row: Delivery, by: str) -> Change | None:
        if listed_as(row) in (None, "HELD"):
            return NotSo(row)
        return await self._sent_on(row, by, self._stores.trouble.redrive, "delivery.redriven")

    async def _release(self, row: Delivery, by: str) -> Change | None:
        if not row.held and not row.released:
            return NotSo(row)
        if not row.held and row.state != "PENDING":
            return Already(row)
        return await self._sent_on(row, by, self._stores.trouble.release, "delivery.released")

    async def _sent_on(self, row: Delivery, by: str, move: Move, said: str) -> Change | None:
        """Timer first, then the row that waits for it: the timer is the delivery."""
        notification = await self._stores.notifications.get(row.environment, row.notification_id)
        line = line_of(notification, row.delivery_id, row.recipient, row.known_devices) if notification else None
        if notification is None or line is None:
            return None
        timer = _timer(row, notification, line, datetime.now(UTC) + _SOON)
        await self._stores.timers.put(timer)
        change: Change = Already(row)
        if row.state != "PENDING":
            change = await move(row, by, datetime.now(UTC))
        if not isinstance(change, NotSo):
            if datetime.now(UTC) >= timer.due_at:  # it may have fired before the row waited for it
                await self._stores.timers.put(timer)
            await self._report(change.delivery, notification)
        _say(said, change, by)
        return change

    async def _report(self, row: Delivery, notification: Notification | None) -> None:
        said = {"event": RELEASED} if row.released and row.state == "PENDING" else {}
        event = event_of(row, **(notification.whose if notification else {}) | said)
        await self._reporter.status(event, correlation_id="", traceparent=cloudevents.traceparent_of({}))


def _timer(row: Delivery, notification: Notification, line: PlannedDelivery, due: datetime) -> Timer:
    record = notification.record_of(line, traceparent=cloudevents.traceparent_of({}))
    turn = row.turn if row.state == "PENDING" else row.turn + 1
    return turn_timer(record.model_copy(update={"turn": turn, "capped": row.capped, "gathers": row.gathers}), due)


def _is_inside(row: Delivery, look: Look) -> bool:
    return (look.since is None or row.updated_at >= look.since) and (look.until is None or row.updated_at <= look.until)


def _result(change: Change | None, done: Result) -> Result:
    match change:
        case Moved():
            return done
        case Already():
            return "already on its way"
        case NotSo():
            return "left alone"
        case None:
            return "missing"


def _say(event: str, change: Change, by: str) -> None:
    row = change.delivery
    ids = {"notification": row.notification_id, "delivery": row.delivery_id}
    log.info(event, changed=isinstance(change, Moved), state=row.state, channel=row.channel, by=by, **ids)
