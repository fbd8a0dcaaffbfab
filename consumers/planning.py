"""What a request becomes: its type and template looked up, its addresses gathered, its plan made."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from consumers.arrivals import Arrival
from consumers.capping import Capping
from consumers.choices import Choices
from consumers.clocks import Clocks
from consumers.quotas import Quotas
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.devices import DeviceStore
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.variables import check_variables
from schemas.audience_plan import audience_lines
from schemas.audiences import audience_of
from schemas.catalogue import Catalogue, UnknownName, Unresolved
from schemas.digest_plan import CannotGather, agreed, gathered, over_cap
from schemas.digest_terms import Digest
from schemas.erasures import without_erased
from schemas.events import FieldError
from schemas.outcomes import Policy
from schemas.plan import Notification, Plan, PlannedDelivery
from schemas.planning import TooManyDeliveries, make_plan
from schemas.recipients import Contact, people_named, recipients_of
from schemas.requests import Channel, NotificationRequest
from schemas.schedules import first_moment
from schemas.types import NotificationType


class Refused(ValueError):
    """A request that can be read and cannot be carried out."""

    def __init__(self, reason: str, pointer: str, detail: str, *more: FieldError) -> None:
        super().__init__(detail)
        self.reason = reason
        self.errors = (FieldError(pointer=pointer, detail=detail), *more)


class Planner:
    """Reads what the pure rule of schemas/planning.py needs to know."""

    def __init__(
        self,
        catalogue: LiveCatalogue,
        contacts: ContactStore,
        capping: Capping,
        policies: Mapping[Channel, Policy],
        choices: Choices,
        quotas: Quotas,
        clocks: Clocks,
        devices: DeviceStore,
    ) -> None:
        self._catalogue = catalogue
        self._contacts = contacts
        self._capping = capping
        self._policies = policies
        self._choices = choices
        self._quotas = quotas
        self._clocks = clocks
        self._devices = devices

    async def plan(self, arrival: Arrival) -> Plan:
        """Raises `Refused` when the request names what is not there, or its variables are not what its type wants."""
        environment, request = arrival.environment, arrival.request
        catalogue = await self._catalogue.for_request(environment, request)
        kind, template = _resolved(catalogue, request)
        people = people_named(request)
        channels, category = kind.all_channels_for(request), request.category or kind.category
        shards, digest = await self._contacts.shards(environment), _digest(catalogue, request, kind)
        due_at = max(arrival.accepted_at, first_moment(request.send_at or arrival.accepted_at))
        cutoff = min(due_at, datetime.now(UTC))  # a raw producer's clock may be ahead
        audience = audience_of(request, kind, cutoff, shards, self._policies, digest)
        contacts, devices, chosen, erased = await asyncio.gather(  # at once, so that one call reads all of it
            self._known(environment, people, channels),
            self._devices_of(environment, people, channels),
            self._choices.of_many(environment, people, category),
            self._choices.erased_people(environment, people),
        )
        recipients = recipients_of(request, contacts, devices)
        try:
            plan = make_plan(
                arrival.notification_id, request, kind, template, recipients, arrival.accepted_at, self._policies, audience
            )
        except TooManyDeliveries as error:
            raise Refused("too_many_deliveries", "/to", str(error)) from error
        lines = without_erased(plan.lines, erased, arrival.accepted_at)
        lines = self._choices.narrowed(request, plan, lines, chosen, datetime.now(UTC))
        lines = gathered(plan, lines, plan.priority, digest, chosen, self._choices.mandatory)
        full = await self._capping.over(environment, plan, lines, kind.caps, arrival.notification_id, arrival.accepted_at)
        lines = over_cap(plan, lines, plan.priority, full, digest, self._choices.mandatory)
        plan = plan.with_lines(await self._clocks.all_timed(environment, lines, request.send_at))
        return await self._quotas.applied(arrival, plan)

    async def is_over_for_now(self, arrival: Arrival) -> bool:
        """Whether it can go on to bulk's queue at once, unplanned: a busy producer's flood costs the others a look."""
        request = arrival.request
        catalogue = await self._catalogue.for_request(arrival.environment, request)
        try:
            kind, _ = catalogue.resolve(request)
        except Unresolved:
            return False
        asked, category = request.priority or kind.priority, request.category or kind.category
        return asked == "normal" and not arrival.waits_as_bulk and self._quotas.is_over_for_now(arrival, category)

    async def page(self, notification: Notification, people: Sequence[str]) -> tuple[PlannedDelivery, ...]:
        """The lines of some of the people of the plan's audience, by the same rules, as things stand now."""
        audience, environment = notification.plan.audience, notification.environment
        if audience is None:
            return ()
        plan, request = notification.plan, notification.request
        channels = plan.channels_of(audience)
        contacts, devices, chosen, erased = await asyncio.gather(
            self._known(environment, people, channels),
            self._devices_of(environment, people, channels),
            self._choices.of_many(environment, people, plan.category),
            self._choices.erased_people(environment, people),
        )
        lines = without_erased(audience_lines(notification, people, contacts, devices), erased, notification.accepted_at)
        lines = self._choices.narrowed(request, plan, lines, chosen, datetime.now(UTC))
        lines = gathered(plan, lines, audience.priority, audience.digest, chosen, self._choices.mandatory)
        full = await self._capping.over(
            environment, plan, lines, audience.caps, notification.notification_id, audience.cutoff
        )
        return over_cap(plan, lines, audience.priority, full, audience.digest, self._choices.mandatory)

    async def _known(self, environment: str, people: Sequence[str], channels: Sequence[Channel]) -> dict[str, Contact]:
        """Their contacts, where a channel needs an address."""
        return await self._contacts.get_many(environment, people) if "email" in channels else {}

    async def _devices_of(
        self, environment: str, people: Sequence[str], channels: Sequence[Channel]
    ) -> dict[str, tuple[str, ...]]:
        """The ids of their devices, where pushes are among the channels."""
        if "push" not in channels:
            return {}
        found = await self._devices.of_many(environment, people)
        return {person: tuple(device.id for device in devices) for person, devices in found.items()}


def _resolved(catalogue: Catalogue, request: NotificationRequest) -> tuple[NotificationType, str | None]:
    try:
        kind, template = catalogue.resolve(request)
    except Unresolved as error:
        raise Refused(error.reason, error.pointer, error.detail) from error
    flaws = check_variables(kind.variables_schema, request.variables) if template or request.variables else ()
    if flaws:
        raise Refused("bad_variables", flaws[0].pointer, flaws[0].detail, *flaws[1:])
    return kind, template


def _digest(catalogue: Catalogue, request: NotificationRequest, kind: NotificationType) -> Digest | None:
    """How events of this kind are gathered, with its template pinned."""
    try:
        digest = agreed(request, kind)
        if digest is None or digest.template is None:
            return digest
        return digest.model_copy(update={"template": catalogue.template(digest.template).pinned})
    except CannotGather as error:
        raise Refused("invalid", error.pointer, str(error)) from error
    except UnknownName as error:
        raise Refused("unknown_template", "/digest/template", str(error)) from error
