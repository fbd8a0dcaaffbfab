"""What the stories about dead letters start from: a shop whose deliveries went wrong, an office with a quarantine."""

import json
from types import SimpleNamespace
from typing import Any, cast

from api.quarantine import Desk, Entry, Refused, Replayed, Sieve
from api.repairs import Repairs, Wanted
from infrastructure.kafka.browsing import Span
from infrastructure.kafka.quarantine import quarantine_record
from infrastructure.ports import Outgoing, Received
from infrastructure.resources import Stores
from schemas.outcomes import Dead
from tests.fakes.browsing import FakeLog
from tests.fakes.trouble import FakeMarks, FakeTrouble
from tests.unit.stories import REQUESTS, Floor, a_request, a_routed_email, as_read, now

STATUS = "notifications.dev.status"
QUARANTINE = "notifications.dev.quarantine"


class Shop:
    """A floor and the operators' way into it."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        stores = SimpleNamespace(
            notifications=floor.notifications,
            deliveries=floor.deliveries,
            timers=floor.timers,
            trouble=FakeTrouble(floor.deliveries),
        )
        self.house = SimpleNamespace(stores=stores)
        self.repairs = Repairs(cast(Stores, stores), floor.publisher)

    @property
    def ids(self) -> tuple[str, str]:
        return self.floor.row.notification_id, self.floor.row.delivery_id

    async def redrive(self) -> object:
        return await self.repairs.redrive("dev", *self.ids, "olga")

    async def redrive_all(self, count: int) -> None:
        """So many of them, one by one."""
        for row in list(self.floor.deliveries.rows.values())[:count]:
            await self.repairs.redrive("dev", row.notification_id, row.delivery_id, "ben")

    async def replays(self, wanted: Wanted, *, expected: int, per_s: float = 1000) -> list[str]:
        return [result async for result in self.repairs.replay("dev", wanted, "olga", expected=expected, per_s=per_s)]

    async def timers_fire(self) -> None:
        for key, timer in list(self.floor.timers.timers.items()):
            self.floor.timers.timers.pop(key)
            worker = self.floor.in_app if "in-app" in timer.topic else self.floor.external()
            await worker.handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))

    async def persist_reads(self) -> None:
        for sent in self.floor.publisher.on(STATUS):
            await self.floor.persist.handle(as_read(sent))
        for key in [key for key, timer in self.floor.timers.timers.items() if timer.timer_id.startswith("final#")]:
            self.floor.timers.timers.pop(key)


async def a_failed_email(*script: Any, **kinds: Any) -> Shop:
    floor, record = await a_routed_email(*(script or (Dead("smtp_550"),)), **kinds)
    await floor.external().handle(record)
    return Shop(floor)


async def a_crowd(count: int, *reasons: str) -> Shop:
    """So many failed e-mails, their reasons in turn."""
    floor = Floor(*(Dead(reasons[number % len(reasons)]) for number in range(count)))
    await floor.route.handle(a_request({"to": [{"email": f"p{number}@x.io"} for number in range(count)]}))
    for record in floor.handed_out():
        await floor.external().handle(record)
    return Shop(floor)


async def a_failed_inbox_item() -> Shop:
    floor = Floor()
    await floor.route.handle(a_request())
    [record] = floor.handed_out("in-app")
    await floor.in_app.bury(record, ValueError("a bug"))
    shop = Shop(floor)
    await shop.persist_reads()
    return shop


class Office:
    """A floor whose quarantine can be browsed."""

    def __init__(self) -> None:
        self.floor = Floor()
        self.log = FakeLog()
        self.marks = FakeMarks()
        self.desk = Desk(self.log, self.marks, self.floor.publisher)

    async def puts_away(self, **fields: Any) -> None:
        known: dict[str, Any] = {
            "key": b"ana",
            "value": b"{}",
            "headers": (),
            "origin": f"{REQUESTS}/0/7",
            "reason": "invalid",
        }
        await self.log.publish(quarantine_record("dev", **(known | fields)))

    async def route_reads(self, record: Received) -> None:
        """What route puts away lies in the log afterwards."""
        before = len(self.floor.publisher.on(QUARANTINE))
        await self.floor.route.handle(record)
        for sent in self.floor.publisher.on(QUARANTINE)[before:]:
            await self.log.publish(sent)

    async def entries(self, **sieve: str) -> list[Entry]:
        found, _ = await self.desk.newest("dev", Sieve(**sieve), Span(), 100)
        return found

    async def entry(self) -> Entry:
        [found] = await self.entries()
        return found

    async def replay(self, **how: Any) -> Replayed | Refused:
        return await self.desk.replay("dev", await self.entry(), "olga", **how)

    def put_back(self) -> list[Outgoing]:
        return self.floor.publisher.on(REQUESTS)


def a_raw(body: dict[str, Any], *headers: tuple[str, bytes], offset: int = 5) -> Received:
    return Received(REQUESTS, 0, offset, int(now().timestamp() * 1000), b"ana", json.dumps(body).encode(), headers)
