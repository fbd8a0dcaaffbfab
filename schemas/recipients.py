"""Whom a request names, and what is known of how to reach them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from schemas.base import Record, UtcDatetime
from schemas.devices import NO_DEVICE
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
    email_bounced_at: UtcDatetime | None = None  # a provider said for good that nobody is there

    @property
    def email_state(self) -> Literal["verified", "unverified", "bounced"] | None:
        if self.email is None:
            return None
        if self.email_bounced_at is not None:
            return "bounced"
        return "verified" if self.email_verified else "unverified"


BOUNCED = "bounced"


@dataclass(frozen=True)
class Recipient:
    """Somebody to reach: a person with what is known of them, or a bare address."""

    key: str
    person: str | None = None
    email: str | None = None
    email_endpoint: str = ""
    slack: str | None = None
    devices: tuple[str, ...] = ()
    bounced: bool = False

    def endpoints_on(self, channel: Channel) -> tuple[str, ...]:
        """At least one: the same whether or not there is an address, so that a skip and a delivery share one ledger row.

        A push goes to each device; the row that says that there is none is about none of them.
        """
        if channel == "push":
            return self.devices or ("",)
        return ({"email": self.email_endpoint, "slack": self.slack or ""}.get(channel, ""),)

    def address_on(self, channel: Channel) -> str | None:
        return {"email": self.email, "slack": self.slack}.get(channel)

    def unreachable_on(self, channel: Channel) -> str | None:
        """Why there is no way to them on that channel, if so."""
        if channel == "in_app":
            return None if self.person else "no_inbox"
        if channel == "push":
            return None if self.devices else NO_DEVICE
        if channel == "email" and self.bounced:
            return BOUNCED
        return None if self.address_on(channel) else "no_address"


def people_named(request: NotificationRequest) -> tuple[str, ...]:
    return tuple(target.user for target in request.to if isinstance(target, PersonTarget))


def recipients_of(
    request: NotificationRequest, contacts: Mapping[str, Contact], devices: Mapping[str, Sequence[str]] | None = None
) -> tuple[Recipient, ...]:
    """Everybody a request names one by one, each once; an address in the request overrides the contact's.

    `devices` are the ids of each person's.
    """
    found: dict[str, Recipient] = {}
    for target in request.to:
        match target:
            case PersonTarget(user=user, email=email, slack=slack):
                known = person_as_recipient(user, email, contacts.get(user), (devices or {}).get(user, ()))
                found.setdefault(user, replace(known, slack=slack))
            case EmailTarget(email=email):
                endpoint = endpoint_of(email)
                found.setdefault(f"email:{endpoint}", Recipient(f"email:{endpoint}", None, email, endpoint))
            case SlackTarget(slack=name):
                found.setdefault(f"slack:{name}", Recipient(f"slack:{name}", slack=name))
            case _:
                continue
    return tuple(found.values())


def person_as_recipient(user: str, given: str | None, contact: Contact | None, devices: Sequence[str] = ()) -> Recipient:
    if given:
        return Recipient(user, user, given, endpoint_of(given), devices=tuple(devices))
    bounced = contact is not None and contact.email_state == BOUNCED
    email = contact.email if contact and not bounced else None
    return Recipient(user, user, email, "primary", devices=tuple(devices), bounced=bounced)
