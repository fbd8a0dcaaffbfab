"""The stores in memory. Each says what the real one says; one contract suite (tests/contract) runs against both."""

# pylint: disable=super-init-not-called  # there is no client behind these

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from infrastructure.dynamo.caps import CapStore
from infrastructure.dynamo.client import Item
from infrastructure.dynamo.contacts import ContactStore, Member
from infrastructure.dynamo.deliveries import (
    WAITING,
    Claim,
    DeliveryStore,
    Won,
    cancelled_instead,
    claimed,
    standing,
)
from infrastructure.dynamo.expansions import ExpansionStore, at_the_beginning
from infrastructure.dynamo.inbox import MARKS, InboxStore, Standing, Withdrawal
from infrastructure.dynamo.notifications import NotificationStore, moved
from infrastructure.dynamo.pointers import PointerStore
from infrastructure.dynamo.schedules import Entry, ScheduleStore
from infrastructure.dynamo.timers import TimerStore
from schemas.audiences import EVERYONE, Progress, Tally
from schemas.base import iso
from schemas.cancelling import Cancellation, CancelledDelivery
from schemas.caps import Counted, Full, Scope, counted_with, strictest
from schemas.collapse import SUPERSEDED, Pointer
from schemas.deliveries import Delivery, DeliveryRecord, row_of
from schemas.holds import place_of_rest
from schemas.ids import shard_of
from schemas.live import InboxItem
from schemas.outcomes import Unavailable
from schemas.plan import Notification, Unplanned
from schemas.recipients import Contact
from schemas.requests import Unless
from schemas.rescheduling import Rescheduling
from schemas.timers import Timer, order_of, up_to
from schemas.topics import Environment

FAKE_SHARDS = 2


class Outage:
    """Shared by the fakes of one story: which of them are away, and in which order they were written.

    A store in `failing` refuses that many calls, behind those that `sparing` lets through.
    """

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.failing: dict[str, int] = {}
        self.sparing: dict[str, int] = {}
        self.writes: list[str] = []

    def touch(self, store: str) -> None:
        if store in self.away:
            raise Unavailable(f"{store} is away")
        if self.sparing.get(store):
            self.sparing[store] -= 1
        elif self.failing.get(store):
            self.failing[store] -= 1
            raise Unavailable(f"{store} is away")

    def write(self, store: str) -> None:
        self.touch(store)
        self.writes.append(store)


