"""One-time tickets for live connections of pages that can send neither cookie nor header: kept as hashes, taken once."""

import hashlib
import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from infrastructure.auth.user import User
from infrastructure.redis.client import redis_or_unavailable
from schemas.base import Value
from schemas.topics import Environment

_BYTES = 32
LONGEST = 64


class Ticket(Value):
    """Whose it is, and where."""

    environment: Environment
    user: User


@dataclass(frozen=True)
class Tickets:
    """Raises `Unavailable` while Redis is away."""

    redis: Redis
    ttl_s: int

    async def issue(self, environment: Environment, user: User) -> str:
        """The text to show once; what is kept does not tell it. Name and address are not needed to listen."""
        text = secrets.token_urlsafe(_BYTES)
        bare = user.model_copy(update={"name": "", "email": "", "zone": ""})
        with redis_or_unavailable():
            await self.redis.set(_key(text), Ticket(environment=environment, user=bare).model_dump_json(), ex=self.ttl_s)
        return text

    async def take(self, text: str) -> Ticket | None:
        """The ticket, to the first who asks; to everybody later it is none."""
        with redis_or_unavailable():
            found = await self.redis.getdel(_key(text))
        return Ticket.model_validate_json(found) if found else None


def _key(text: str) -> str:
    return f"carillon:ticket:{hashlib.sha256(text.encode()).hexdigest()}"
