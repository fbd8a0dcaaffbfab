"""Quarantine, for operators: look, read one record whole, put it back where it came from, or set it aside for good."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from api.auth import requires
from api.cursors import Cursor, Limit, TheCursors, bad_cursor
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from api.quarantine import Desk, Entry, Refused, Sieve, open_desk
from api.shown import shown_entry, shown_whole
from infrastructure.auth.user import User
from infrastructure.kafka.browsing import Span
from schemas.base import Flag, UtcDatetime, Value
from schemas.topics import Environment

router = APIRouter(prefix="/api/v1/ops/quarantine", tags=["operators"])

CAN_LOOK = Depends(requires("ops:read"))
Operator = Annotated[User, Depends(requires("ops:write"))]
Partition = Annotated[int, Path(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Path(ge=0, le=2**63 - 1)]


async def the_desk(house: House) -> AsyncIterator[Desk]:
    async with open_desk(house.settings, house.stores.marks, house.publisher) as desk:
        yield desk


TheDesk = Annotated[Desk, Depends(the_desk)]


class ReplayQuarantinedIn(Value):
    again: Flag = False


@router.get("", operation_id="listQuarantine", dependencies=[CAN_LOOK])
async def newest(
    desk: TheDesk,
    environment: InEnvironment,
    cursors: TheCursors,
    reason: Annotated[str, Query(max_length=100, description="What the reason begins with.")] = "",
    text: Annotated[str, Query(max_length=200, description="What key or value contain, in any case.")] = "",
    since: UtcDatetime | None = None,
    until: UtcDatetime | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Newest first, without the bytes. A page may be short; `meta.next_cursor` continues, null at the end."""
    span = Span(since, until, _before(cursors.read(cursor)))
    entries, before = await desk.newest(environment, Sieve(reason, text), span, limit)
    return ok([shown_entry(entry) for entry in entries], meta={"next_cursor": cursors.write(before)})


@router.get("/{partition}/{offset}", operation_id="getQuarantined", dependencies=[CAN_LOOK])
async def one(partition: Partition, offset: Offset, desk: TheDesk, environment: InEnvironment) -> dict[str, Any]:
    """The whole record: headers, key and value as its sender wrote them."""
    return ok(shown_whole(await _entry(desk, environment, partition, offset)))


@router.post("/{partition}/{offset}/replay", operation_id="replayQuarantined")
async def replay(
    partition: Partition,
    offset: Offset,
    body: ReplayQuarantinedIn,
    operator: Operator,
    desk: TheDesk,
    environment: InEnvironment,
) -> dict[str, Any]:
    """Back to the Kafka topic it came from, as it was. Twice only with `again`, and even then it is one notification."""
    entry = await _entry(desk, environment, partition, offset)
    answer = await desk.replay(environment, entry, operator.id, again=body.again)
    if isinstance(answer, Refused):
        raise _refusal(answer)
    return ok({"to": answer.to.model_dump()}, "It is back where it came from; what is refused again comes here again.")


@router.post("/{partition}/{offset}/discard", operation_id="discardQuarantined")
async def discard(
    partition: Partition, offset: Offset, operator: Operator, desk: TheDesk, environment: InEnvironment
) -> dict[str, Any]:
    """Marked as dealt with; the record itself stays until its Kafka topic forgets it."""
    entry = await _entry(desk, environment, partition, offset)
    refused = await desk.discard(environment, entry, operator.id)
    if refused is not None:
        raise _refusal(refused)
    return ok({}, "It is marked as discarded.")


async def _entry(desk: Desk, environment: Environment, partition: int, offset: int) -> Entry:
    entry = await desk.at(environment, partition, offset)
    if entry is None:
        raise Problem(404, "Not found", "There is no record at this place, or not any more.")
    return entry


def _refusal(refused: Refused) -> Problem:
    return Problem(409, "Not done", f"Nothing was done: {refused.why}.", type="not_done")


def _before(found: Any) -> dict[int, int]:
    """The offset of each partition that the page before ended at."""
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(
        name.isdecimal() and isinstance(offset, int) and offset >= 0 for name, offset in found.items()
    ):
        raise bad_cursor()
    return {int(name): offset for name, offset in found.items()}