class FakeNotifications(NotificationStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str], Notification] = {}
        self.routed: set[tuple[str, str]] = set()
        self.notes: dict[tuple[str, str], Unplanned] = {}
        self.cancellations: dict[tuple[str, str], Cancellation] = {}
        self.moves: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self.wishes: dict[tuple[str, str], str] = {}
        self.reschedulings: dict[tuple[str, str], Rescheduling] = {}
        self._outage = outage or Outage()

    async def put_if_absent(self, notification: Notification) -> Notification:
        self._outage.write("notifications.put")
        key = (notification.environment, notification.notification_id)
        if key not in self.rows:
            found = self.cancellations.get(key)
            cancelled_at = found.cancelled_at if found else None
            self.rows[key] = notification.model_copy(update={"cancelled_at": cancelled_at})
        return await self._standing(key)

    async def get(self, environment: str, notification_id: str) -> Notification | None:
        self._outage.touch("notifications.get")
        key = (environment, notification_id)
        return await self._standing(key) if key in self.rows else None

    async def _standing(self, key: tuple[str, str]) -> Notification:
        return moved(self.rows[key], await self.moved_to(*key)).model_copy(update={"wish": self.wishes.get(key)})

    async def mark_routed(self, notification: Notification, at: datetime) -> None:
        self._outage.write("notifications.mark_routed")
        self.routed.add((notification.environment, notification.notification_id))

    async def note_unplanned(self, environment: str, notification_id: str, note: Unplanned) -> None:
        self._outage.write("notifications.note_unplanned")
        self.notes[environment, notification_id] = note

    async def unplanned(self, environment: str, notification_id: str) -> Unplanned | None:
        return self.notes.get((environment, notification_id))

    async def is_routed(self, environment: str, notification_id: str) -> bool:
        self._outage.touch("notifications.is_routed")
        return (environment, notification_id) in self.routed

    async def cancel(self, environment: str, notification_id: str, at: datetime) -> Notification | None:
        self._outage.write("notifications.cancel")
        key = (environment, notification_id)
        first = self.cancellations.setdefault(key, Cancellation(cancelled_at=at))
        if key in self.rows:
            self.rows[key] = self.rows[key].model_copy(update={"cancelled_at": first.cancelled_at})
        return self.rows.get(key)

    async def note_cancelled(self, environment: str, notification_id: str, answers: Sequence[CancelledDelivery]) -> None:
        self._outage.write("notifications.note_cancelled")
        key = (environment, notification_id)
        self.cancellations[key] = self.cancellations[key].model_copy(update={"deliveries": tuple(answers)})

    async def note_nothing_planned(self, environment: str, notification_id: str) -> None:
        if (environment, notification_id) not in self.rows:
            await self.note_cancelled(environment, notification_id, ())

    async def reschedule(
        self, environment: str, notification_id: str, asked: Rescheduling, at: datetime
    ) -> Notification | Literal["newer", "cancelled"] | None:
        self._outage.write("notifications.reschedule")
        key = (environment, notification_id)
        if key in self.cancellations:
            return "cancelled"
        if key in self.moves and self.moves[key][0] > at:
            return "newer"
        self.moves[key] = (at, asked.send_at)
        self.wishes[key] = asked.change_id
        return await self.get(environment, notification_id)

    async def moved_to(self, environment: str, notification_id: str) -> datetime | None:
        found = self.moves.get((environment, notification_id))
        return found[1] if found else None

    async def note_rescheduled(self, environment: str, notification_id: str, done: Rescheduling) -> None:
        self._outage.write("notifications.note_rescheduled")
        self.reschedulings[environment, notification_id] = done

    async def rescheduling(self, environment: str, notification_id: str) -> Rescheduling | None:
        return self.reschedulings.get((environment, notification_id))

    async def cancellation(self, environment: str, notification_id: str) -> Cancellation | None:
        return self.cancellations.get((environment, notification_id))


