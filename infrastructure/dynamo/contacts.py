"""Where people can be reached, and which audiences they belong to."""

import asyncio

from infrastructure.dynamo.client import Dynamo
from infrastructure.dynamo.tables import CONTACTS, SUBSCRIPTIONS
from schemas.plan import Contact

EVERYONE = "_all"


class ContactStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def get(self, environment: str, person: str) -> Contact | None:
        """A consistent read, batched with the others of the moment."""
        found = await self._dynamo.get(CONTACTS.named(environment), {"person": person})
        return Contact.model_validate(found) if found else None

    async def get_many(self, environment: str, people: tuple[str, ...]) -> dict[str, Contact]:
        found = await asyncio.gather(*(self.get(environment, person) for person in people))
        return {contact.person: contact for contact in found if contact is not None}

    async def learn(self, environment: str, contact: Contact) -> None:
        """Stores what a login proved; only a verified address becomes the one we write to."""
        changes = {
            "name": contact.name,
            "email": contact.email if contact.email_verified else None,
            "email_verified": contact.email_verified,
        }
        known = {name: value for name, value in changes.items() if value is not None}
        await self._dynamo.update(CONTACTS.named(environment), {"person": contact.person}, known)
        await self.subscribe(environment, contact.person, (EVERYONE,))

    async def subscribe(self, environment: str, person: str, topics: tuple[str, ...]) -> None:
        table = SUBSCRIPTIONS.named(environment)
        await asyncio.gather(
            *(
                self._dynamo.put_soon(table, {"topic": topic, "person": person}, SUBSCRIPTIONS.key)
                for topic in dict.fromkeys(topics)
            )
        )

    async def members(self, environment: str, topic: str, limit: int) -> list[str]:
        """People subscribed to a topic, at most `limit` of them."""
        rows = await self._dynamo.query(SUBSCRIPTIONS.named(environment), "topic = :topic", {":topic": topic}, limit=limit)
        return [row["person"] for row in rows]
