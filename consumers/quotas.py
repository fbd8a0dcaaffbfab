"""What a producer may have planned at its own priority; what is more goes as bulk, and is told so.

Counted here, behind every door, in Redis for all workers together, and by each worker alone while Redis is away. It is fair
play among producers and no promise to anybody, so near enough is good enough: a worker that dies between counting and
storing the plan counts once too often.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from infrastructure.metrics import MOVED_TO_BULK
from infrastructure.settings import Settings
from schemas.plan import Plan
from schemas.rate_limits import Limit, Verdict
from schemas.topics import Environment

log = structlog.get_logger()


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


class Quotas:
    def __init__(self, limiter: Limiter, rules: QuotaRules) -> None:
        self._limiter = limiter
        self._rules = rules

    async def applied(self, environment: Environment, producer: str, plan: Plan) -> Plan:
        """The same plan, or the same as bulk. Mandatory categories are never moved, and take nothing from the quota."""
        asked, cost = plan.priority, len(plan.to_make)
        if asked == "bulk" or cost == 0 or plan.category in self._rules.mandatory:
            return plan
        limit = self._rules.limit(producer, urgent=asked == "urgent")
        verdict = await self._limiter.take(f"{limit.name}:{environment}:{producer}", limit, cost)
        if verdict.allowed:
            return plan
        MOVED_TO_BULK.labels(environment, asked).inc()
        log.warning("notification.moved_to_bulk", producer=producer, asked=asked, quota_per_minute=limit.per_minute)
        return plan.as_bulk()
