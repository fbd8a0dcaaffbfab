"""Collapse: of all that one producer sends one recipient under one key, the newest counts. Pure rules.

Newer is what was accepted later; what was accepted in the same moment is ordered by its id.
"""

import hashlib
import json

from schemas.base import Record, UtcDatetime
from schemas.plan import Notification

SUPERSEDED = "superseded"


class Pointer(Record):
    """A notification as the newest of its key."""

    notification_id: str
    accepted_at: UtcDatetime

    @property
    def place(self) -> str:
        """Sorts as text the way newer and older are meant."""
        return f"{self.accepted_at:%Y-%m-%dT%H:%M:%S.%f}#{self.notification_id}"

    def is_behind(self, newest: "Pointer | None") -> bool:
        return newest is not None and self.place < newest.place


def pointer_to(notification: Notification) -> Pointer:
    return Pointer(notification_id=notification.notification_id, accepted_at=notification.accepted_at)


def collapse_id(notification: Notification, recipient: str) -> str | None:
    """Names the pointer, without personal data; None for a notification that replaces nothing."""
    if notification.request.collapse_key is None:
        return None
    parts = json.dumps([notification.producer, recipient, notification.request.collapse_key])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
