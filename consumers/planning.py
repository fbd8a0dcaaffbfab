"""What a request becomes: its type and template looked up, its audience and addresses gathered, its plan made."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from consumers.arrivals import Arrival
from consumers.choices import Choices
from infrastructure.dynamo.caps import CapStore
from infrastructure.dynamo.contacts import EVERYONE, ContactStore
from schemas.catalogue import Catalogue, UnknownName, Unresolved
from schemas.digest_plan import CannotGather, agreed, gathered, over_cap
from schemas.digest_terms import Digest
from schemas.events import FieldError
from schemas.outcomes import Policy
from schemas.plan import MAX_PLANNED, Plan, TooManyDeliveries, make_plan, people_named, recipients_of
from schemas.requests import Channel, EveryoneTarget, NotificationRequest, TopicTarget
from schemas.types import NotificationType


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
        digest = self._digest(request, kind)
        people = tuple(dict.fromkeys((*people_named(request), *audience)))
        reached = people if "email" in (request.channels or kind.channels) else ()
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
        plan = gathered(plan, digest, chosen, self._choices.mandatory)
        return await self._within_caps(arrival, plan, kind, digest) if kind.caps else plan

    def _digest(self, request: NotificationRequest, kind: NotificationType) -> Digest | None:
        """How events of this kind are gathered, with its template pinned."""
        try:
            digest = agreed(request, kind)
            if digest is None or digest.template is None:
                return digest
            return digest.model_copy(update={"template": self._catalogue.template(digest.template).pinned})
        except CannotGather as error:
            raise Refused("invalid", error.pointer, str(error)) from error
        except UnknownName as error:
            raise Refused("unknown_template", "/digest/template", str(error)) from error

    async def _within_caps(self, arrival: Arrival, plan: Plan, kind: NotificationType, digest: Digest | None) -> Plan:
        """Counted before the plan is stored, under the notification's id: planning it again counts nothing twice."""
        reached = sorted({line.recipient for line in plan.by_themselves})
        counts = (
            self._caps.count(arrival.environment, each, kind.name, kind.caps, arrival.notification_id, arrival.accepted_at)
            for each in reached
        )
        allowed = await asyncio.gather(*counts)
        full = {each for each, may in zip(reached, allowed, strict=True) if not may}
        return over_cap(plan, full, kind, digest, self._choices.mandatory)

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
