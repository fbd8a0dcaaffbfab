"""Server-sent events: the frames of the live socket for clients that only listen (WHATWG HTML, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import StreamingResponse

from api.live import Frame, LiveConnection
from infrastructure.metrics import LIVE_CONNECTIONS
from schemas.live import NotificationFrame

HEARTBEAT_S = 15.0  # proxies close what is silent for a minute
RECONNECT_MS = 2000

Send = Callable[[Frame], Awaitable[None]]


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def as_event(frame: Frame) -> str:
    """Its id is the cursor that a browser sends back as `Last-Event-ID` when it comes again."""
    place = f"id: {frame.cursor}\n" if isinstance(frame, NotificationFrame) else ""
    return f"{place}event: {frame.type}\ndata: {frame.model_dump_json()}\n\n"


async def events(
    connected: Callable[[Send], LiveConnection], start: Callable[[LiveConnection], Awaitable[None]], *ends: Awaitable[object]
) -> AsyncIterator[str]:
    """Until the client leaves, our floor is out, the reader is too slow, or one of `ends` comes."""
    waiting: asyncio.Queue[str] = asyncio.Queue(1)  # a reader who does not take the next frame holds up the feeding

    async def send(frame: Frame) -> None:
        await waiting.put(as_event(frame))

    over = [asyncio.ensure_future(each) for each in (start(connected(send)), *ends)]
    try:
        with LIVE_CONNECTIONS.labels("sse").track_inprogress():
            yield f"retry: {RECONNECT_MS}\n\n"
            while not any(task.done() for task in over):
                getting = asyncio.create_task(waiting.get())
                await asyncio.wait((getting, *over), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                yield getting.result() if getting.done() else ": still here\n\n"
                getting.cancel()
    finally:
        for task in over:
            task.cancel()
        await asyncio.gather(*over, return_exceptions=True)