class FakeDeliveries(DeliveryStore):
    """The ledger with the same rules of claiming and settling."""

    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str, str], Delivery] = {}
        self.outage = outage or Outage()

    async def claim(self, record: DeliveryRecord, now: datetime) -> Claim:
        self.outage.write("deliveries.claim")
        found = self._found(record)
        if found is not None and not (found.state in WAITING and found.turn == record.turn):
            return standing(found)
        kept = found.model_dump(include={"attempt", "doubtful", "released"}) if found else {}
        return Won(self.move(found, claimed(record, now), **kept))

    async def take_over(self, record: DeliveryRecord, held: Delivery, now: datetime) -> Claim:
        self.outage.write("deliveries.claim")
        found = self._found(record)
        assert found is not None
        if found.state != "IN_FLIGHT" or found.claim_token != held.claim_token:
            return standing(found)
        changes = {"turn": held.turn, "doubtful": True, "attempt": found.attempt + 1, "released": found.released}
        return Won(self.move(found, claimed(record, now), **changes))

    async def settle(self, outcome: Delivery) -> Delivery | None:
        self.outage.write("deliveries.settle")
        found = self._found(outcome)
        if found is None or found.claim_token != outcome.claim_token:
            return None
        if found.state not in ("IN_FLIGHT", "UNKNOWN"):
            return found if (found.state, found.turn) == (outcome.state, outcome.turn) else None
        if outcome.state == "RETRY" and found.cancel_requested_at is not None:
            outcome = cancelled_instead(outcome)
        return self.move(found, outcome, cancel_requested_at=found.cancel_requested_at)

    async def note_late(self, outcome: Delivery) -> None:
        found = self._found(outcome)
        assert found is not None
        late = outcome.history[-1].model_copy(update={"event": "late"})
        self.put(found.model_copy(update={"history": (*found.history, late)}))

    async def cancel(self, record: DeliveryRecord, now: datetime, origin: str) -> Delivery:
        self.outage.write("deliveries.cancel")
        found = self._found(record)
        if found is None or found.state in WAITING:
            kept = {"attempt": found.attempt, "turn": found.turn, "doubtful": found.doubtful} if found else {}
            return self.move(found, row_of(record, now, state="CANCELLED", reason="cancelled").with_step(origin), **kept)
        if found.state == "IN_FLIGHT" and found.cancel_requested_at is None:
            return self.put(found.model_copy(update={"cancel_requested_at": now}))
        return found

    async def rest(self, wanted: Delivery) -> Delivery:
        self.outage.write("deliveries.rest")
        found = self._found(wanted)
        if found is not None and (found.state not in WAITING or found.turn != wanted.turn - 1 or found.released):
            return found
        kept = found.model_dump(include={"attempt", "doubtful", "released"}) if found else {}
        return self.move(found, wanted, **kept)

    async def supersede(self, record: DeliveryRecord, now: datetime, origin: str) -> Delivery | None:
        self.outage.write("deliveries.supersede")
        found = self._found(record)
        if found is None or found.state in WAITING:
            kept = {"attempt": found.attempt, "turn": found.turn, "doubtful": found.doubtful} if found else {}
            return self.move(found, row_of(record, now, state="SKIPPED", reason=SUPERSEDED).with_step(origin), **kept)
        return found if (found.state, found.reason) == ("SKIPPED", SUPERSEDED) else None

    async def get(self, environment: str, notification_id: str, delivery_id: str, shard: int = 0) -> Delivery | None:
        return self.rows.get((environment, notification_id, delivery_id))

    def _found(self, ids: DeliveryRecord | Delivery) -> Delivery | None:
        return self.rows.get((ids.environment, ids.notification_id, ids.delivery_id))

    def move(self, found: Delivery | None, row: Delivery, **changes: object) -> Delivery:
        """The row as written, with what the store itself keeps: version and history."""
        history = (*(found.history if found else ()), *row.history[-1:])
        version = (found.version if found else 0) + 1
        return self.put(row.model_copy(update={"version": version, "history": history, **changes}))

    async def record(self, delivery: Delivery) -> None:
        self.outage.write("deliveries.record")
        found = self.rows.get((delivery.environment, delivery.notification_id, delivery.delivery_id))
        if found is None or found.version < delivery.version:
            history = (*(found.history if found else ()), *delivery.history)
            self.put(delivery.model_copy(update={"history": history}))

    async def record_if_absent(self, delivery: Delivery) -> Delivery:
        self.outage.write("deliveries.record_if_absent")
        return self._found(delivery) or self.put(delivery)

    async def in_shard(self, environment: str, notification_id: str, shard: int) -> list[Delivery]:
        return [row for row in await self.of(environment, notification_id) if row.shard == shard]

    async def page(
        self, environment: str, notification_id: str, shard: int, *, after: str = "", limit: int
    ) -> list[Delivery]:
        self.outage.touch("deliveries.page")
        return [row for row in await self.in_shard(environment, notification_id, shard) if row.delivery_id > after][:limit]

    async def tally(self, environment: str, notification_id: str, shards: int) -> Tally:
        rows = await self.of(environment, notification_id, shards)
        return Tally(Counter(row.state for row in rows), sum(row.version for row in rows))

    async def of(self, environment: str, notification_id: str, shards: int = 1) -> list[Delivery]:
        self.outage.touch("deliveries.of")
        mine = [row for (where, which, _), row in self.rows.items() if (where, which) == (environment, notification_id)]
        return sorted(mine, key=lambda row: row.delivery_id)

    async def resting_of(
        self, environment: str, person: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Delivery]:
        mine = [row for row in self.rows.values() if (row.environment, row.recipient) == (environment, person) and row.held]
        mine.sort(key=place_of_rest)
        return [row for row in mine if place_of_rest(row) > (after or " ")][:limit]

    def put(self, row: Delivery) -> Delivery:
        self.rows[row.environment, row.notification_id, row.delivery_id] = row
        return row


