"""The ledger's rows in trouble, for operators: found by a sparse index, read whole, moved only by conditional writes."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.ledger import TROUBLE_SHARDS, key_of, read_row, trouble_key, write_row
from infrastructure.dynamo.tables import DELIVERIES
from schemas.base import iso
from schemas.deliveries import Delivery
from schemas.holds import released
from schemas.troubled import DISCARDED, SETTLED, Look, Settlement, discarded, redriven, settled

_INDEX = "in_trouble"
_LOOKED_AT_MOST = 2000
_LAST = "~"  # sorts after everything a place is made of


@dataclass(frozen=True)
class Moved:
    """This call did it; the row as it now stands."""

    delivery: Delivery


@dataclass(frozen=True)
class Already:
    """An earlier call did the same: nothing was changed."""

    delivery: Delivery


@dataclass(frozen=True)
class NotSo:
    """The row is in a state in which this cannot be done; nothing was changed."""

    delivery: Delivery


Change = Moved | Already | NotSo


@dataclass(frozen=True)
class Page:
    """Some of the rows in order; `after` continues, None at the end. A page may be short although more follow."""

    rows: tuple[Delivery, ...]
    after: str | None


@dataclass(frozen=True)
class Grouped:
    """How many there are of each (channel, reason); `whole` unless there were more than could be looked at."""

    counts: dict[tuple[str, str], int]
    whole: bool

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class TroubleStore:
    """The index is a hint and lags a little; what is shown was read consistently from the row itself."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def page(self, environment: str, look: Look, *, after: str | None = None, limit: int = 100) -> Page:
        """At most `limit` rows that match, in the order of their time over all shards."""
        found: list[Delivery] = []
        looked = 0
        while True:
            places, more = await self._places(environment, look, after, limit)
            for key, row in zip(places, await self._rows(environment, places), strict=True):
                after = key["troubled_at"]
                if row is not None and look.shows(row):
                    found.append(row)
                if len(found) == limit:
                    return Page(tuple(found), after if more or key is not places[-1] else None)
            looked += len(places)
            if not more:
                return Page(tuple(found), None)
            if looked >= _LOOKED_AT_MOST:
                return Page(tuple(found), after)

    async def grouped(self, environment: str, look: Look, *, most: int = 10_000) -> Grouped:
        """Counts per channel and reason, over at most about `most` rows."""
        counts: Counter[tuple[str, str]] = Counter()
        after: str | None = None
        while True:
            page = await self.page(environment, look, after=after)
            counts.update((row.channel, row.reason or "") for row in page.rows)
            after = page.after
            if after is None or counts.total() >= most:
                return Grouped(dict(counts), after is None)

    async def redrive(self, seen: Delivery, by: str, now: datetime) -> Change:
        """FAILED or UNKNOWN to PENDING and its next turn, if it stands as it was seen. Its timer must be there already."""
        wanted = redriven(seen, by, now)
        try:
            condition = "#s_state IN (:failed, :unknown) AND #s_turn = :seen"
            values = {":failed": "FAILED", ":unknown": "UNKNOWN", ":seen": seen.turn}
            return Moved(await write_row(self._dynamo, wanted, condition, values))
        except ConditionFailed as failed:
            found = _found(failed, seen)
        return Already(found) if (found.state, found.turn) == ("PENDING", wanted.turn) else NotSo(found)

    async def release(self, seen: Delivery, by: str, now: datetime) -> Change:
        """Held to PENDING and its next turn, if it stands as it was seen. Its timer must be there already."""
        wanted = released(seen, by, now)
        try:
            condition = "#s_state = :retry AND #s_turn = :seen"
            return Moved(await write_row(self._dynamo, wanted, condition, {":retry": "RETRY", ":seen": seen.turn}))
        except ConditionFailed as failed:
            found = _found(failed, seen)
        return Already(found) if found.released else NotSo(found)

    async def settle(self, seen: Delivery, state: Settlement, by: str, note: str, now: datetime) -> Change:
        """UNKNOWN to what a person found out. The claim token stays, so that a late worker cannot overwrite it."""
        try:
            wanted = settled(seen, state, by, note, now)
            return Moved(await write_row(self._dynamo, wanted, "#s_state = :unknown", {":unknown": "UNKNOWN"}))
        except ConditionFailed as failed:
            found = _found(failed, seen)
        return Already(found) if is_done(found, SETTLED) and found.state == state else NotSo(found)

    async def discard(self, seen: Delivery, by: str, note: str, now: datetime) -> Change:
        """Takes a FAILED one off the list; it stays FAILED, and its history says who did not want to see it any more."""
        step = discarded(seen, by, note, now).model_dump(mode="json", exclude_defaults=True)
        try:
            row = await self._dynamo.update(
                DELIVERIES.named(seen.environment),
                key_of(seen),
                {"trouble": None, "troubled_at": None},
                append={"history": [step]},
                condition="#state = :failed AND attribute_exists(#s_trouble)",
                names={"#state": "state"},
                values={":failed": "FAILED"},
            )
            return Moved(read_row(row))
        except ConditionFailed as failed:
            found = _found(failed, seen)
        return Already(found) if is_done(found, DISCARDED) else NotSo(found)

    async def _places(self, environment: str, look: Look, after: str | None, limit: int) -> tuple[list[Item], bool]:
        """The next keys of the index in order, merged over its shards, and whether more follow."""
        first, last = _span(look, after)
        if first > last:  # DynamoDB refuses a span that is none
            return [], False
        queries = (
            self._dynamo.query(
                DELIVERIES.named(environment),
                "trouble = :trouble AND troubled_at BETWEEN :first AND :last",
                {":trouble": trouble_key(look.state, shard), ":first": first, ":last": last},
                index=_INDEX,
                forward=not look.newest_first,
                limit=limit + 2,
                consistent=False,
            )
            for shard in range(TROUBLE_SHARDS)
        )
        merged = [key for keys in await asyncio.gather(*queries) for key in keys if key["troubled_at"] != after]
        merged.sort(key=lambda key: str(key["troubled_at"]), reverse=look.newest_first)
        return merged[:limit], len(merged) > limit

    async def _rows(self, environment: str, places: list[Item]) -> list[Delivery | None]:
        """The rows themselves; None where one has moved on since the index was written."""
        keys = ({name: place[name] for name in DELIVERIES.key} for place in places)
        items = await asyncio.gather(*(self._dynamo.get(DELIVERIES.named(environment), key) for key in keys))
        return [
            read_row(item) if item and item.get("troubled_at") == key["troubled_at"] else None
            for key, item in zip(places, items, strict=True)
        ]


def _found(failed: ConditionFailed, seen: Delivery) -> Delivery:
    """The row that stood in the way; one that has expired meanwhile counts as it was seen."""
    return read_row(failed.item) if failed.item else seen


def is_done(found: Delivery, event: str) -> bool:
    """Whether this was the last thing that happened to it, apart from outcomes that came late."""
    return next((step.event for step in reversed(found.history) if step.event != "late"), None) == event


def _span(look: Look, after: str | None) -> tuple[str, str]:
    first = iso(look.since) if look.since else " "
    last = iso(look.until) + _LAST if look.until else _LAST
    if after is not None:
        return (first, after) if look.newest_first else (after, last)
    return first, last
