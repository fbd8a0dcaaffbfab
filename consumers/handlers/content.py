"""What a delivery says: the request's own message, or its pinned template with its variables, in the person's language."""

from typing import Any

from infrastructure.dynamo.contacts import ContactStore
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.ports import Content
from infrastructure.rendering import plain, render
from schemas.plan import Notification, PlannedDelivery


class Wording:
    def __init__(self, catalogue: LiveCatalogue, contacts: ContactStore) -> None:
        self._catalogue = catalogue
        self._contacts = contacts

    async def of(self, notification: Notification, line: PlannedDelivery) -> Content:
        """Raises `CannotRender` or `UnknownName` when the text cannot be made; nothing was sent then."""
        request = notification.request
        if request.message is not None:
            return plain(request.message)
        template = await self._catalogue.template(notification.environment, notification.plan.template or "")
        locale = await self._locale(notification.environment, line) if template.has_locales else None
        return render(template, request.variables, locale=locale, channel=line.channel)

    async def _locale(self, environment: str, line: PlannedDelivery) -> str | None:
        """As it is now: a retry may find that the person has changed it, and then says it in their language."""
        contact = None if line.bare else await self._contacts.get(environment, line.recipient)
        return contact.locale if contact else None


def data_of(notification: Notification) -> dict[str, Any]:
    """What an inbox item carries for programs: the message's own, and of a digest which events it tells about."""
    message, told = notification.request.message, notification.plan.told
    return (message.data if message else {}) | ({"digest": told.model_dump(mode="json")} if told else {})
