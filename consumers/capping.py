"""Who has had enough: counted when a plan is made, and asked again by what rests until its window lets it through."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from consumers.choices import Choices
from infrastructure.dynamo.caps import CapStore
from infrastructure.live_catalogue import LiveCatalogue
from schemas.caps import Cap, Full, Scope, scopes
from schemas.plan import Notification, Plan, PlannedDelivery


class Capping:
    """`across_types` are the deployment's, per person. What is urgent or mandatory passes, and is not counted."""

    def __init__(self, caps: CapStore, catalogue: LiveCatalogue, choices: Choices, across_types: Iterable[Cap]) -> None:
        self._caps = caps
        self._catalogue = catalogue
        self._choices = choices
        self._across_types = tuple(across_types)

    async def over(
        self,
        environment: str,
        plan: Plan,
        lines: Sequence[PlannedDelivery],
        of_type: Sequence[Cap],
        notification_id: str,
        at: datetime,
    ) -> dict[str, Full]:
        """Who of those it would go to by itself has had enough, and by which cap.

        Counted before anything is stored, under the notification's id: planning it again counts nothing twice.
        """
        among = scopes(_name(plan), of_type, self._across_types)
        if not among or self._choices.passes(plan):
            return {}
        reached = sorted({line.recipient for line in lines if line.goes_by_itself})
        found = await asyncio.gather(*(self._caps.count(environment, each, among, notification_id, at) for each in reached))
        return {each: full for each, full in zip(reached, found, strict=True) if full is not None}

    async def full(self, notification: Notification, line: PlannedDelivery, now: datetime) -> Full | None:
        """Of one that found a cap full when it was planned: counts it now, or says what it goes on waiting for."""
        if not line.capped or not (among := await self._scopes(notification)):
            return None
        return await self._caps.count(notification.environment, line.recipient, among, notification.notification_id, now)

    async def _scopes(self, notification: Notification) -> tuple[Scope, ...]:
        """As they are now: a cap that has been taken away holds up nobody."""
        kind = await self._catalogue.type_now(notification.environment, name := _name(notification.plan))
        return scopes(name, kind.caps if kind else (), self._across_types)


def _name(plan: Plan) -> str:
    return plan.type.rsplit("@", 1)[0]
