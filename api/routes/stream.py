"""Listening without a socket: server-sent events, and one-time tickets for pages that can send no header."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.live import LiveConnection
from api.problems import Problem
from api.sse import EventStream, Send, events
from api.tickets import TheListener, until_login_ends

router = APIRouter(prefix="/api/v1/notifications", tags=["live"])

Place = Annotated[str | None, Query(max_length=200, description="Of the last item one has; without one, from now on")]
LastEventId = Annotated[str | None, Header(max_length=200, description="What a browser sends when it comes again")]


@router.post("/ticket", status_code=201, operation_id="createTicket")
async def ticket(
    request: Request, response: Response, user: CurrentUser, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """For a live connection of a page on another site, where a browser can send no header: `?ticket=` on
    `/ws/notifications` or `/stream`. Good for one connection, begun within seconds.
    """
    if "authorization" not in request.headers:
        detail = "A browser sends the session along, and a program its API key. Tickets are for bearer tokens."
        raise Problem(409, "No ticket needed", detail, type="no_ticket_needed")
    response.headers["Cache-Control"] = "no-store"
    text = await house.tickets.issue(environment, user)
    return ok({"ticket": text, "environment": environment, "expires_in_s": house.settings.ticket_ttl_s})


@router.get("/stream", operation_id="streamInbox", response_class=EventStream)
async def stream(
    request: Request, listener: TheListener, house: House, cursor: Place = None, last_event_id: LastEventId = None
) -> EventStream:
    """What arrives in one's inbox, as server-sent events: `notification`, `read`, `archived`, `unarchived`, `deleted`,
    `recalled`, and `gap` when the cursor cannot be followed."""

    def connected(send: Send) -> LiveConnection:
        return LiveConnection(send, house, listener.environment, listener.user.id, with_cursor=True)

    begins, now = last_event_id or cursor, datetime.now(UTC)
    ends = (until_login_ends(request, listener), request.app.state.leaving.wait())
    shown = events(connected, lambda connection: connection.run(begins, now), *ends)
    return EventStream(shown, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
