"""The inventory service's preferences: one by one, each for a type or a category on a channel (docs/migration.md)."""

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BeforeValidator, ConfigDict, ValidationError, model_validator

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.preferences import Changing, pending
from api.problems import Problem
from api.wiring import ApiResources
from schemas.base import Value
from schemas.preference_changes import Change, Setting
from schemas.preference_requests import ChannelOrAll, SwitchIn
from schemas.preferences import Choice
from schemas.requests import Slug
from schemas.topics import Environment

router = APIRouter(prefix="/api/v1/notifications/preferences", tags=["preferences"])

Place = tuple[str, str, str]
PreferenceId = Annotated[str, Path(pattern=r"^prf_[A-Za-z0-9_-]{1,400}$")]
_OLD_CHANNELS = {"database": "in_app", "all": "*"}


def _channel(said: object) -> object:
    return _OLD_CHANNELS.get(said, said) if isinstance(said, str) else said


OldChannel = Annotated[ChannelOrAll, BeforeValidator(_channel)]
_BOTH: Any = {name: {"type": "string"} for name in ("notification_type", "category")}


class OldPreference(Value):
    """For a type, or for a category, or with neither for everything."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["notification_type", "category"], "properties": _BOTH}}
    )

    id: str | None = None
    notification_type: Slug | None = None
    category: Slug | None = None
    channel: OldChannel
    enabled: bool = True

    @model_validator(mode="after")
    def _names_one_thing(self) -> "OldPreference":
        if self.notification_type and self.category:
            raise ValueError("give notification_type or category, not both")
        return self

    @property
    def place(self) -> Place:
        level: Literal["type", "category", "global"] = (
            "type" if self.notification_type else "category" if self.category else "global"
        )
        return (level, self.notification_type or self.category or "", self.channel)


class OldSwitch(Value):
    """What PUT changes. A client may send the whole preference back; its place stays what its id says."""

    enabled: bool
    id: str | None = None
    notification_type: Slug | None = None
    category: Slug | None = None
    channel: OldChannel | None = None


def preference_id(place: Place) -> str:
    """Says where the switch is, so that it names the same one for ever."""
    said = json.dumps(place, separators=(",", ":")).encode()
    return "prf_" + base64.urlsafe_b64encode(said).decode().rstrip("=")


def place_of(text: str) -> Place | None:
    """None for an id we never gave."""
    said = text.removeprefix("prf_")
    try:
        level, name, channel = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        SwitchIn(level=level, name=name, channel=channel, enabled=True)
    except (ValueError, TypeError, ValidationError):
        return None
    place = (level, name, channel)
    return place if preference_id(place) == text else None


def shown(choice: Choice) -> dict[str, Any]:
    return {
        "id": preference_id(choice.place),
        "notification_type": choice.name if choice.level == "type" else None,
        "category": choice.name if choice.level == "category" else None,
        "channel": choice.channel,
        "enabled": choice.enabled,
    }


@router.get("", operation_id="listOldPreferences")
async def read(user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """One's own, without topic choices, which the older service did not know."""
    chosen = await house.stores.preferences.get(environment, user.id)
    return ok([shown(choice) for choice in chosen.choices if choice.level != "topic"])


@router.post("", status_code=201, operation_id="createOldPreference")
async def create(
    body: OldPreference, user: CurrentUser, house: House, environment: InEnvironment, response: Response
) -> dict[str, Any]:
    """Created twice it is the same one."""
    return await _set(house, environment, user.id, body.place, body.enabled, response)


@router.put("/{preference}", operation_id="updateOldPreference")
async def update(
    preference: PreferenceId,
    body: OldSwitch,
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    response: Response,
) -> dict[str, Any]:
    """On or off; 404 when one has no such preference."""
    place = await _own(house, environment, user.id, preference)
    return await _set(house, environment, user.id, place, body.enabled, response)


@router.delete("/{preference}", operation_id="deleteOldPreference")
async def delete(
    preference: PreferenceId, user: CurrentUser, house: House, environment: InEnvironment, response: Response
) -> dict[str, Any]:
    """Taken away, so that the next level decides; 404 when one has no such preference."""
    place = await _own(house, environment, user.id, preference)
    return await _set(house, environment, user.id, place, None, response)


async def _own(house: ApiResources, environment: Environment, person: str, preference: str) -> Place:
    place = place_of(preference)
    chosen = await house.stores.preferences.get(environment, person)
    if place is None or place not in {choice.place for choice in chosen.choices}:
        raise Problem(404, "Not found", "No preference of yours has this id.")
    return place


async def _set(
    house: ApiResources, environment: Environment, person: str, place: Place, enabled: bool | None, response: Response
) -> dict[str, Any]:
    level, name, channel = place
    setting = Setting.model_validate({"level": level, "name": name, "channel": channel, "enabled": enabled})
    change_id, verdict = await Changing(house, environment, person).change(Change(settings=(setting,)))
    if verdict is None:
        response.status_code = 202
        return ok(pending(change_id) | {"id": preference_id(place)}, "Accepted: it will be carried out before long.")
    if enabled is None:
        return ok(None, "Deleted.")
    return ok(shown(Choice(level=level, name=name, channel=channel, enabled=enabled)))
