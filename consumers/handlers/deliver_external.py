"""deliver to a provider: claim, call, record, say so, commit. The claim fences; the ledger remembers; timers wait."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import structlog

from consumers.handlers.deliver import Deliver, Shared, now_utc
from consumers.leases import Leases
from consumers.reachability import Reachability
from infrastructure.dynamo.deliveries import Claim, DeliveryStore, Held, Settled, Waiting, Won
from infrastructure.dynamo.timers import TimerStore
from infrastructure.metrics import LATE_RESULTS
from infrastructure.ports import Content, Received, Sender
from schemas.collapse import collapse_id
from schemas.consequences import Moment, Terms, after_attempt, after_look, given_up
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.outcomes import Deferred, Outcome, Unavailable
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import Preferences
from schemas.retries import RetrySchedule
from schemas.timers import delivery_timer, turn_timer

log = structlog.get_logger()

Value = TypeVar("Value")
_HOLD_S = 0.5
_AT_ONCE = timedelta(seconds=1)
_AFTER_LEASE = timedelta(milliseconds=500)  # wall clocks run unevenly: a check that comes early waits once more


async def persistently(step: Callable[[], Awaitable[Value]]) -> Value:
    """Repeats a step while our own floor is out; ends only with success or cancellation."""
    while True:
        try:
            return await step()
        except Unavailable as error:
            log.warning("outcome.held", reason=str(error))
            await asyncio.sleep(_HOLD_S * random.uniform(0.5, 1.5))  # noqa: S311


@dataclass(frozen=True)
class Turn:
    """One record on its way: what it carries, the notification and the line of its plan, and what there is to say."""

    record: Received
    carried: DeliveryRecord
    notification: Notification
    line: PlannedDelivery
    terms: Terms
    content: Content | str
    chosen: Preferences

    @property
    def address(self) -> str:
        return self.line.address or ""


class DeliverExternal(Deliver):
    """At least once or at most once, as the plan says; what nobody can tell is asked of the provider, or stays UNKNOWN."""

    def __init__(
        self,
        shared: Shared,
        sender: Sender,
        deliveries: DeliveryStore,
        timers: TimerStore,
        schedule: RetrySchedule,
        leases: Leases,
        reachability: Reachability,
    ) -> None:
        super().__init__(shared)
        self._sender = sender
        self._deliveries = deliveries
        self._timers = timers
        self._schedule = schedule
        self._leases = leases
        self._reachability = reachability

    async def _give_up(
        self, record: Received, delivery: DeliveryRecord, notification: Notification | None, reason: str
    ) -> None:
        match await self._deliveries.claim(delivery, now_utc()):
            case Won(row):
                failed = given_up(row, "FAILED", reason, now_utc()).with_step(str(record.position))
                recorded = await self._deliveries.settle(failed)
                if recorded is not None:
                    await self.report(record, delivery, recorded, notification)
            case Held(row):
                await self._check_after_lease(delivery, row)
            case Waiting() | Settled():
                return

    async def _act(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        chosen: Preferences,
    ) -> None:
        terms = Terms(line.policy, self._schedule, self.deadline_of(notification, line), self._sender.reads_back)
        # everything that can fail comes before the claim
        content = await self.content(notification, line)
        if isinstance(content, Content):
            content = replace(
                content,
                unsubscribe_url=self._choices.unsubscribe_url(notification, line),
                collapse=collapse_id(notification, line.recipient),
                until=terms.until,
            )
        turn = Turn(record, delivery, notification, line, terms, content, chosen)
        began = time.monotonic()
        claim = await self._deliveries.claim(delivery, now_utc())
        if isinstance(claim, Held) and not self._leases.left(claim.delivery.claim_token or ""):
            claim = await self._take_over(turn, claim.delivery)
        match claim:
            case Won(row):
                await self._attempt(turn, row, began)
            case Held(row):
                await self._check_after_lease(delivery, row)
            case Waiting(row):
                await self._wait(delivery, row)
                if row.turn < delivery.turn:  # whoever writes its row is not done, or has died and will be repeated
                    await self._waits.come_back(delivery)
                    return
                await self.report(record, delivery, row, notification)
            case Settled(row):
                await self.report(record, delivery, row, notification)

    async def _take_over(self, turn: Turn, held: Delivery) -> Claim:
        """Its worker is thought dead. What may be sent at most once is only looked for, under the dead one's token."""
        log.warning("delivery.taken_over", attempt=held.attempt, policy=turn.terms.policy)
        if turn.terms.policy == "at_least_once":
            return await self._deliveries.take_over(turn.carried, held, now_utc())
        doubtful = held.model_copy(update={"doubtful": True})
        found = await self._sender.look(turn.carried, turn.address, turn.notification.accepted_at)
        known = after_look(doubtful, found, turn.terms, _moment())
        if known is not None:
            await self._record(turn, known)
        row = await self._deliveries.get(held.environment, held.notification_id, held.delivery_id, held.shard)
        return Settled(row or doubtful)

    async def _attempt(self, turn: Turn, claimed: Delivery, began: float) -> None:
        await self._record(turn, await self._next(turn, claimed, began))

    async def _next(self, turn: Turn, claimed: Delivery, began: float) -> Delivery:
        """What the row becomes: an end without a call where there is a reason, else what the provider's answer says."""
        now = now_utc()
        stop = self.stopped(turn.notification, turn.line, turn.chosen, now)
        # Asked after the claim, so that none is younger than an answer it missed; an outage here is waited out, for a claim
        # that is let go of without a word would leave its delivery in doubt.
        stop = stop or await persistently(lambda: self._following.needless(turn.notification, turn.line))
        if stop is not None:
            return given_up(claimed, *stop, now)
        if isinstance(turn.content, str):
            return given_up(claimed, "FAILED", turn.content, now_utc())
        if claimed.attempt > len(self._schedule.waits):  # taken over again and again: it may be what kills its workers
            return given_up(claimed, "FAILED", "attempts_spent", now_utc())
        hold = None if claimed.released else await self._waits.hold(turn.notification, turn.line, turn.chosen, now)
        if hold is not None:
            return after_attempt(claimed, Deferred(hold.reason, hold.until - now), turn.terms, Moment(now, 0))
        if claimed.doubtful:
            found = await self._sender.look(turn.carried, turn.address, turn.notification.accepted_at)
            known = after_look(claimed, found, turn.terms, _moment())
            if known is not None:
                return known
        outcome = await self._send(turn, turn.content, began)
        await persistently(lambda: self._reachability.learn(turn.notification.environment, turn.line, outcome))
        return after_attempt(claimed, outcome, turn.terms, _moment())

    async def _send(self, turn: Turn, content: Content, began: float) -> Outcome:
        """A call that could outlast the lease is not begun: somebody else might be sending by then."""
        if time.monotonic() - began > self._leases.length.total_seconds() / 3:
            return Deferred("lease_nearly_over", _AT_ONCE)
        return await self._sender.send(turn.carried, turn.address, content, turn.terms.policy)

    async def _record(self, turn: Turn, outcome: Delivery) -> None:
        """The provider has been called: from here on the record is held, not handled again from the start."""
        if outcome.state == "RETRY":
            await persistently(lambda: self._wait(turn.carried, outcome))  # timer first, then the row that waits for it
        outcome = outcome.with_step(str(turn.record.position))
        recorded = await persistently(lambda: self._deliveries.settle(outcome))
        if recorded is None:
            LATE_RESULTS.labels(outcome.channel).inc()
            log.warning("delivery.late_result", state=outcome.state, reason=outcome.reason)
            await persistently(lambda: self._deliveries.note_late(outcome))
            return
        await self.report(turn.record, turn.carried, recorded, turn.notification)
        await persistently(lambda: self._waits.look_again(turn.notification, turn.carried, recorded))

    async def _wait(self, delivery: DeliveryRecord, row: Delivery) -> None:
        """The timer of the row's next turn; put again it is the same timer."""
        again = delivery.model_copy(update={"turn": row.turn})
        await self._timers.put(turn_timer(again, row.next_at or now_utc()))

    async def _check_after_lease(self, delivery: DeliveryRecord, row: Delivery) -> None:
        """Somebody holds it, perhaps a dead one: look again a lease later. What counts then is `Leases`, not this time."""
        due = now_utc() + self._leases.left(row.claim_token or "") + _AFTER_LEASE
        await self._timers.put(delivery_timer(delivery, f"lease#{row.delivery_id}#{row.claim_token}", due))
        log.info("delivery.held", attempt=row.attempt)


def _moment() -> Moment:
    return Moment(now_utc(), random.random())  # noqa: S311 - spreads retries, hides nothing
