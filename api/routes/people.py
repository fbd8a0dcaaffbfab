"""People: where they can be reached, and the topics they belong to. `me` is whoever calls."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, EmailStr, Field, model_validator

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.learning import zone_told
from api.problems import Problem
from api.subscribing import PEOPLE_WRITE, TopicNames, refuse_closed, refuse_others
from infrastructure.auth.user import User
from schemas.base import Value
from schemas.locales import Locale
from schemas.quiet_hours import ZoneName
from schemas.recipients import Contact
from schemas.requests import Name, Slug

router = APIRouter(prefix="/api/v1/people/{person}", tags=["people"])

Person = Annotated[Name, Path(examples=["me"])]
Topic = Annotated[Slug, Path(examples=["product-news"])]


class ContactPatch(Value):
    """What is not said stays as it is; null takes it away. An address counts as checked by whoever says it."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    email: EmailStr | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    zone: ZoneName | None = None
    locale: Locale | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ContactPatch":
        if not self.model_fields_set:
            raise ValueError("nothing to change: say email, name, zone or locale")
        return self


class SubscriptionsIn(Value):
    topics: TopicNames


@router.get("", operation_id="getPerson")
async def contact(person: Person, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Where this person can be reached, as their logins and backends have told."""
    whose = _whose(person, user)
    found = await house.stores.contacts.get(environment, whose)
    if found is None:
        raise Problem(404, "Not found", "Nothing is known of this person here.")
    return ok(_shown(found))


@router.patch("", operation_id="changePerson")
async def change(
    person: Person, body: ContactPatch, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """For backends: it needs `people:write`, for oneself too, because mail goes to whatever address is said here.

    From then on the person is also reached by `{"all": true}`.
    """
    if not user.may(PEOPLE_WRITE):
        raise Problem(
            403, "Forbidden", f"This needs the permission {PEOPLE_WRITE}. A login keeps your own address up to date."
        )
    whose = _whose(person, user)
    said = body.model_dump(exclude_unset=True)
    verified = {"email_verified": said["email"] is not None, "email_bounced_at": None} if "email" in said else {}
    found = await house.stores.contacts.change(environment, whose, said | verified)
    if "zone" in said:
        await zone_told(house, environment, whose)
    return ok(_shown(found))


@router.get("/subscriptions", operation_id="listSubscriptions")
async def subscriptions(person: Person, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """The topics this person belongs to, each with the time since when. What was just changed may take a second to show."""
    found = await house.stores.contacts.topics_of(environment, _whose(person, user))
    return ok([{"topic": topic, "since": since} for topic, since in found.items()])


@router.post("/subscriptions", operation_id="subscribe")
async def subscribe(
    person: Person, body: SubscriptionsIn, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """From now on the person belongs to these topics. Who does already has done so since the first time."""
    whose = _whose(person, user)
    refuse_closed(user, body.topics, house.settings)
    await house.stores.contacts.subscribe(environment, whose, body.topics)
    return ok({"person": whose, "topics": body.topics}, "Subscribed.")


@router.delete("/subscriptions/{topic:path}", operation_id="unsubscribe")
async def unsubscribe(
    person: Person, topic: Topic, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """Out at once, also of what is on its way to the topic and has not reached them. Whoever was not in it is not in it."""
    whose = _whose(person, user)
    await house.stores.contacts.unsubscribe(environment, whose, (topic,))
    return ok({"person": whose, "topics": [topic]}, "Unsubscribed.")


def _whose(person: str, user: User) -> str:
    whose = user.id if person == "me" else person
    refuse_others(user, whose)
    return whose


def _shown(found: Contact) -> dict[str, Any]:
    """`email_state` says whether mail goes to the address: verified, unverified, or bounced, which gets none."""
    return found.model_dump(mode="json") | {"email_state": found.email_state}
