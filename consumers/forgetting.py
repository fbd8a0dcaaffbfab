"""What a person was sent, without the person: their rows of the ledger lead to everything else, so they come last."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from consumers.completing import Completing
from infrastructure.dynamo.forgetting import Forgetting
from infrastructure.dynamo.forgetting_digests import ForgettingDigests
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.dynamo.traces import Traces
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Received
from schemas.deliveries import Delivery
from schemas.digests import window_in
from schemas.erasures import Erasure, covers, is_covered
from schemas.events import event_of
from schemas.fallback import beside, due_after, following, lines_for
from schemas.forgetting import without
from schemas.ids import shard_of
from schemas.plan import Notification
from schemas.timers import Timer, step_timer, turn_timer

_WAITING = ("RETRY", "PENDING")


class History:
    """Every step may be repeated; whoever dies in between leaves the row by which the next one finds the rest."""

    def __init__(
        self,
        traces: Traces,
        forgetting: Forgetting,
        digests: ForgettingDigests,
        notifications: NotificationStore,
        timers: TimerStore,
        reporter: Reporter,
    ) -> None:
        self._traces = traces
        self._forgetting = forgetting
        self._digests = digests
        self._notifications = notifications
        self._timers = timers
        self._completing = Completing(timers)
        self._reporter = reporter

    async def forget(self, record: Received, erasure: Erasure, person: str) -> int:
        """Everything accepted before; how many rows of the ledger there were."""
        count = 0
        async for rows in self._traces.deliveries(erasure.environment, person):
            groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.notification_id)]
            counts = await asyncio.gather(*(self._of_one(record, erasure, person, *group) for group in groups))
            count += sum(counts)
        return count

    async def _of_one(
        self, record: Received, erasure: Erasure, person: str, notification_id: str, rows: Sequence[Delivery]
    ) -> int:
        found = await self._notifications.get(erasure.environment, notification_id)
        if not _is_covered(erasure, found, rows):
            return 0
        is_digest = found is not None and found.plan.told is not None
        windows = (*filter(None, map(window_in, rows)), *((notification_id,) if is_digest else ()))
        for window in dict.fromkeys(windows):
            await self._digests.window(erasure.environment, window, person, erasure.erased_before, datetime.now(UTC))
        inbox = (row.delivery_id for row in rows if row.channel == "in_app")
        await asyncio.gather(*(self._traces.take_away_item(erasure.environment, person, each) for each in inbox))
        if found is not None:
            await self._rewrite(erasure, person, found, rows)
        await asyncio.gather(*(self._end(record, erasure, person, found, row) for row in rows))
        return len(rows)

    async def _rewrite(self, erasure: Erasure, person: str, found: Notification, rows: Sequence[Delivery]) -> None:
        """Timers first: they are found by lines that name the person."""
        await asyncio.gather(*(self._timers.delete(timer) for timer in _timers(found, person, rows)))
        environment, notification_id, audience = erasure.environment, found.notification_id, found.plan.audience
        if audience is not None:
            shard = shard_of(person, audience.shards)
            await self._forgetting.walk(environment, notification_id, shard, person)
        await self._forgetting.note(environment, notification_id, person)
        await self._forgetting.notification(environment, notification_id, person, erasure.subject)

    async def _end(self, record: Received, erasure: Erasure, person: str, found: Notification | None, row: Delivery) -> None:
        """What waited has ended; its producer's final receipt is asked for before, so that nobody who dies forgets it."""
        if row.state in _WAITING:
            await self._completing.ask(row.environment, row.notification_id, is_audience=row.shards > 1)
        after = await self._forgetting.delivery(row, erasure.subject, datetime.now(UTC))
        if after is not None and row.state in _WAITING and after.state == "SKIPPED":
            whose = without(found, person, erasure.subject).whose if found else {}
            event = event_of(after, origin=record.position, **whose)
            await self._reporter.status(event, correlation_id="", traceparent="")


def _is_covered(erasure: Erasure, found: Notification | None, rows: Sequence[Delivery]) -> bool:
    """A notification whose row has expired is as old as its last step at least."""
    if found is not None:
        return covers(erasure.erased_before, found)
    return all(is_covered(erasure.erased_before, row.updated_at) for row in rows)


def _timers(notification: Notification, person: str, rows: Sequence[Delivery]) -> list[Timer]:
    """What waits in timers that carry the person's name: next turns, and the next steps of a fallback."""
    known = {row.delivery_id: row for row in rows}
    own = {line.delivery_id: line for line in lines_for(notification, person)}
    found: list[Timer] = []
    for row in rows:
        line = own.get(row.delivery_id)
        if line is None:
            continue
        if row.state in _WAITING and row.next_at is not None:
            found.append(turn_timer(notification.record_of(line).model_copy(update={"turn": row.turn}), row.next_at))
        upcoming = following(own.values(), line)
        others = [known.get(each.delivery_id) for each in beside(own.values(), line)]
        due = due_after(notification.plan, line, upcoming[0].step, row, others) if upcoming else None
        found += [step_timer(notification.record_of(each), due) for each in upcoming if due is not None]
    return found
