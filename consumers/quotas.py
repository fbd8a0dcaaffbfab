"""What a producer may have planned at its own priority; what is more goes one step back, and is told so.

Counted here, behind every door, in Redis for all workers together, and by each worker alone while Redis is away. It is fair
play among producers and no promise to anybody, so near enough is good enough: a worker takes its share in blocks of a
hundredth of the quota, so that a busy producer's count is no hot key; one that dies between counting and storing the plan
counts once too often.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from consumers.arrivals import Arrival
from infrastructure.metrics import MOVED_BACK
from infrastructure.settings import Settings
from schemas.plan import Plan
from schemas.rate_limits import Limit, Verdict
from schemas.topics import Priority

log = structlog.get_logger()

Value = TypeVar("Value")

_BLOCKS = 100
_REFUSED_S = 0.25
_REMEMBERED = 10_000


class Limiter(Protocol):
    async def take(self, principal: str, limit: Limit, cost: int = 1) -> Verdict: ...


@dataclass(frozen=True)
class QuotaRules:
    """Deliveries a minute per producer and environment; urgent ones are counted apart. `own` names exceptions."""

    per_minute: int
    urgent_per_minute: int
    own: Mapping[str, int]
    mandatory: Collection[str]

    @classmethod
    def of(cls, settings: Settings) -> "QuotaRules":
        return cls(
            settings.producer_quota_per_minute,
            settings.producer_urgent_quota_per_minute,
            settings.producer_quotas,
            settings.mandatory_categories,
        )

    def limit(self, producer: str, *, urgent: bool) -> Limit:
        if urgent:
            return Limit("urgent", self.urgent_per_minute)
        return Limit("producer", self.own.get(producer, self.per_minute))


@dataclass
class _Share:
    """What this worker has in hand of a producer's quota, and until when it need not ask again."""

    left: int = 0
    refused_until: float = float("-inf")
    next_probe_at: float = float("inf")  # never refused yet, so nobody is kept from asking


class Quotas:
    def __init__(self, limiter: Limiter, rules: QuotaRules, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = limiter
        self._rules = rules
        self._clock = clock
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._decided: OrderedDict[str, bool] = OrderedDict()

    async def applied(self, arrival: Arrival, plan: Plan) -> Plan:
        """The same plan, or the same one step back: urgent goes as normal, and only normal as bulk.

        Mandatory categories are never moved, and take nothing from the quota. What was decided for a notification whose plan
        could not be stored stands when it is tried again here.
        """
        asked, cost = plan.priority, len(plan.to_make)
        if asked == "bulk" or cost == 0 or plan.category in self._rules.mandatory:
            return plan
        lower: Priority = "normal" if asked == "urgent" else "bulk"
        if await self._is_over(arrival, self._rules.limit(arrival.producer, urgent=asked == "urgent"), cost):
            if lower == "normal" or arrival.waits_as_bulk:  # else it is set aside, and planned once more
                MOVED_BACK.labels(arrival.environment, lower).inc()
            return plan.moved(lower)
        return plan

    def is_over_for_now(self, arrival: Arrival, category: str) -> bool:
        """Whether its producer was refused a moment ago: what it sends as normal need not be planned to know it is over.

        A few times a second the answer is no, for one of them to ask.
        """
        share = self._shares.get(_principal(arrival, self._rules.limit(arrival.producer, urgent=False)))
        if share is None or share.left > 0 or share.next_probe_at == float("inf") or category in self._rules.mandatory:
            return False
        if self._clock() < share.next_probe_at:
            return True
        share.next_probe_at = self._clock() + _REFUSED_S
        return False

    async def _is_over(self, arrival: Arrival, limit: Limit, cost: int) -> bool:
        """Asked once for each notification; what was set aside for it was asked for then."""
        if arrival.set_aside:
            return True
        known = self._decided.get(arrival.notification_id)
        if known is not None:
            return known
        over = not await self._may(_principal(arrival, limit), limit, cost)
        _remember(self._decided, arrival.notification_id, over)
        if over:
            log.warning("producer.over_quota", producer=arrival.producer, kind=limit.name, per_minute=limit.per_minute)
        return over

    async def _may(self, principal: str, limit: Limit, cost: int) -> bool:
        share = self._shares.get(principal) or _Share()
        _remember(self._shares, principal, share)
        if share.left < cost and self._clock() >= share.refused_until:
            block = max(cost, limit.per_minute // _BLOCKS)
            verdict = await self._limiter.take(principal, limit, block)
            if verdict.allowed:
                share.left += block
            else:
                share.refused_until = share.next_probe_at = self._clock() + _REFUSED_S
        if share.left < cost:
            return False
        share.left -= cost
        return True


def _principal(arrival: Arrival, limit: Limit) -> str:
    return f"{limit.name}:{arrival.environment}:{arrival.producer}"


def _remember(known: "OrderedDict[str, Value]", name: str, value: Value) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
