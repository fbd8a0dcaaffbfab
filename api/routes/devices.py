"""Where pushes go: the browsers and apps a person has registered. What lets one send to them is taken in, never shown."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from api.subscribing import refuse_others
from infrastructure.auth.user import User
from infrastructure.channels.vapid import public_key_of
from infrastructure.dynamo.devices import TooManyDevices
from infrastructure.settings import Settings
from schemas.devices import MAX_DEVICES, NewDevice, NotAPushService, WebDevice, device_of, push_service
from schemas.requests import Name

router = APIRouter(prefix="/api/v1", tags=["people"])

Person = Annotated[Name, Path(examples=["me"])]
DeviceId = Annotated[str, Path(pattern=r"^dev_[a-z2-7]{26}$", examples=["dev_mfrggzdfmztwq2lkmfrggzdfmz"])]


@router.get("/push", operation_id="getPushKey")
async def push_key(_: CurrentUser, house: House, __: InEnvironment) -> dict[str, Any]:
    """What a browser needs before it can subscribe: `applicationServerKey` of `PushManager.subscribe()`."""
    key = public_key_of(house.settings.vapid_private_key.get_secret_value())
    if key is None:
        raise Problem(404, "Not found", "This deployment sends no Web Push: it has no VAPID_PRIVATE_KEY.")
    return ok({"vapid_public_key": key})


@router.get("/people/{person}/devices", operation_id="listDevices")
async def devices(person: Person, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """The devices pushes to this person go to; their tokens and keys are not shown."""
    found = await house.stores.devices.of(environment, _whose(person, user))
    return ok([device.shown for device in found], meta={"most": MAX_DEVICES})


@router.post("/people/{person}/devices", status_code=201, operation_id="addDevice")
async def add(
    person: Person, body: NewDevice, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """From now on pushes to this person go here too. A browser says what `PushSubscription.toJSON()` gives.

    Said again it is the same device. Said by somebody else it becomes theirs: whoever shares a browser does not get what is
    meant for the person before them.
    """
    whose = _whose(person, user)
    if isinstance(body, WebDevice):
        _refuse_elsewhere(body, house.settings)
    try:
        device = await house.stores.devices.register(environment, whose, device_of(body, datetime.now(UTC)))
    except TooManyDevices:
        detail = f"{MAX_DEVICES} devices are registered, and that is as many as one may have: remove one first."
        raise Problem(409, "Too many devices", detail, type="too_many_devices") from None
    return ok(device.shown, "Registered.")


@router.delete("/people/{person}/devices/{device}", operation_id="removeDevice")
async def remove(
    person: Person, device: DeviceId, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """Nothing goes there any more, not even what is on its way: for a log-out. One that is not theirs stays as it is."""
    removed = await house.stores.devices.remove(environment, _whose(person, user), device)
    return ok({"id": device}, "Removed." if removed else "This person has no such device.")


def _refuse_elsewhere(told: WebDevice, settings: Settings) -> None:
    """We call what is registered here: only push services, never somebody's own or our own network."""
    try:
        push_service(told.subscription.endpoint, settings.web_push_hosts, settings.local_sandbox)
    except NotAPushService as error:
        errors = [{"pointer": "/subscription/endpoint", "detail": str(error)}]
        raise Problem(422, "Invalid request", "That is no push service; see errors.", errors=errors) from error


def _whose(person: str, user: User) -> str:
    whose = user.id if person == "me" else person
    refuse_others(user, whose)
    return whose
