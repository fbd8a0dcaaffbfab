"""Everything held about a person: handed over, or erased. `me` is whoever calls."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.erasing import Erasing, shown_erasure
from api.exporting import Export
from api.problems import Problem
from api.routes.people import Person
from api.subscribing import refuse_others
from infrastructure.auth.user import User
from infrastructure.erasing import Pseudonyms
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.redis.live import verdict_channel
from infrastructure.resources import seal_keys

log = structlog.get_logger()

router = APIRouter(prefix="/api/v1/people/{person}", tags=["people"])


def the_person(person: Person, user: CurrentUser) -> str:
    """Oneself; anybody with `people:write`."""
    whose = user.id if person == "me" else person
    refuse_others(user, whose)
    return whose


def the_eraser(house: House) -> Erasing:
    settings = house.settings
    sealing = SealingPublisher(house.publisher, seal_keys(settings)[0])
    return Erasing(house.stores.erasures, Pseudonyms.of(settings), sealing)


Whose = Annotated[str, Depends(the_person)]
Eraser = Annotated[Erasing, Depends(the_eraser)]


@router.get("/export", operation_id="exportPerson")
async def export(whose: Whose, user: CurrentUser, house: House, environment: InEnvironment) -> StreamingResponse:
    """Everything held about this person, as one JSON document that is written while it is read. docs/people.md has its
    shape. `data.complete` comes last: a document without it was cut off."""
    log.info("person.exported", by=_by(user, whose))
    pieces = Export(house.stores, house.catalogue, environment, whose).text()
    first = await anext(pieces)  # while the status can still say that the store is away
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="person.json"'}
    return StreamingResponse(_enveloped(first, pieces), media_type="application/json", headers=headers)


@router.delete("", operation_id="erasePerson")
async def erase(
    whose: Whose, user: CurrentUser, house: House, environment: InEnvironment, eraser: Eraser, response: Response
) -> dict[str, Any]:
    """Forgets this person: nothing that was sent to them before goes out any more, and what is held about them goes.

    200 when it is done, 202 with `Location` when it takes longer. Asking again does no harm. Whoever is written to, or logs
    in, afterwards is somebody new.
    """
    command = eraser.command(environment, whose)
    async with house.wakeups.listen(verdict_channel(environment, command.erasure_id)) as woken:
        await eraser.ask(command, by=_by(user, whose))
        found = await eraser.done(command, woken)
    name = "me" if whose == user.id else quote(whose, safe="")
    response.headers["Location"] = f"/api/v1/people/{name}/erasure?environment={environment}"
    if found is None:
        response.status_code = 202
        pending = {"erasure_id": command.erasure_id, "status": "ACCEPTED"}
        return ok(pending, "Accepted: it is carried out now. Location says how far it has come.")
    return ok(shown_erasure(found), "Erased.")


@router.get("/erasure", operation_id="getErasure")
async def erasure(whose: Whose, environment: InEnvironment, eraser: Eraser) -> dict[str, Any]:
    """How far the erasure of this person has come: what is gone, and when what may still come late is looked for."""
    found = await eraser.look(environment, whose)
    if found is None:
        raise Problem(404, "Not found", "Nobody of that name has been erased here.")
    return ok(shown_erasure(found))


def _by(user: User, whose: str) -> str:
    """For the log: operators by their name, people about themselves without it."""
    return "themselves" if user.id == whose else user.id


async def _enveloped(first: str, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    head, tail = json.dumps(ok(None), separators=(",", ":")).split('"data":null')
    yield head + '"data":' + first
    async for piece in pieces:
        yield piece
    yield tail
