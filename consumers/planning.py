"""What a request becomes: its type and template looked up, its audience and addresses gathered, its plan made."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from consumers.arrivals import Arrival
from consumers.choices import Choices
from infrastructure.dynamo.caps import CapStore
from infrastructure.dynamo.contacts import EVERYONE, ContactStore
from schemas.catalogue import Catalogue, Unresolved
from schemas.events import FieldError
from schemas.outcomes import Policy
from schemas.plan import MAX_PLANNED, Plan, TooManyDeliveries, make_plan, people_named, recipients_of
from schemas.requests import Channel, EveryoneTarget, NotificationRequest, TopicTarget
from schemas.types import NotificationType


def reaching(request: NotificationRequest, kind: NotificationType) -> set[Channel]:
    """Every channel a person may be reached on, sooner or later."""
    return {*kind.channels_for(request), *(channel for step in kind.steps_for(request) for channel in step.channels)}


class Refused(ValueError):
    """A request that can be read and cannot be carried out."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.errors = (FieldError(pointer=pointer, detail=detail),)


class Planner:
    """Reads what the pure rule of schemas/plan.py needs to know."""

    def __init__(
        self,
        catalogue: Catalogue,
        contacts: ContactStore,
        caps: CapStore,
        policies: Mapping[Channel, Policy],
        choices: Choices,
    ) -> None:
        self._catalogue = catalogue
        self._contacts = contacts
        self._caps = caps
        self._policies = policies
        self._choices = choices

    async def plan(self, arrival: Arrival) -> Plan:
        """Raises `Refused` when the request names what is not there."""
        request = arrival.request
        try:
            kind, template = self._catalogue.resolve(request)
        except Unresolved as error:
            raise Refused(error.reason, error.pointer, error.detail) from error
        audience = await self._audience(arrival.environment, request)
        people = tuple(dict.fromkeys((*people_named(request), *audience)))
        reached = people if "email" in reaching(request, kind) else ()
        contacts, chosen = await asyncio.gather(  # at once, so that one call reads both
            self._contacts.get_many(arrival.environment, reached),
            self._choices.of_many(arrival.environment, people, request.category or kind.category),
        )
        recipients = recipients_of(request, audience, contacts)
        try:
            plan = make_plan(
                arrival.notification_id, request, kind, template, recipients, arrival.accepted_at, self._policies
            )
        except TooManyDeliveries as error:
            raise Refused("too_many_deliveries", "/to", str(error)) from error
        plan = self._choices.narrowed(plan, request, chosen, datetime.now(UTC))
        return await self._within_caps(arrival, plan, kind) if kind.caps else plan

    async def _within_caps(self, arrival: Arrival, plan: Plan, kind: NotificationType) -> Plan:
        """Counted before the plan is stored, under the notification's id: planning it again counts nothing twice."""
        reached = sorted({line.recipient for line in plan.to_make})
        counts = (
            self._caps.count(arrival.environment, each, kind.name, kind.caps, arrival.notification_id, arrival.accepted_at)
            for each in reached
        )
        allowed = await asyncio.gather(*counts)
        return plan.without({each for each, may in zip(reached, allowed, strict=True) if not may}, "capped")

    async def _audience(self, environment: str, request: NotificationRequest) -> list[str]:
        """Membership as of now, which the stored plan keeps."""
        members: dict[str, None] = {}
        for target in request.to:
            match target:
                case TopicTarget(topic=topic):
                    members |= dict.fromkeys(await self._contacts.members(environment, topic, MAX_PLANNED + 1))
                case EveryoneTarget():
                    members |= dict.fromkeys(await self._contacts.members(environment, EVERYONE, MAX_PLANNED + 1))
                case _:
                    continue
        return list(members)
