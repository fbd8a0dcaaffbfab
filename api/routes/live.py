"""`WS /ws/notifications`: the identity comes from the session or the token, never from the URL."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect, WebSocketException
from pydantic import TypeAdapter, ValidationError

from api.auth import EXPIRED, NOT_YOURS, user_of_socket
from api.limits import admit
from api.live import LiveConnection, TooSlow
from api.problems import Problem
from api.subscribing import refuse_closed
from api.wiring import ApiResources
from infrastructure.auth.user import User
from infrastructure.metrics import LIVE_CONNECTIONS
from schemas.audiences import EVERYONE
from schemas.requests import Slug
from schemas.topics import Environment

log = structlog.get_logger()

router = APIRouter(tags=["live"])

TOO_SLOW, TRY_LATER = 1013, 1012
CHECK_IDENTITY_EVERY_S = 5.0  # a logout elsewhere ends this socket within that time
_TOPICS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[Slug, ...])


@router.websocket("/ws/notifications")
async def notifications(
    websocket: WebSocket,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    user_id: Annotated[str | None, Query(max_length=255)] = None,
    topics: Annotated[str | None, Query(max_length=2000)] = None,
) -> None:
    """Frames of design `live`; `cursor` (empty: from now on) asks for gap and read frames too.

    `user_id` and `topics` are the older client's: the one must be the caller's own, the other subscribes the caller; whoever
    comes with either is reached by a broadcast from then on, as everybody who was connected used to be.
    """
    user = await user_of_socket(websocket)
    if user is None:
        raise WebSocketException(EXPIRED)
    if user_id is not None and user_id != user.id:
        raise WebSocketException(NOT_YOURS)
    await _admit(websocket, user)
    house: ApiResources = websocket.app.state.resources
    environment = house.settings.default_environment
    if topics or user_id is not None:
        await _subscribe(house, environment, user, _read_topics(topics or ""))
    connection = LiveConnection(websocket, house, environment, user.id, with_cursor=cursor is not None)
    now = datetime.now(UTC)
    await websocket.accept()
    with LIVE_CONNECTIONS.labels("websocket").track_inprogress():
        await _until_it_ends(websocket, user, connection.run(cursor or None, now))


async def _admit(websocket: WebSocket, user: User) -> None:
    """Opening a socket counts like any other call."""
    try:
        await admit(websocket, user)
    except Problem as error:
        raise WebSocketException(TOO_SLOW) from error


async def _subscribe(house: ApiResources, environment: Environment, user: User, topics: tuple[str, ...]) -> None:
    try:
        refuse_closed(user, topics, house.settings)
    except Problem as error:
        raise WebSocketException(NOT_YOURS) from error
    await house.stores.contacts.subscribe(environment, user.id, (*topics, EVERYONE))


def _read_topics(text: str) -> tuple[str, ...]:
    try:
        return _TOPICS.validate_python([name for name in text.split(",") if name][:100])
    except ValidationError as error:
        raise WebSocketException(NOT_YOURS) from error


async def _until_it_ends(websocket: WebSocket, user: User, feeding: Coroutine[None, None, None]) -> None:
    """Whatever happens first: the client leaves, its login ends, it is too slow, or our floor is out."""
    tasks = [
        asyncio.create_task(feeding),
        asyncio.create_task(_until_it_leaves(websocket)),
        asyncio.create_task(_until_login_ends(websocket, user)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await _close(websocket, next(iter(done)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(websocket: WebSocket, ended: asyncio.Task[None]) -> None:
    error = ended.exception()
    if error is None or isinstance(error, WebSocketDisconnect):
        return
    code = TRY_LATER
    if isinstance(error, TooSlow):
        code = TOO_SLOW
    elif isinstance(error, WebSocketException):
        code = error.code
    else:
        log.warning("live.interrupted", error=type(error).__name__)
    await websocket.close(code)


async def _until_it_leaves(websocket: WebSocket) -> None:
    """Clients have nothing to say; what they say all the same is read and forgotten."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return


async def _until_login_ends(websocket: WebSocket, user: User) -> None:
    while True:
        await asyncio.sleep(CHECK_IDENTITY_EVERY_S)
        now = await user_of_socket(websocket)
        if now is None or now.id != user.id:
            raise WebSocketException(EXPIRED)
