"""What operators see of a ledger in memory, and their marks on what lies in quarantine."""

# pylint: disable=super-init-not-called  # there is no client behind it

from collections.abc import Iterable
from datetime import datetime

from infrastructure.dynamo.marks import QuarantineMarks
from infrastructure.dynamo.troubled import Already, Change, Moved, NotSo, Page, TroubleStore, is_done
from schemas.deliveries import Delivery
from schemas.holds import released
from schemas.quarantined import Mark
from schemas.troubled import DISCARDED, SETTLED, Look, Settlement, discarded, listed_as, place, redriven, settled
from tests.fakes.stores import FakeDeliveries


class FakeTrouble(TroubleStore):
    """The rows in trouble of a fake ledger."""

    def __init__(self, ledger: FakeDeliveries) -> None:
        self._ledger = ledger
        self._discarded: set[tuple[str, int]] = set()

    async def page(self, environment: str, look: Look, *, after: str | None = None, limit: int = 100) -> Page:
        rows = [row for row in self._ledger.rows.values() if row.environment == environment and self._lists(row, look)]
        rows.sort(key=place, reverse=look.newest_first)
        later = [row for row in rows if after is None or ((place(row) < after) is look.newest_first and place(row) != after)]
        shown = [row for row in later if look.shows(row)]
        return Page(tuple(shown[:limit]), place(shown[limit - 1]) if len(shown) > limit else None)

    def _lists(self, row: Delivery, look: Look) -> bool:
        inside = (look.since is None or row.updated_at >= look.since) and (
            look.until is None or row.updated_at <= look.until
        )
        return listed_as(row) == look.state and inside and (row.delivery_id, row.version) not in self._discarded

    async def redrive(self, seen: Delivery, by: str, now: datetime) -> Change:
        self._ledger.outage.write("trouble.redrive")
        found, wanted = self._now(seen), redriven(seen, by, now)
        if found.state in ("FAILED", "UNKNOWN") and found.turn == seen.turn:
            return Moved(self._ledger.move(found, wanted))
        return Already(found) if (found.state, found.turn) == ("PENDING", wanted.turn) else NotSo(found)

    async def release(self, seen: Delivery, by: str, now: datetime) -> Change:
        self._ledger.outage.write("trouble.release")
        found = self._now(seen)
        if found.held and found.turn == seen.turn:
            return Moved(self._ledger.move(found, released(seen, by, now)))
        return Already(found) if found.released else NotSo(found)

    async def settle(self, seen: Delivery, state: Settlement, by: str, note: str, now: datetime) -> Change:
        self._ledger.outage.write("trouble.settle")
        found = self._now(seen)
        if found.state == "UNKNOWN":
            return Moved(self._ledger.move(found, settled(seen, state, by, note, now)))
        return Already(found) if is_done(found, SETTLED) and found.state == state else NotSo(found)

    async def discard(self, seen: Delivery, by: str, note: str, now: datetime) -> Change:
        self._ledger.outage.write("trouble.discard")
        found = self._now(seen)
        key = (found.delivery_id, found.version)
        if found.state == "FAILED" and key not in self._discarded:
            self._discarded.add(key)
            return Moved(
                self._ledger.put(found.model_copy(update={"history": (*found.history, discarded(seen, by, note, now))}))
            )
        return Already(found) if is_done(found, DISCARDED) else NotSo(found)

    def _now(self, seen: Delivery) -> Delivery:
        return self._ledger.rows[seen.environment, seen.notification_id, seen.delivery_id]


class FakeMarks(QuarantineMarks):
    def __init__(self) -> None:
        self.marks: dict[tuple[str, str], Mark] = {}

    async def put(self, environment: str, mark: Mark, *, again: bool = False) -> Mark:
        found = self.marks.get((environment, mark.position))
        if again or found is None or not found.is_final:
            self.marks[environment, mark.position] = mark
        return self.marks[environment, mark.position]

    async def get(self, environment: str, positions: Iterable[str]) -> dict[str, Mark]:
        wanted = set(positions)
        return {name: mark for (where, name), mark in self.marks.items() if where == environment and name in wanted}
