"""Who listens: whoever brings a ticket, or a credential as for any other route."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import HTTPConnection

from api import auth
from api.dependencies import the_environment, the_resources
from api.limits import Limiting, admit
from api.problems import Problem
from infrastructure.auth.user import User
from infrastructure.redis.tickets import LONGEST, Tickets
from schemas.topics import Environment

CHECK_IDENTITY_EVERY_S = 5.0  # a logout elsewhere ends this connection within that time

TicketText = Annotated[
    str | None,
    Query(alias="ticket", max_length=LONGEST, description="A one-time ticket, in place of any other credential"),
]


class Ticketing(Limiting, Protocol):
    @property
    def tickets(self) -> Tickets: ...


@dataclass(frozen=True)
class Listener:
    """Who listens where. A ticket is spent, so its reader stays known until the login it was got with is over."""

    user: User
    environment: Environment
    by_ticket: bool


async def taken(connection: HTTPConnection, text: str) -> Listener | None:
    """Whose ticket it is; None when it is nobody's any more, or a page elsewhere got hold of it."""
    house: Ticketing = connection.app.state.resources
    allowed = {auth.origin_of(house.settings.base_url), *house.settings.cors_origins}
    if not auth.comes_from(connection, allowed, or_says_nothing=True):
        return None
    ticket = await house.tickets.take(text)
    if ticket is None or ticket.user.expires_at <= datetime.now(UTC):
        return None
    return Listener(ticket.user, ticket.environment, by_ticket=True)


async def the_listener(
    request: Request,
    ticket: TicketText = None,
    environment: Annotated[Environment | None, Query()] = None,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(auth.BEARER)] = None,
    _cookie: Annotated[str | None, Security(auth.COOKIE)] = None,
    _key: Annotated[str | None, Security(auth.KEY)] = None,
) -> Listener:
    """A ticket says who listens, whatever cookie came along by itself."""
    if ticket is None:
        user = await auth.owning_user(await auth.get_current_user(request))
        return Listener(user, the_environment(user, the_resources(request), environment), by_ticket=False)
    listener = await taken(request, ticket)
    if listener is None:
        raise auth.unauthenticated()
    if environment not in (None, listener.environment):
        raise Problem(403, "Forbidden", f"This ticket is for {listener.environment}.")
    await admit(request, listener.user)
    return listener


TheListener = Annotated[Listener, Depends(the_listener)]


async def until_login_ends(request: Request, listener: Listener) -> None:
    """Returns when the reader is not who they were any more, or nobody."""
    while listener.user.expires_at > datetime.now(UTC):
        await asyncio.sleep(CHECK_IDENTITY_EVERY_S)
        if not listener.by_ticket and (await auth.identified(request)).id != listener.user.id:
            return
