"""What is told about a person becomes their contact; what waits for a time on their clock hears of another zone."""

import structlog

from api.preferences import Changing
from api.problems import Problem
from api.wiring import ApiResources
from infrastructure.auth.user import User
from schemas.preference_changes import Change
from schemas.recipients import Contact
from schemas.topics import Environment

log = structlog.get_logger()


async def learn(house: ApiResources, user: User) -> None:
    """What a login proved, in every environment served. Kafka being away keeps nobody from logging in."""
    contact = Contact(
        person=user.id,
        email=user.email or None,
        email_verified=user.email_verified,
        name=user.name or None,
        zone=user.zone or None,
        locale=user.locale or None,
    )
    for environment in house.settings.environments:
        known = await house.stores.contacts.get(environment, user.id)
        await house.stores.contacts.learn(environment, contact)
        if contact.zone not in (None, known.zone if known else None):
            try:
                await zone_told(house, environment, user.id)
            except Problem as problem:
                log.warning("login.zone_moves_nothing", environment=environment, reason=problem.detail)


async def zone_told(house: ApiResources, environment: Environment, person: str) -> None:
    """All of theirs that rests asks again when to go out. Raises `Problem` 503 when Kafka did not take that; repeat it."""
    await Changing(house, environment, person).tell(Change(zone_told=True))
