"""What the stories about digests start from: types that gather, events, windows whose time comes without waiting."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from infrastructure.ports import Outgoing, Received
from schemas.caps import Cap
from schemas.catalogue import Catalogue
from schemas.deliveries import Delivery
from schemas.digest_terms import Digest
from schemas.digests import Window
from schemas.plan import Notification
from schemas.templates import Template
from schemas.types import NotificationType
from tests.unit.stories import Floor, a_request, as_read, now

DIGESTS = "notifications.dev.digests"
DAY = timedelta(days=1)
CATALOGUE = Catalogue.of(
    [
        NotificationType(name="post.commented", category="social", digest=Digest(window=timedelta(minutes=15))),
        NotificationType(name="post.liked", digest=Digest(window=timedelta(minutes=15), template="likes", limit=2)),
        NotificationType(name="news.item", digest=Digest(by_choice=True)),
        NotificationType(name="tip", caps=(Cap(max=1, window=timedelta(hours=2), over="digest"),)),
        NotificationType(name="linked", template="linked", digest=Digest(window=timedelta(hours=1))),
        NotificationType(name="order", template="order", digest=Digest(window=timedelta(hours=1))),
    ],
    [
        Template(
            name="likes", title="{{ count }} likes", body="{% for item in items %}{{ item.title }};{% endfor %}+{{ more }}"
        ),
        Template(name="linked", title="T", body="B", url="{{ where }}"),
        Template(name="order", title="Order {{ order }}", body="Order {{ order }} is on its way."),
    ],
)


def a_floor() -> Floor:
    floor = Floor()
    floor.catalogue = CATALOGUE
    return floor


def an_event(number: int = 1, **said: Any) -> Received:
    """Each accepted a moment after the one before it, however fast the test is."""
    message = {"title": f"Comment {number}", "body": f"Text {number}"}
    body = {"type": "post.commented", "message": message, "request_id": f"r-{number}"} | said
    return replace(a_request(body, offset=number), timestamp_ms=int(now().timestamp() * 1000) + number)


async def sends(floor: Floor, *numbers: int, **said: Any) -> None:
    for number in numbers:
        await floor.route.handle(an_event(number, **said))


def time_passes(floor: Floor, by: timedelta = DAY) -> None:
    """For every window: it was opened, and heard of its last event, so much earlier."""

    def earlier(window: Window) -> Window:
        return window.model_copy(update={"opened_at": window.opened_at - by})

    floor.digests.heads = {key: window and earlier(window) for key, window in floor.digests.heads.items()}
    floor.digests.newest = {key: earlier(window) for key, window in floor.digests.newest.items()}
    floor.digests.last_at = {key: at - by for key, at in floor.digests.last_at.items()}


def timers(floor: Floor) -> list[Received]:
    """Every window's timer, as schedule puts it back."""
    waiting = [timer for timer in floor.timers.timers.values() if timer.topic == DIGESTS]
    return [as_read(Outgoing(one.topic, one.key, one.value.encode()), offset) for offset, one in enumerate(waiting)]


async def windows_close(floor: Floor) -> None:
    time_passes(floor)
    for timer in timers(floor):
        await floor.digest.handle(timer)


def digests(floor: Floor) -> list[Notification]:
    return [found for found in floor.notifications.rows.values() if found.plan.told]


def the_digest(floor: Floor) -> Notification:
    [found] = digests(floor)
    return found


def row_of(floor: Floor, number: int) -> Delivery:
    [found] = [
        floor.deliveries.rows[row]
        for row in floor.deliveries.rows
        if floor.notifications.rows["dev", row[1]].request_id == f"r-{number}"
    ]
    return found


def told(floor: Floor) -> list[str]:
    """The events of all digests, by their request ids."""
    return sorted(
        floor.notifications.rows["dev", each].request_id
        for digest in digests(floor)
        for each in (digest.plan.told.notifications if digest.plan.told else ())
    )
