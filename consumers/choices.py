"""What people have chosen, as the steps ask for it: at planning, and again right before sending."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from infrastructure.dynamo.preferences import PreferenceStore
from infrastructure.erasing import Marks
from infrastructure.settings import Settings
from schemas.deliveries import DeliveryRecord
from schemas.plan import Notification, Plan, PlannedDelivery, about
from schemas.preferences import Preferences, Situation, held_until, refusal
from schemas.requests import NotificationRequest
from schemas.topics import Environment
from schemas.unsubscribe import UnsubscribeScope, link_token

NOTHING_CHOSEN = Preferences()


@dataclass(frozen=True)
class Links:
    """Where unsubscribe links lead, and the key that signs them."""

    base_url: str
    key: bytes

    @classmethod
    def of(cls, settings: Settings) -> "Links | None":
        """None where a production deployment does not know its own address: a link to localhost helps nobody."""
        if not settings.public_url and settings.deployment != "local":
            return None
        return cls(settings.base_url, settings.app_secret_key.get_secret_value().encode())


class Choices:
    """Mandatory categories, bare addresses and people who chose nothing pass through untouched."""

    def __init__(self, store: PreferenceStore, mandatory: Iterable[str], links: Links | None, marks: Marks) -> None:
        self._store = store
        self._marks = marks
        self._mandatory = frozenset(mandatory)
        self._links = links

    @property
    def mandatory(self) -> frozenset[str]:
        return self._mandatory

    async def of_many(self, environment: Environment, people: Iterable[str], category: str) -> Mapping[str, Preferences]:
        """Of those who have chosen something, read consistently; nobody is asked about a mandatory category."""
        return {} if category in self._mandatory else await self._store.get_many(environment, people)

    def narrowed(
        self,
        request: NotificationRequest,
        plan: Plan,
        lines: tuple[PlannedDelivery, ...],
        chosen: Mapping[str, Preferences],
        now: datetime,
    ) -> tuple[PlannedDelivery, ...]:
        """The lines with what people do not want skipped, each skip with its reason and the version that was asked."""
        return tuple(self._asked(request, plan, line, chosen, now) for line in lines) if chosen else lines

    async def of(self, delivery: DeliveryRecord) -> Preferences:
        """Read consistently, in one batch with whatever else is read at this moment."""
        return NOTHING_CHOSEN if delivery.bare else await self._store.get(delivery.environment, delivery.recipient)

    async def erased(self, delivery: DeliveryRecord) -> datetime | None:
        """Before when whatever came for its person is not to go out, read in the same batch."""
        return None if delivery.bare else await self._marks.erased_before(delivery.environment, delivery.recipient)

    async def erased_person(self, environment: str, person: str) -> datetime | None:
        return await self._marks.erased_before(environment, person)

    def names(self, delivery: DeliveryRecord) -> tuple[str, ...]:
        """The names a plan may know its person by: their own, or what stands for it once they are erased."""
        return delivery.recipient, *self._marks.names(delivery.environment, delivery.recipient)

    async def erased_people(self, environment: str, people: Iterable[str]) -> Mapping[str, datetime]:
        """Of those who were erased, before when whatever came for them is not to go out."""
        wanted = tuple(people)
        marks = await asyncio.gather(*(self._marks.erased_before(environment, person) for person in wanted))
        return {person: mark for person, mark in zip(wanted, marks, strict=True) if mark is not None}

    def passes(self, plan: Plan) -> bool:
        """Whether nothing may keep it back: what is urgent, also where its producer is over quota, and what is mandatory."""
        return "urgent" in (plan.priority, plan.moved_from) or plan.category in self._mandatory

    async def of_person(self, environment: Environment | str, person: str) -> Preferences:
        return await self._store.get(environment, person)

    def refusal(self, chosen: Preferences, notification: Notification, line: PlannedDelivery, now: datetime) -> str | None:
        """Why this delivery is not wanted any more, if so."""
        at = self._situation(chosen, notification, line, now)
        return refusal(at) if at else None

    def held_until(
        self, chosen: Preferences, notification: Notification, line: PlannedDelivery, now: datetime
    ) -> datetime | None:
        """When this delivery may go out, if its person is not to be disturbed now."""
        at = self._situation(chosen, notification, line, now)
        return held_until(at, line.delivery_id) if at else None

    def unsubscribe_url(self, notification: Notification, line: PlannedDelivery) -> str | None:
        """The link of one e-mail, where there is something to unsubscribe from."""
        category = notification.plan.category
        if self._links is None or line.channel != "email" or line.bare or category in self._mandatory:
            return None
        scope = UnsubscribeScope(environment=notification.environment, person=line.recipient, category=category)
        return f"{self._links.base_url}/unsubscribe/{link_token(self._links.key, scope)}"

    def _situation(
        self, chosen: Preferences, notification: Notification, line: PlannedDelivery, now: datetime
    ) -> Situation | None:
        if line.bare or chosen.version == 0:
            return None
        return Situation(chosen, about(notification.request, notification.plan, line), self._mandatory, now)

    def _asked(
        self,
        request: NotificationRequest,
        plan: Plan,
        line: PlannedDelivery,
        chosen: Mapping[str, Preferences],
        now: datetime,
    ) -> PlannedDelivery:
        own = chosen.get(line.recipient)
        if own is None or line.bare or line.skipped:
            return line
        reason = refusal(Situation(own, about(request, plan, line), self._mandatory, now))
        return line.model_copy(update={"chosen": own.version, "skipped": reason})
