"""What a request becomes: its type and template looked up, its audience and addresses gathered, its plan made."""

from consumers.arrivals import Arrival
from infrastructure.dynamo.contacts import EVERYONE, ContactStore
from schemas.catalogue import Catalogue, UnknownName
from schemas.events import FieldError
from schemas.plan import MAX_PLANNED, Plan, TooManyDeliveries, make_plan, people_named, recipients_of
from schemas.requests import EveryoneTarget, NotificationRequest, TopicTarget
from schemas.types import NotificationType


class Refused(ValueError):
    """A request that can be read and cannot be carried out."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.errors = (FieldError(pointer=pointer, detail=detail),)


class Planner:
    """Reads what the pure rule of schemas/plan.py needs to know."""

    def __init__(self, catalogue: Catalogue, contacts: ContactStore) -> None:
        self._catalogue = catalogue
        self._contacts = contacts

    async def plan(self, arrival: Arrival) -> Plan:
        """Raises `Refused` when the request names what is not there."""
        request = arrival.request
        kind = self._type(request)
        template = self._template(request, kind)
        audience = await self._audience(arrival.environment, request)
        people = tuple(dict.fromkeys((*people_named(request), *audience)))
        channels = request.channels or kind.channels
        contacts = await self._contacts.get_many(arrival.environment, people) if "email" in channels else {}
        recipients = recipients_of(request, audience, contacts)
        try:
            return make_plan(arrival.notification_id, request, kind, template, recipients, arrival.accepted_at)
        except TooManyDeliveries as error:
            raise Refused("too_many_deliveries", "/to", str(error)) from error

    def _type(self, request: NotificationRequest) -> NotificationType:
        try:
            return self._catalogue.type(request.type)
        except UnknownName as error:
            raise Refused("unknown_type", "/type", str(error)) from error

    def _template(self, request: NotificationRequest, kind: NotificationType) -> str | None:
        """The template's pinned version; a message of the request's own comes before the type's template."""
        wanted = request.template or (kind.template if request.message is None else None)
        if wanted is None and request.message is None:
            raise Refused("nothing_to_send", "/message", f"type {kind.name} has no template: give message or template")
        try:
            return self._catalogue.template(wanted).pinned if wanted else None
        except UnknownName as error:
            raise Refused("unknown_template", "/template", str(error)) from error

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
