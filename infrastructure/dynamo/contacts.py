"""Where people can be reached, and which audiences they belong to."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import CONTACTS, SUBSCRIPTIONS
from schemas.audiences import EVERYONE
from schemas.base import iso
from schemas.ids import shard_of
from schemas.recipients import Contact

# how many shards there are was settled by whoever came first: with another count, nobody would be found again
_PINNED: Item = {"topic": "#shards", "person": "#pinned"}


@dataclass(frozen=True)
class Member:
    """Somebody who belongs to a topic, and since when."""

    person: str
    since: datetime


class ContactStore:
    """`shards` counts where an environment is new; afterwards the count it began with stays."""

    def __init__(self, dynamo: Dynamo, shards: int = 16) -> None:
        self._dynamo = dynamo
        self._shards = shards
        self._pinned: dict[str, int] = {}

    async def get(self, environment: str, person: str) -> Contact | None:
        """A consistent read, batched with the others of the moment."""
        found = await self._dynamo.get(CONTACTS.named(environment), {"person": person})
        return Contact.model_validate(found) if found else None

    async def get_many(self, environment: str, people: Sequence[str]) -> dict[str, Contact]:
        found = await asyncio.gather(*(self.get(environment, person) for person in people))
        return {contact.person: contact for contact in found if contact is not None}

    async def learn(self, environment: str, contact: Contact) -> None:
        """Stores what a login proved; only a verified address becomes the one we write to."""
        changes = {
            "name": contact.name,
            "email": contact.email if contact.email_verified else None,
            "email_verified": contact.email_verified,
            "zone": contact.zone,
            "locale": contact.locale,
        }
        told: Item = {name: value for name, value in changes.items() if value is not None}
        if "email" in told:
            known = await self.get(environment, contact.person)
            # one that bounced has been verified once already: only another is news
            told |= {"email_bounced_at": None} if known is None or known.email != contact.email else {}
        await self.change(environment, contact.person, told)

    async def bounced(self, environment: str, person: str, email: str, at: datetime) -> bool:
        """Nobody is there, as a provider said for good; False when they have another address by now."""
        changes, same = {"email_bounced_at": iso(at)}, {":email": email}
        try:
            await self._dynamo.update(
                CONTACTS.named(environment),
                {"person": person},
                changes,
                condition="#email = :email",
                names={"#email": "email"},
                values=same,
            )
        except ConditionFailed:
            return False
        return True

    async def change(self, environment: str, person: str, changes: Item) -> Contact:
        """Sets what is said, takes away what is said to be None; afterwards the person is one of everybody."""
        row = await self._dynamo.update(CONTACTS.named(environment), {"person": person}, changes)
        await self.subscribe(environment, person, (EVERYONE,))
        return Contact.model_validate(row)

    async def topics_of(self, environment: str, person: str) -> dict[str, datetime]:
        """The topics a person belongs to and since when, by an index that may lag a moment behind."""
        table = SUBSCRIPTIONS.named(environment)
        condition, values = "person = :person", {":person": person}
        keys = await self._dynamo.query(table, condition, values, index="by_person", consistent=False)
        rows = await asyncio.gather(
            *(self._dynamo.get(table, {name: key[name] for name in SUBSCRIPTIONS.key}) for key in keys)
        )
        found = {str(row["topic"]).rsplit("#", 1)[0]: datetime.fromisoformat(row["subscribed_at"]) for row in rows if row}
        return {topic: found[topic] for topic in sorted(found) if topic != EVERYONE}

    async def shards(self, environment: str) -> int:
        """Over how many shards the people of this environment's topics are spread."""
        if environment not in self._pinned:
            self._pinned[environment] = await self._pin(SUBSCRIPTIONS.named(environment))
        return self._pinned[environment]

    async def subscribe(self, environment: str, person: str, topics: tuple[str, ...], at: datetime | None = None) -> None:
        """From now on they belong to these topics; who does already has done so since the first time."""
        shards, table = await self.shards(environment), SUBSCRIPTIONS.named(environment)
        since = at or datetime.now(UTC)
        rows = [subscription(topic, person, shards, since) for topic in dict.fromkeys(topics)]
        await asyncio.gather(*(self._put_if_absent(table, row) for row in rows))

    async def unsubscribe(self, environment: str, person: str, topics: tuple[str, ...]) -> None:
        """They are out at once, also of audiences whose walk has not reached them yet."""
        shards, table = await self.shards(environment), SUBSCRIPTIONS.named(environment)
        keys = [_key(topic, person, shards) for topic in dict.fromkeys(topics)]
        await asyncio.gather(*(self._dynamo.delete_soon(table, key) for key in keys))

    async def members(self, environment: str, topic: str, shard: int, *, after: str, limit: int) -> list[Member]:
        """A page of one shard of a topic, in the order of names, behind the name `after`."""
        rows = await self._dynamo.query(
            SUBSCRIPTIONS.named(environment),
            "topic = :topic" + (" AND person > :after" if after else ""),
            {":topic": f"{topic}#{shard}"} | ({":after": after} if after else {}),
            limit=limit,
        )
        return [Member(row["person"], datetime.fromisoformat(row["subscribed_at"])) for row in rows]

    async def _put_if_absent(self, table: str, row: Item) -> None:
        """Looked up first, in a batch: most who come are there already, and a conditional write travels alone."""
        key = {name: row[name] for name in SUBSCRIPTIONS.key}
        if await self._dynamo.get(table, key) is None:
            with suppress(ConditionFailed):
                await self._dynamo.put(table, row, unless_exists="person")

    async def _pin(self, table: str) -> int:
        found = await self._dynamo.get(table, _PINNED)
        if found is None:
            try:
                await self._dynamo.put(table, _PINNED | {"count": self._shards}, unless_exists="person")
            except ConditionFailed as failed:
                found = failed.item
        return int(found["count"]) if found else self._shards


def subscription(topic: str, person: str, shards: int, since: datetime) -> Item:
    """The row that makes a person belong to a topic."""
    return _key(topic, person, shards) | {"subscribed_at": iso(since)}


def _key(topic: str, person: str, shards: int) -> Item:
    return {"topic": f"{topic}#{shard_of(person, shards)}", "person": person}
