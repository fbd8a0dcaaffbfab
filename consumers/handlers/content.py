"""What a delivery says: the request's own message, or its pinned template with its variables."""

from typing import Any

from infrastructure.ports import Content
from infrastructure.rendering import plain, render
from schemas.catalogue import Catalogue
from schemas.plan import Notification


def content_of(notification: Notification, catalogue: Catalogue) -> Content:
    """Raises `CannotRender` or `UnknownName` when the text cannot be made; nothing was sent then."""
    if notification.request.message is not None:
        return plain(notification.request.message)
    return render(catalogue.template(notification.plan.template or ""), notification.request.variables)


def data_of(notification: Notification) -> dict[str, Any]:
    """What an inbox item carries for programs: the message's own, and of a digest which events it tells about."""
    message, told = notification.request.message, notification.plan.told
    return (message.data if message else {}) | ({"digest": told.model_dump(mode="json")} if told else {})