class FakeInbox(InboxStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.items: dict[tuple[str, str, str], InboxItem] = {}
        self.withdrawn: dict[tuple[str, str, str], Withdrawal] = {}
        self.deleted: dict[tuple[str, str, str], InboxItem] = {}
        self._outage = outage or Outage()

    async def put_if_absent(self, environment: str, item: InboxItem) -> Standing:
        self._outage.write("inbox.put")
        key = (environment, item.person, item.id)
        if self.withdrawn.get(key, "deleted") != "deleted":
            return "withdrawn"
        if key in self.withdrawn:
            return "stored"
        self.items.setdefault(key, item)
        return "stored"

    async def standing(self, environment: str, person: str, item_id: str) -> Standing | None:
        key = (environment, person, item_id)
        if key in self.withdrawn:
            return "stored" if self.withdrawn[key] == "deleted" else "withdrawn"
        return "stored" if key in self.items else None

    async def withdraw(self, environment: str, person: str, item_id: str, at: datetime) -> Withdrawal:
        self._outage.write("inbox.withdraw")
        key = (environment, person, item_id)
        if key not in self.withdrawn:
            self.withdrawn[key] = "recalled" if self.items.pop(key, None) else "stopped"
        return self.withdrawn[key]

    async def supersede(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        self._outage.write("inbox.supersede")
        key = (environment, person, item_id)
        item = self.items.get(key)
        if key not in self.withdrawn and (item is None or item.read_at is None):
            self.items.pop(key, None)
            self.withdrawn[key] = "superseded"
        return self.withdrawn.get(key) == "superseded"

    async def newest(self, environment: str, person: str, *, before: str | None, limit: int) -> list[InboxItem]:
        found = [item for item in self._listed(environment, person) if before is None or item.cursor < before]
        return found[::-1][:limit]

    async def archived(self, environment: str, person: str, *, before: str | None, limit: int) -> list[InboxItem]:
        found = [item for item in self._of(environment, person) if item.archived_at]
        return [item for item in found[::-1] if before is None or item.cursor < before][:limit]

    async def since(self, environment: str, person: str, *, after: str, limit: int) -> list[InboxItem]:
        return [item for item in self._listed(environment, person) if item.cursor > after][:limit]

    async def archive(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        key = (environment, person, item_id)
        return self._mark_at(key, "seen_at", at) and self._mark_at(key, "archived_at", at)

    async def unarchive(self, environment: str, person: str, item_id: str) -> bool:
        key = (environment, person, item_id)
        if key in self.items:
            self.items[key] = self.items[key].model_copy(update={"archived_at": None})
        return key in self.items

    async def delete(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        key = (environment, person, item_id)
        if item := self.items.pop(key, None):
            self.withdrawn[key] = "deleted"
            self.deleted[key] = item.model_copy(update={"seen_at": item.seen_at or at})
        return self.withdrawn.get(key) == "deleted"

    async def unread(self, environment: str, person: str) -> int:
        return len(await self.unread_ids(environment, person, len(self.items)))

    async def unread_ids(self, environment: str, person: str, limit: int) -> list[str]:
        return [item.id for item in self._listed(environment, person) if item.read_at is None][:limit]

    async def mark_read(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        return self._mark_at((environment, person, item_id), "read_at", at)

    async def mark_seen(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        return self._mark_at((environment, person, item_id), "seen_at", at)

    async def mark_clicked(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        key = (environment, person, item_id)
        return self._mark_at(key, "read_at", at) and self._mark_at(key, "clicked_at", at)

    async def answer(self, environment: str, person: str, item_id: str) -> Unless | None:
        self._outage.touch("inbox.answer")
        key = (environment, person, item_id)
        item = self.items.get(key) or self.deleted.get(key)
        return next((done for done in reversed(MARKS) if item and getattr(item, MARKS[done])), None)

    def _mark_at(self, key: tuple[str, str, str], name: str, at: datetime) -> bool:
        found = self.items.get(key)
        if found is not None and getattr(found, name) is None:
            self.items[key] = found.model_copy(update={name: at})
        return found is not None

    def _listed(self, environment: str, person: str) -> list[InboxItem]:
        return [item for item in self._of(environment, person) if item.archived_at is None]

    def _of(self, environment: str, person: str) -> list[InboxItem]:
        self._outage.touch("inbox.read")
        mine = [item for (where, who, _), item in self.items.items() if (where, who) == (environment, person)]
        return sorted(mine, key=lambda item: item.cursor)


class FakePointers(PointerStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str], Pointer] = {}
        self._outage = outage or Outage()

    async def newest(self, environment: str, collapse_id: str) -> Pointer | None:
        self._outage.touch("pointers.newest")
        return self.rows.get((environment, collapse_id))

    async def advance(self, environment: str, collapse_id: str, seen: Pointer | None, to: Pointer) -> Pointer:
        self._outage.write("pointers.advance")
        found = self.rows.get((environment, collapse_id))
        if found == seen and (seen is None or seen.is_behind(to)):
            found = self.rows[environment, collapse_id] = to
        return found or to


class FakeTimers(TimerStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.timers: dict[tuple[str, str], Timer] = {}
        self.leases: dict[tuple[str, int], tuple[str | None, int]] = {}
        self._outage = outage or Outage()

    async def put(self, timer: Timer) -> None:
        self._outage.write("timers.put")
        self.timers[timer.environment, timer.order] = timer

    async def due(self, environment: str, shard: int, now: datetime, limit: int) -> list[Timer]:
        self._outage.touch("timers.due")
        mine = (timer for (where, _), timer in self.timers.items() if where == environment and timer.shard == shard)
        return sorted((timer for timer in mine if timer.order < up_to(now)), key=lambda timer: timer.order)[:limit]

    async def get(self, environment: str, timer_id: str, due_at: datetime) -> Timer | None:
        return self.timers.get((environment, order_of(timer_id, due_at)))

    async def delete(self, timer: Timer) -> None:
        self.timers.pop((timer.environment, timer.order), None)

    async def lease(self, environment: str, shard: int, owner: str, seen: int | None, now: datetime) -> tuple[bool, int]:
        holder, version = self.leases.get((environment, shard), (None, 0))
        if holder not in (None, owner) and version != seen:
            return False, version
        self.leases[environment, shard] = (owner, version + 1)
        return True, version + 1

    async def release(self, environment: str, shard: int, owner: str) -> None:
        holder, version = self.leases.get((environment, shard), (None, 0))
        if holder == owner:
            self.leases[environment, shard] = (None, version + 1)


class FakeSchedules(ScheduleStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.entries: set[tuple[str, str, Entry]] = set()
        self._outage = outage or Outage()

    async def put(self, environment: str, owners: Iterable[str], entry: Entry) -> None:
        self._outage.write("schedules.put")
        written = Entry(entry.notification_id, datetime.fromisoformat(iso(entry.by)))
        self.entries |= {(environment, owner, written) for owner in owners}

    async def remove(self, environment: str, owners: Iterable[str], entry: Entry) -> None:
        self._outage.write("schedules.remove")
        self.entries = {
            (where, whose, each)
            for where, whose, each in self.entries
            if not (where == environment and whose in set(owners) and each.place == entry.place)
        }

    async def page(self, environment: str, owner: str, *, after: str, limit: int) -> list[Entry]:
        mine = sorted(
            (entry for *whose, entry in self.entries if whose == [environment, owner]), key=lambda each: each.place
        )
        return [entry for entry in mine if entry.place > after][:limit]


@dataclass
class _People:
    contacts: dict[tuple[str, str], Contact] = field(default_factory=dict)
    members: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=dict)


class FakeContacts(ContactStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self._people = _People()
        self._outage = outage or Outage()

    async def get(self, environment: str, person: str) -> Contact | None:
        self._outage.touch("contacts.get")
        return self._people.contacts.get((environment, person))

    async def change(self, environment: str, person: str, changes: Item) -> Contact:
        known = self._people.contacts.get((environment, person), Contact(person=person))
        changed = self._people.contacts[environment, person] = known.model_copy(update=changes)
        await self.subscribe(environment, person, (EVERYONE,))
        return changed

    async def bounced(self, environment: str, person: str, email: str, at: datetime) -> bool:
        self._outage.write("contacts.bounced")
        known = self._people.contacts.get((environment, person))
        if known is None or known.email != email:
            return False
        self._people.contacts[environment, person] = known.model_copy(update={"email_bounced_at": at})
        return True

    async def topics_of(self, environment: str, person: str) -> dict[str, datetime]:
        found = {
            topic: people[person]
            for (where, topic), people in self._people.members.items()
            if where == environment and person in people
        }
        return {topic: found[topic] for topic in sorted(found) if topic != EVERYONE}

    def forget(self, person: str) -> None:
        """Nobody knows any more where to reach them."""
        self._people.contacts.pop(("dev", person))

    async def shards(self, environment: str) -> int:
        return FAKE_SHARDS

    async def subscribe(self, environment: str, person: str, topics: tuple[str, ...], at: datetime | None = None) -> None:
        for topic in topics:
            self._people.members.setdefault((environment, topic), {}).setdefault(person, at or datetime.now(UTC))

    async def unsubscribe(self, environment: str, person: str, topics: tuple[str, ...]) -> None:
        for topic in topics:
            self._people.members.get((environment, topic), {}).pop(person, None)

    async def members(self, environment: str, topic: str, shard: int, *, after: str, limit: int) -> list[Member]:
        self._outage.touch("contacts.members")
        people = self._people.members.get((environment, topic), {})
        mine = sorted(person for person in people if person > after and shard_of(person, FAKE_SHARDS) == shard)
        return [Member(person, people[person]) for person in mine[:limit]]


class FakeExpansions(ExpansionStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str, int], Progress] = {}
        self._outage = outage or Outage()

    async def get(self, environment: Environment, notification_id: str, shard: int) -> Progress:
        self._outage.touch("expansions.get")
        found = self.rows.get((environment, notification_id, shard))
        return found or at_the_beginning(environment, notification_id, shard)

    async def advance(self, seen: Progress, to: Progress, *, due_at: datetime) -> Progress:
        self._outage.write("expansions.advance")
        standing_now = await self.get(seen.environment, seen.notification_id, seen.shard)
        if standing_now.version != seen.version:
            return standing_now
        row = to.model_copy(update={"version": seen.version + 1})
        self.rows[seen.environment, seen.notification_id, seen.shard] = row
        return row


class FakeCaps(CapStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.counted: dict[tuple[str, str, str], tuple[Counted, ...]] = {}
        self._outage = outage or Outage()

    async def count(
        self, environment: str, person: str, scopes: Sequence[Scope], notification_id: str, now: datetime
    ) -> Full | None:
        self._outage.write("caps.count")
        keys = [(environment, person, scope.key) for scope in scopes]
        found = [
            counted_with(self.counted.get(key, ()), scope, notification_id, now)
            for key, scope in zip(keys, scopes, strict=True)
        ]
        full = strictest([each for each in found if isinstance(each, Full)])
        if full is None:
            self.counted |= {key: each for key, each in zip(keys, found, strict=True) if not isinstance(each, Full)}
        return full
