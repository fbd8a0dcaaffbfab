"""What the API's process holds open, beyond what every process does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from infrastructure.auth.api_keys import KeyVerifier
from infrastructure.auth.bearer import BearerVerifier
from infrastructure.auth.credentials import open_credentials
from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.auth.login import LoginClient
from infrastructure.auth.renewal import LiveSessions
from infrastructure.auth.service_tokens import ServiceTokens
from infrastructure.auth.user import User
from infrastructure.kafka.connection import connection
from infrastructure.kafka.lag_watch import LagWatch, open_lag_watch
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.redis.seen import SeenRequests
from infrastructure.redis.tickets import Tickets
from infrastructure.redis.wakeups import Wakeups, open_wakeups
from infrastructure.resources import Resources, open_resources
from infrastructure.settings import Settings
from schemas.recipients import Contact


@dataclass(frozen=True)
class ApiResources(Resources):
    sessions: LiveSessions
    login: LoginClient
    bearer: BearerVerifier
    keys: KeyVerifier
    keyring: Keyring
    service_tokens: ServiceTokens
    limiter: RateLimiter
    seen: SeenRequests
    wakeups: Wakeups
    tickets: Tickets
    lag: LagWatch

    async def learn(self, user: User) -> None:
        """What a login proved about a person becomes their contact in every environment served."""
        contact = Contact(
            person=user.id,
            email=user.email or None,
            email_verified=user.email_verified,
            name=user.name or None,
            zone=user.zone or None,
            locale=user.locale or None,
        )
        for environment in self.settings.environments:
            await self.stores.contacts.learn(environment, contact)


@asynccontextmanager
async def open_api_resources(settings: Settings) -> AsyncIterator[ApiResources]:
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(open_resources(settings))
        credentials = open_credentials(settings, shared.redis)
        await credentials.login.check()
        yield ApiResources(
            **vars(shared),
            sessions=credentials.sessions,
            login=credentials.login,
            bearer=credentials.bearer,
            keys=KeyVerifier(shared.stores.api_keys, key_hash(settings), settings.environments),
            keyring=Keyring(shared.stores.api_keys, key_hash(settings)),
            service_tokens=ServiceTokens(settings),
            limiter=RateLimiter(shared.redis),
            seen=SeenRequests(shared.redis, settings.idempotency_ttl_seconds),
            wakeups=await stack.enter_async_context(open_wakeups(shared.redis)),
            tickets=Tickets(shared.redis, settings.ticket_ttl_s),
            lag=await stack.enter_async_context(open_lag_watch(connection(settings))),
        )
