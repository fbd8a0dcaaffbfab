"""Lets a delivery rest that nobody has claimed: timer first, then the row that waits for it."""

from datetime import UTC, datetime

from infrastructure.dynamo.deliveries import WAITING, DeliveryStore
from infrastructure.dynamo.timers import TimerStore
from schemas.deliveries import Delivery, DeliveryRecord, row_of
from schemas.holds import Hold
from schemas.timers import turn_timer


class Holding:
    def __init__(self, deliveries: DeliveryStore, timers: TimerStore) -> None:
        self._deliveries = deliveries
        self._timers = timers

    async def rest(self, record: DeliveryRecord, hold: Hold, origin: str) -> Delivery:
        """The row as it then stands: resting, or as whoever was faster has left it."""
        turn = record.turn + 1
        wanted = row_of(
            record, datetime.now(UTC), state="RETRY", turn=turn, reason=hold.reason, next_at=hold.until
        ).with_step(origin)
        await self._timers.put(turn_timer(record.model_copy(update={"turn": turn}), hold.until))
        row = await self._deliveries.rest(wanted)
        if row.state in WAITING and row.turn > turn:  # whatever it waits for, its timer must be there
            again = record.model_copy(update={"turn": row.turn})
            await self._timers.put(turn_timer(again, row.next_at or datetime.now(UTC)))
        return row
