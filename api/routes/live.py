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
from api.tickets import CHECK_IDENTITY_EVERY_S, Listener, TicketText, taken
from api.wiring import ApiResources
from infrastructure.auth.user import User
from infrastructure.metrics import LIVE_CONNECTIONS
from schemas.audiences import EVERYONE
from schemas.outcomes import Unavailable
from schemas.requests import Slug
from schemas.topics import Environment

log = structlog.get_logger()

router = APIRouter(tags=["live"])

TOO_SLOW, TRY_LATER = 1013, 1012
_TOPICS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[Slug, ...])


@router.websocket("/ws/notifications")
async def notifications(
    websocket: WebSocket,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    user_id: Annotated[str | None, Query(max_length=255)] = None,
    topics: Annotated[str | None, Query(max_length=2000)] = None,
    ticket: TicketText = None,
) -> None:
    """Frames of design `live`; `cursor` (empty: from now on) asks for gap and read frames too.

    `ticket` is for pages elsewhere, which can send neither cookie nor header.

    `user_id` and `topics` are the older client's: the one must be the caller's own, the other subscribes the caller; whoever
    comes with either is reached by a broadcast from then on, as everybody who was connected used to be.
    """
    listener = await _listener(websocket, ticket)
    user, environment = listener.user, listener.environment
    if user_id is not None and user_id != user.id:
        raise WebSocketException(NOT_YOURS)
    await _admit(websocket, user)
    house: ApiResources = websocket.app.state.resources
    if topics or user_id is not None:
        await _subscribe(house, environment, user, _read_topics(topics or ""))
    connection = LiveConnection(
        lambda frame: websocket.send_text(frame.model_dump_json()),
        house,
        environment,
        user.id,
        with_cursor=cursor is not None,
    )
    now = datetime.now(UTC)
    await websocket.accept()
    with LIVE_CONNECTIONS.labels("websocket").track_inprogress():
        await _until_it_ends(websocket, listener, connection.run(cursor or None, now))


async def _listener(websocket: WebSocket, ticket: str | None) -> Listener:
    """Raises `WebSocketException` for nobody we know. A ticket says who listens, whatever cookie came along by itself."""
    if ticket is None:
        user = await user_of_socket(websocket)
        if user is None:
            raise WebSocketException(EXPIRED)
        house: ApiResources = websocket.app.state.resources
        return Listener(user, house.settings.default_environment, by_ticket=False)
    try:
        listener = await taken(websocket, ticket)
    except Unavailable as error:
        raise WebSocketException(TRY_LATER) from error
    if listener is None:
        raise WebSocketException(EXPIRED)
    return listener


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


async def _until_it_ends(websocket: WebSocket, listener: Listener, feeding: Coroutine[None, None, None]) -> None:
    """Whatever happens first: the client leaves, its login ends, it is too slow, or our floor is out."""
    tasks = [
        asyncio.create_task(feeding),
        asyncio.create_task(_until_it_leaves(websocket)),
        asyncio.create_task(_until_login_ends(websocket, listener)),
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


async def _until_login_ends(websocket: WebSocket, listener: Listener) -> None:
    while True:
        await asyncio.sleep(CHECK_IDENTITY_EVERY_S)
        if listener.by_ticket:
            is_over = listener.user.expires_at <= datetime.now(UTC)
        else:
            now = await user_of_socket(websocket)
            is_over = now is None or now.id != listener.user.id
        if is_over:
            raise WebSocketException(EXPIRED)
