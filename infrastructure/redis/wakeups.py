"""One Redis subscription per process, shared by everybody in it who waits for a wake-up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANGED = "changed"
_ALWAYS = "carillon:wakeups"  # a subscription without channels would end
_READ_S = 5.0
_AGAIN_S = 1.0
_WAITING_MOST = 256


class Wakeups:
    """Hands each message to those who listen on its channel. After an outage everybody is woken: messages were lost."""

    def __init__(self, redis: Redis) -> None:
        self._pubsub: PubSub = redis.pubsub(ignore_subscribe_messages=True)
        self._listeners: dict[str, set[asyncio.Queue[str]]] = {}
        # one at a time: two first commands at once would open two connections, and only one of them is read
        self._commands = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[asyncio.Queue[str]]:
        """A queue that gets the channel's messages; a slow listener gets one `changed` for what it missed."""
        queue: asyncio.Queue[str] = asyncio.Queue(_WAITING_MOST)
        first = channel not in self._listeners
        self._listeners.setdefault(channel, set()).add(queue)
        try:
            if first:
                await self._tell_redis(self._pubsub.subscribe, channel)
            yield queue
        finally:
            left = self._listeners[channel]
            left.discard(queue)
            if not left:
                del self._listeners[channel]
                await self._tell_redis(self._pubsub.unsubscribe, channel)

    async def run(self) -> None:
        """Reads until cancelled, through every outage."""
        while True:
            try:
                async with self._commands:
                    await self._pubsub.subscribe(_ALWAYS, *self._listeners)
                self._wake_everybody()
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("wakeups.interrupted", error=type(error).__name__)
                await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it without types

    async def _read(self) -> None:
        while True:
            message = await self._pubsub.get_message(timeout=_READ_S)
            if message is not None:
                text = message["data"].decode(errors="replace")
                for queue in self._listeners.get(message["channel"].decode(), ()):
                    _offer(queue, text)

    def _wake_everybody(self) -> None:
        for queues in self._listeners.values():
            for queue in queues:
                _offer(queue, CHANGED)

    async def _tell_redis(self, command: Callable[[str], Awaitable[object]], channel: str) -> None:
        """Redis away: the reader subscribes to every channel again when it is back."""
        with suppress(RedisError, OSError):
            async with self._commands:
                await command(channel)


def _offer(queue: asyncio.Queue[str], message: str) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        message = CHANGED
    queue.put_nowait(message)


@asynccontextmanager
async def open_wakeups(redis: Redis) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups(redis)
    reading = asyncio.create_task(wakeups.run(), name="wakeups")
    try:
        yield wakeups
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await wakeups.close()
