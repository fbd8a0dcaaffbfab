"""deliver to a provider: claim, call, record, say so, commit. The claim fences; the ledger remembers; timers wait."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from consumers.handlers.deliver import Deliver, now_utc
from consumers.reporting import Reporter
from infrastructure.dynamo.deliveries import DeliveryStore, Held, Settled, Waiting, Won
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.ports import Channel, Content, Publisher, Received
from schemas import topics
from schemas.catalogue import Catalogue
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.outcomes import Ambiguous, Dead, Outcome, Retry, Sent, Unavailable
from schemas.plan import Notification, PlannedDelivery
from schemas.retries import RetrySchedule
from schemas.timers import Timer

log = structlog.get_logger()

Found = TypeVar("Found")
_HOLD_S = 0.5


async def persistently(step: Callable[[], Awaitable[Found]]) -> Found:
    """Repeats a step while our own floor is out; ends only with success or cancellation."""
    while True:
        try:
            return await step()
        except Unavailable as error:
            log.warning("outcome.held", reason=str(error))
            await asyncio.sleep(_HOLD_S * random.uniform(0.5, 1.5))  # noqa: S311


class DeliverExternal(Deliver):
    """At least once: a rare duplicate is possible when a worker dies, or an answer is lost, during the call itself."""

    def __init__(
        self,
        notifications: NotificationStore,
        catalogue: Catalogue,
        publisher: Publisher,
        reporter: Reporter,
        longest: timedelta,
        channel: Channel,
        deliveries: DeliveryStore,
        timers: TimerStore,
        schedule: RetrySchedule,
        lease: timedelta,
        provider_timeout_s: float,
    ) -> None:
        super().__init__(notifications, catalogue, publisher, reporter, longest)
        self._channel = channel
        self._deliveries = deliveries
        self._timers = timers
        self._schedule = schedule
        self._lease = lease
        self._provider_timeout_s = provider_timeout_s

    async def _give_up(self, record: Received, delivery: DeliveryRecord, reason: str) -> None:
        match await self._deliveries.claim(delivery, now_utc()):
            case Won(row):
                failed = await self._deliveries.settle(self._failed(row, reason, now_utc()).with_step(str(record.position)))
                if failed is not None:
                    await self.report(record, delivery, failed)
            case Held(row):
                await self._check_after_lease(delivery, row)
            case Waiting() | Settled():
                return

    async def _act(
        self, record: Received, delivery: DeliveryRecord, notification: Notification, line: PlannedDelivery
    ) -> None:
        content = self.content(notification)  # everything that can fail comes before the claim
        match await self._deliveries.claim(delivery, now_utc()):
            case Won(row):
                await self._attempt(record, delivery, notification, line, row, content)
            case Held(row):
                await self._check_after_lease(delivery, row)
            case Waiting(row):
                await self._wait(delivery, row)
                await self.report(record, delivery, row)
            case Settled(row):
                await self.report(record, delivery, row)

    async def _attempt(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        claimed: Delivery,
        content: Content | str,
    ) -> None:
        now = now_utc()
        stop = self.stopped(notification, now)
        if stop is not None:
            settled = claimed.model_copy(update={"state": stop[0], "reason": stop[1], "updated_at": now})
        elif isinstance(content, str):
            settled = self._failed(claimed, content, now)
        else:
            outcome = await self._send(delivery, line.address or "", content)
            settled = self._consequence(claimed, outcome, self.deadline_of(notification))
        # the provider has been called: from here on the record is held, not handled again from the start
        if settled.state == "RETRY":
            await persistently(lambda: self._wait(delivery, settled))  # timer first, then the row that waits for it
        recorded = await persistently(lambda: self._deliveries.settle(settled.with_step(str(record.position))))
        if recorded is None:
            log.warning("delivery.late_result", state=settled.state, reason=settled.reason)
            return
        await self.report(record, delivery, recorded)

    async def _send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        try:
            async with asyncio.timeout(self._provider_timeout_s):
                return await self._channel.send(delivery, address, content)
        except TimeoutError:
            return Ambiguous("timeout")
        except Exception as error:  # pylint: disable=broad-exception-caught  # an adapter's bug must not repeat for ever
            log.exception("channel.crashed")
            return Ambiguous(f"crash:{type(error).__name__}")

    def _consequence(self, claimed: Delivery, outcome: Outcome, until: datetime) -> Delivery:
        now = now_utc()
        match outcome:
            case Sent(answer, provider_id):
                changes = {"state": "SENT", "answer": answer, "provider_id": provider_id, "updated_at": now}
                return claimed.model_copy(update=changes)
            case Dead(reason):
                return self._failed(claimed, reason, now)
            case Retry(reason, asked):
                return self._again(claimed, reason, asked, until, now)
            case Ambiguous(reason):
                return self._again(claimed, f"ambiguous:{reason}", None, until, now)

    def _again(self, claimed: Delivery, reason: str, asked: timedelta | None, until: datetime, now: datetime) -> Delivery:
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        due = self._schedule.next_at(attempt=claimed.attempt, now=now, deadline=until, asked=asked, jitter=jitter)
        if due is None:
            return self._failed(claimed, f"retries_spent:{reason}", now)
        changes = {
            "state": "RETRY",
            "reason": reason,
            "attempt": claimed.attempt + 1,
            "next_at": due,
            "updated_at": now,
        }
        return claimed.model_copy(update=changes)

    def _failed(self, claimed: Delivery, reason: str, now: datetime) -> Delivery:
        return claimed.model_copy(update={"state": "FAILED", "reason": reason, "updated_at": now})

    async def _wait(self, delivery: DeliveryRecord, row: Delivery) -> None:
        """The retry's timer; put again it is the same timer."""
        due = row.next_at or now_utc()
        again = delivery.model_copy(update={"attempt": row.attempt, "seen_claim": None})
        await self._timers.put(self._timer(again, f"retry#{row.delivery_id}#{row.attempt}", due))

    async def _check_after_lease(self, delivery: DeliveryRecord, row: Delivery) -> None:
        """Somebody holds it, perhaps a dead one: look again a full lease after we saw it, take over if nothing has moved."""
        check = delivery.model_copy(update={"seen_claim": row.claim_token, "attempt": row.attempt})
        await self._timers.put(self._timer(check, f"lease#{row.delivery_id}#{row.claim_token}", now_utc() + self._lease))
        log.info("delivery.held", attempt=row.attempt)

    def _timer(self, delivery: DeliveryRecord, name: str, due: datetime) -> Timer:
        return Timer(
            environment=delivery.environment,
            timer_id=name,
            due_at=due,
            topic=topics.deliveries(delivery.environment, delivery.channel, delivery.priority),
            key=delivery.recipient,
            value=delivery.model_dump_json(exclude_defaults=True),
        )
