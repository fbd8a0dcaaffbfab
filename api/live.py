"""One live connection: woken by Redis, fed from the store, so nothing that was stored can be passed over in silence."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from api.wiring import ApiResources
from infrastructure.dynamo.inbox import CURSOR, cursor_of
from infrastructure.redis.live import ERASED, inbox_channel
from infrastructure.redis.wakeups import CHANGED
from schemas.base import iso
from schemas.live import ITEM_CHANGES, ChangeFrame, GapFrame, InboxItem, NotificationFrame
from schemas.topics import Environment

SEND_S = 5.0
LOOK_AGAIN_S = 15.0
PAGE = 100
CATCH_UP_MOST = 1000
# A put may land up to ten seconds after the time in its cursor, and workers' clocks differ: look back this far each time.
OVERLAP = timedelta(seconds=30)

Frame = NotificationFrame | ChangeFrame | GapFrame


class TooSlow(Exception):
    """The reader did not take a frame in time; it is dropped, never buffered for."""


class LiveConnection:
    """Sends what is new to one reader. `with_cursor` readers also get gap and read frames; old clients only items."""

    def __init__(
        self,
        send: Callable[[Frame], Awaitable[None]],
        resources: ApiResources,
        environment: Environment,
        person: str,
        *,
        with_cursor: bool,
    ) -> None:
        self._take = send
        self._resources = resources
        self._environment = environment
        self._person = person
        self._with_cursor = with_cursor
        self._sent: dict[str, str] = {}
        self._after = ""

    async def run(self, cursor: str | None, now: datetime) -> None:
        """From the reader's cursor, else from now, until cancelled; raises `TooSlow`."""
        async with self._resources.wakeups.listen(inbox_channel(self._environment, self._person)) as wakeups:
            await self._start(cursor, now)
            while True:
                await self._send_new()
                message = await _next(wakeups)
                if message is not None and self._with_cursor:
                    await self._send_change(message)

    async def _start(self, cursor: str | None, now: datetime) -> None:
        """A cursor that cannot be followed is answered by a gap and what is there now, never by silence."""
        if cursor and is_cursor(cursor, now) and not await self._too_much_since(cursor):
            self._after = cursor
            return
        # from now on: what is there already is known to the reader by its list, or by the snapshot read afterwards
        self._after = cursor_of(now, "")
        before = cursor_of(now - OVERLAP, "")
        known = await self._since(before, CATCH_UP_MOST)
        self._sent = {item.id: item.cursor for item in known if item.created_at <= now}
        if cursor:
            await self._send_gap()

    async def _too_much_since(self, cursor: str) -> bool:
        return len(await self._since(cursor, CATCH_UP_MOST + 1)) > CATCH_UP_MOST

    async def _send_gap(self) -> None:
        newest = await self._resources.stores.inbox.newest(self._environment, self._person, before=None, limit=20)
        unread = await self._resources.stores.inbox.unread(self._environment, self._person)
        items = [NotificationFrame.of(item) for item in newest]
        await self._send(GapFrame(snapshot={"unread": unread, "items": items}))

    async def _send_new(self) -> None:
        """Everything since a little before the last frame, page by page: the overlap alone may fill several."""
        look_from = _before(self._after, OVERLAP)
        while True:
            found = await self._since(look_from, PAGE)
            for item in found:
                if item.id not in self._sent:
                    await self._send(NotificationFrame.of(item))
                    self._sent[item.id] = item.cursor
                    self._after = max(self._after, item.cursor)
            if len(found) < PAGE:
                break
            look_from = found[-1].cursor
        self._forget()

    def _forget(self) -> None:
        """Remembers only what the next look can still bring."""
        horizon = _before(self._after, OVERLAP)
        self._sent = {item: cursor for item, cursor in self._sent.items() if cursor >= horizon}

    async def _send_change(self, message: str) -> None:
        """What was read, archived or deleted elsewhere, or recalled, or that all of it is gone; anything else only wakes."""
        if message == ERASED:
            await self._send_gap()
            return
        said, _, listed = message.partition(":")
        kind = next((each for each in ITEM_CHANGES if each == said), None)
        if kind is not None:
            ids = tuple(filter(None, listed.split(",")))
            unread = await self._resources.stores.inbox.unread(self._environment, self._person)
            await self._send(ChangeFrame(type=kind, ids=ids, unread=unread))

    async def _since(self, cursor: str, limit: int = PAGE) -> list[InboxItem]:
        return await self._resources.stores.inbox.since(self._environment, self._person, after=cursor, limit=limit)

    async def _send(self, frame: Frame) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._take(frame)
        except TimeoutError as error:
            raise TooSlow from error


def is_cursor(text: str, now: datetime) -> bool:
    """Whether it has the shape of one of ours and names a moment that has been and can be looked back from."""
    try:
        has_been = text < cursor_of(now + OVERLAP, "")
        return CURSOR.fullmatch(text) is not None and has_been and bool(_before(text, OVERLAP))
    except (ValueError, OverflowError):
        return False


def _before(cursor: str, span: timedelta) -> str:
    moment = datetime.fromisoformat(cursor.split("~", 1)[0])
    return f"{iso(moment - span)}~"


async def _next(wakeups: asyncio.Queue[str]) -> str | None:
    """The next message; None after a while, because a wake-up may be lost. Many that say `changed` are one."""
    try:
        message = await asyncio.wait_for(wakeups.get(), LOOK_AGAIN_S)
    except TimeoutError:
        return None
    while message == CHANGED and not wakeups.empty():
        message = wakeups.get_nowait()
    return message
