"""What the kill test sends and what must come of it: computed beforehand, then compared from three sides."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.ids import delivery_id, endpoint_of, notification_id

ENVIRONMENT = "uat"
PEOPLE = tuple(f"reader-{number:02}" for number in range(50))
# the producer that each door makes of its caller
DOORS = {"http": "user:ana", "kafka": "kafka", "redis": "bridge"}


@dataclass(frozen=True)
class Sent:
    """One request through one door."""

    door: str
    number: int
    with_mail: bool

    @property
    def person(self) -> str:
        return PEOPLE[self.number % len(PEOPLE)]

    @property
    def address(self) -> str:
        return f"{self.person}@example.com"

    @property
    def request_id(self) -> str:
        return f"{self.door}-{self.number}"

    @property
    def notification_id(self) -> str:
        return notification_id(ENVIRONMENT, DOORS[self.door], self.request_id)

    @property
    def inbox_item(self) -> str:
        return delivery_id(self.notification_id, self.person, "in_app", "")

    @property
    def mail(self) -> str:
        return delivery_id(self.notification_id, self.person, "email", endpoint_of(self.address))

    @property
    def deliveries(self) -> set[str]:
        return {self.inbox_item, self.mail} if self.with_mail else {self.inbox_item}

    @property
    def body(self) -> dict[str, Any]:
        target = {"user": self.person, "email": self.address} if self.with_mail else {"user": self.person}
        channels = ["in_app", "email"] if self.with_mail else ["in_app"]
        message = {"title": "Flow", "body": f"Number {self.number} by {self.door}"}
        return {"to": [target], "channels": channels, "message": message, "request_id": self.request_id}


def requests(total: int, mails: int) -> list[Sent]:
    """Spread evenly over the doors; every so many-th has a mail beside its inbox item."""
    doors, every = tuple(DOORS), total // mails
    return [Sent(doors[number % len(doors)], number, number % every == 0) for number in range(total)]


@dataclass(frozen=True)
class Figures:
    """`unknown`: provider calls that belong to no request of ours."""

    lost: int
    duplicates: int
    unknown: int

    def __str__(self) -> str:
        return f"lost={self.lost} duplicates={self.duplicates} unknown={self.unknown}"


def compare(expected: Iterable[str], happened: Iterable[str]) -> Figures:
    """The ledger check: what should have happened once against what did happen."""
    wanted, found = set(expected), Counter(happened)
    return Figures(
        lost=len(wanted - found.keys()),
        duplicates=sum(count - 1 for name, count in found.items() if name in wanted),
        unknown=len(found.keys() - wanted),
    )


def accepted_mails(ledger: Path) -> Iterator[str]:
    """Delivery ids of what a real mail provider would have sent on to our readers."""
    readers = {f"{person}@example.com" for person in PEOPLE}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        if call["provider"] == "email" and call["accepted"] and readers & set(call["request"]["to"]):
            yield call["delivery"]
