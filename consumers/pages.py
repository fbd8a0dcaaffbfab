"""A walk over one shard of an audience, and its pages: the next people, each once however many of the topics they are in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from infrastructure.dynamo.contacts import ContactStore
from infrastructure.ports import Received
from schemas.audiences import PAGE, Audience, ExpandRecord
from schemas.deliveries import DeliveryRecord
from schemas.plan import Notification, PlannedDelivery
from schemas.recipients import people_named


@dataclass(frozen=True)
class Walk:
    """One record on its way, and the notification as it was read for the step at hand."""

    record: Received
    carried: ExpandRecord
    notification: Notification
    audience: Audience

    def record_of(self, line: PlannedDelivery) -> DeliveryRecord:
        return self.notification.record_of(line, self.carried.correlation_id, self.carried.traceparent)


@dataclass(frozen=True)
class Page:
    """`last` is the name it ends at, somebody's who is in it or not; `more` says that it is not the end of the shard."""

    people: Sequence[str]
    last: str
    more: bool


async def next_page(contacts: ContactStore, walk: Walk, *, after: str, up_to: str = "") -> Page:
    """All topics are read side by side in the order of names: the first names of the merged pages are complete.

    Left out is who came after the cutoff, and who is named: they have a line of their own. What is left of a page that was
    begun ends `up_to` where it ended then; before that, when so many have joined meanwhile that one page does not hold them.
    """
    audience, carried = walk.audience, walk.carried
    reads = (
        contacts.members(carried.environment, topic, carried.shard, after=after, limit=PAGE) for topic in audience.topics
    )
    pages = await asyncio.gather(*reads)
    since: dict[str, datetime] = {}
    for member in (each for page in pages for each in page):
        since[member.person] = min(since.get(member.person, member.since), member.since)
    first = sorted(since)[:PAGE]
    within = [person for person in first if person <= up_to] if up_to > after else first
    more = len(since) > len(within) or any(len(page) == PAGE for page in pages)
    last = within[-1] if within else after
    if up_to > after and (len(within) < len(first) or not more):
        last = up_to
    named = set(people_named(walk.notification.request))
    people = [person for person in within if since[person] <= audience.cutoff and person not in named]
    return Page(people, last, more)
