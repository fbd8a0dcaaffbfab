"""The way of a walk gone once more: what an audience has been handed already is taken back, or gets another time.

Page by page, from a place that the walk's own row remembers; a page that is repeated finds the same and changes nothing.
"""

from datetime import UTC, datetime

from consumers.cancelling import Canceller
from consumers.pages import Walk, next_page
from consumers.rescheduling import Rescheduler
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.deliveries import DeliveryStore
from schemas.audience_plan import audience_lines
from schemas.audiences import PAGE, Moving, Progress


class Retracing:
    def __init__(
        self, contacts: ContactStore, deliveries: DeliveryStore, canceller: Canceller, rescheduler: Rescheduler
    ) -> None:
        self._contacts = contacts
        self._deliveries = deliveries
        self._canceller = canceller
        self._rescheduler = rescheduler

    async def take_back(self, walk: Walk, progress: Progress) -> Progress:
        """Asks one page of people to stop, delivery by delivery: also those of which nothing has been begun."""
        page = await next_page(self._contacts, walk, after=progress.taken_back_to)
        reached = [person for person in page.people if person <= progress.cursor]
        lines = audience_lines(walk.notification, reached, {})
        await self._canceller.take_back(walk.record, walk.notification, lines, walk.carried.traceparent)
        is_all = not page.more or page.last >= progress.cursor
        return progress.taken_back_past(page.last, datetime.now(UTC), is_all=is_all)

    async def move(self, walk: Walk, progress: Progress) -> Progress:
        """Gives one page of the ledger the time that is in force, so far as it waits; also those who left meanwhile.

        What lies down only later finds that time by itself (`Waits.look_again`). The walks share the ledger's shards.
        """
        wish, ids = walk.notification.wish or "", (walk.carried.environment, walk.carried.notification_id)
        moving = progress.moving
        if moving is None or moving.wish != wish:
            moving = Moving(wish=wish, ledger=walk.carried.shard)
        rows = await self._deliveries.page(*ids, moving.ledger, after=moving.after, limit=PAGE)
        moved = await self._rescheduler.move_rows(walk.record, walk.notification, rows)
        after = rows[-1].delivery_id if len(rows) == PAGE else ""
        ledger = moving.ledger if after else moving.ledger + walk.audience.shards
        further = {"ledger": ledger, "after": after, "moved": moving.moved + moved}
        done = ledger >= walk.notification.plan.shards
        return progress.moved_past(moving.model_copy(update=further | {"done": done}), datetime.now(UTC))
