"""Whom a request names, and what is known of how to reach them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.base import Record
from schemas.ids import endpoint_of
from schemas.requests import Channel, EmailTarget, NotificationRequest, PersonTarget, SlackTarget


class Contact(Record):
    """What is known of a person: where they can be reached."""

    person: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    zone: str | None = None
    locale: str | None = None  # BCP 47


@dataclass(frozen=True)
class Recipient:
    """Somebody to reach: a person with what is known of them, or a bare address."""

    key: str
    person: str | None = None
    email: str | None = None
    email_endpoint: str = ""
    slack: str | None = None

    def endpoint_on(self, channel: Channel) -> str:
        """The same whether or not there is an address at this moment: a skip and a delivery share one ledger row."""
        return {"email": self.email_endpoint, "slack": self.slack or ""}.get(channel, "")

    def address_on(self, channel: Channel) -> str | None:
        return {"email": self.email, "slack": self.slack}.get(channel)

    def unreachable_on(self, channel: Channel) -> str | None:
        """Why there is no way to them on that channel, if so."""
        if channel == "in_app":
            return None if self.person else "no_inbox"
        return None if self.address_on(channel) else "no_address"


def people_named(request: NotificationRequest) -> tuple[str, ...]:
    return tuple(target.user for target in request.to if isinstance(target, PersonTarget))


def recipients_of(request: NotificationRequest, contacts: Mapping[str, Contact]) -> tuple[Recipient, ...]:
    """Everybody a request names one by one, each once; an address in the request overrides the contact's."""
    found: dict[str, Recipient] = {}
    for target in request.to:
        match target:
            case PersonTarget(user=user, email=email):
                found.setdefault(user, person_as_recipient(user, email, contacts.get(user)))
            case EmailTarget(email=email):
                endpoint = endpoint_of(email)
                found.setdefault(f"email:{endpoint}", Recipient(f"email:{endpoint}", None, email, endpoint))
            case SlackTarget(slack=name):
                found.setdefault(f"slack:{name}", Recipient(f"slack:{name}", slack=name))
            case _:
                continue
    return tuple(found.values())


def person_as_recipient(user: str, given: str | None, contact: Contact | None) -> Recipient:
    if given:
        return Recipient(user, user, given, endpoint_of(given))
    return Recipient(user, user, contact.email if contact else None, "primary")
