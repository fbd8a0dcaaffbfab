"""API keys of backends: made, shown once, rotated with an overlap, revoked."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from api.auth import refuse_foreign_environment, requires
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from infrastructure.auth.keyring import Issued, KeyIsOver, UnknownApiKey
from infrastructure.auth.user import User
from schemas.api_keys import KEY_ID, ApiKey, NewKey, Rotation, described, environment_of_key

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

MayWriteKeys = Annotated[User, Depends(requires("keys:write"))]
NO_STORE = {"Cache-Control": "no-store"}


async def the_key(
    key_id: Annotated[str, Path(pattern=f"^{KEY_ID}$", examples=["dev7k3mhw2qv5xna4tz"])], caller: MayWriteKeys, house: House
) -> ApiKey:
    """The key a path names, as far as the caller may see it."""
    environment = environment_of_key(key_id)
    refuse_foreign_environment(caller, environment)
    if environment not in house.settings.environments:
        raise _unknown()
    try:
        return await house.keyring.one(key_id)
    except UnknownApiKey as error:
        raise _unknown() from error


TheKey = Annotated[ApiKey, Depends(the_key)]


@router.get("", operation_id="listKeys")
async def keys(_caller: MayWriteKeys, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Every key of an environment, also revoked and expired ones, with the hour of its last use; the oldest first."""
    now = datetime.now(UTC)
    return ok([described(key, now) for key in await house.keyring.all_of(environment)])


@router.post("", status_code=201, operation_id="createKey")
async def create(body: NewKey, caller: MayWriteKeys, house: House, response: Response) -> dict[str, Any]:
    """A new key. `data.key` is shown this once; send it as `X-API-Key`."""
    environment = body.environment or caller.environment or house.settings.default_environment
    refuse_foreign_environment(caller, environment)
    if environment not in house.settings.environments:
        raise Problem(422, "Invalid request", f"This deployment serves {', '.join(house.settings.environments)}.")
    lacking = sorted(permission for permission in body.permissions if not caller.may(permission))
    if lacking:
        raise Problem(403, "Forbidden", f"A key can be given only what its maker may do: you lack {', '.join(lacking)}.")
    issued = await house.keyring.create(body, environment, caller.id, datetime.now(UTC))
    response.headers["Location"] = f"/api/v1/keys/{issued.key.key_id}"
    return _shown_once(issued, response, "Keep it now: it will not be shown again.")


@router.get("/{key_id}", operation_id="getKey")
async def get(key: TheKey) -> dict[str, Any]:
    """One key with its live secrets' ages, without the secrets."""
    return ok(described(key, datetime.now(UTC)))


@router.post("/{key_id}/rotate", operation_id="rotateKey")
async def rotate(
    key: TheKey, caller: MayWriteKeys, house: House, response: Response, body: Rotation | None = None
) -> dict[str, Any]:
    """A new secret under the same id; the one before works until `overlap` (24h; 0s for a leaked one) is over."""
    overlap = (body or Rotation()).overlap
    try:
        issued = await house.keyring.rotate(key.key_id, overlap, caller.id, datetime.now(UTC))
    except KeyIsOver as error:
        raise Problem(409, "Key is over", "It was revoked or has expired; make a new one.") from error
    return _shown_once(issued, response, f"Keep it now. The secret before works for {overlap} more.")


@router.delete("/{key_id}", operation_id="revokeKey")
async def revoke(key: TheKey, caller: MayWriteKeys, house: House) -> dict[str, Any]:
    """For good, for every secret of it: refused everywhere within 30 seconds."""
    revoked = await house.keyring.revoke(key.key_id, caller.id, datetime.now(UTC))
    return ok(described(revoked, datetime.now(UTC)), "Revoked: refused everywhere within 30 seconds.")


def _shown_once(issued: Issued, response: Response, message: str) -> dict[str, Any]:
    response.headers.update(NO_STORE)
    return ok(described(issued.key, datetime.now(UTC)) | {"key": issued.presented}, message)


def _unknown() -> Problem:
    return Problem(404, "Not found", "No key has this id.")
