"""Collapse: the newest of a key counts, in whatever order and however often everything is handled."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.handlers import deliver_external
from infrastructure.ports import Received
from schemas.collapse import Pointer
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.deliveries import row_of as a_row
from schemas.ids import notification_id
from schemas.outcomes import Retry, Unavailable
from schemas.troubled import redriven
from tests.unit.stories import Floor, a_request, as_read, now

BASE_MS = int((now() - timedelta(minutes=5)).timestamp() * 1000)
BOTH = ["in_app", "email"]


def an_update(number: int, *, accepted_ms: int | None = None, **body: Any) -> Received:
    """The n-th thing said about one order; accepted a second after the one before it."""
    said = {"request_id": f"u-{number}", "message": f"Update {number}", "collapse_key": "order-42", "channels": BOTH}
    at = BASE_MS + 1000 * number if accepted_ms is None else accepted_ms
    return replace(a_request(said | body, offset=number), timestamp_ms=at)


def id_of(number: int) -> str:
    return notification_id("dev", "kafka", f"u-{number}")


async def a_floor(*script: Any) -> Floor:
    floor = Floor(*script)
    await floor.knows("ana", "ana@x.io")
    return floor


def handed_out(floor: Floor, number: int, channel: str) -> list[Received]:
    records = floor.handed_out(channel.replace("_", "-"))
    return [each for each in records if json.loads(each.value or b"")["notification_id"] == id_of(number)]


async def deliver(floor: Floor, number: int, channel: str) -> None:
    handler = floor.in_app if channel == "in_app" else floor.external()
    for record in handed_out(floor, number, channel):
        await handler.handle(record)


async def persisted(floor: Floor) -> None:
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))


async def test_one_that_was_scheduled_first_is_the_older_when_its_time_comes() -> None:
    floor = await a_floor()
    later = (now() + timedelta(hours=1)).isoformat()
    await floor.route.handle(an_update(0, send_at=later))
    waiting = floor.due_next()
    await floor.route.handle(an_update(1))
    its_time = json.loads(waiting.value or b"") | {"send_at": (now() - timedelta(seconds=1)).isoformat()}
    await floor.route.handle(replace(waiting, value=json.dumps(its_time).encode()))
    await deliver(floor, 1, "in_app")
    await deliver(floor, 0, "in_app")
    assert in_the_inbox(floor) == ["Update 1"]


def row_of(floor: Floor, number: int, channel: str) -> Delivery:
    [row] = [row for row in floor.deliveries.rows.values() if (row.notification_id, row.channel) == (id_of(number), channel)]
    return row


def end_of(floor: Floor, number: int, channel: str) -> tuple[str, str | None]:
    row = row_of(floor, number, channel)
    return row.state, row.reason


def in_the_inbox(floor: Floor) -> list[str]:
    return sorted(item.message for item in floor.inbox.items.values())


async def test_an_unread_item_goes_when_a_newer_one_comes_and_open_pages_are_told() -> None:
    floor = await a_floor()
    for number in (1, 2):
        await floor.route.handle(an_update(number))
        await deliver(floor, number, "in_app")
    assert in_the_inbox(floor) == ["Update 2"]
    assert ("recalled", "ana") in floor.announcer.woken
    await persisted(floor)
    assert end_of(floor, 1, "in_app") == ("SKIPPED", "superseded")


async def test_a_read_item_stays() -> None:
    floor = await a_floor()
    await floor.route.handle(an_update(1))
    await deliver(floor, 1, "in_app")
    [item] = floor.inbox.items.values()
    await floor.inbox.mark_read("dev", "ana", item.id, now())
    await floor.route.handle(an_update(2))
    await deliver(floor, 2, "in_app")
    assert in_the_inbox(floor) == ["Update 1", "Update 2"]
    await persisted(floor)
    assert end_of(floor, 1, "in_app") == ("SENT", None)


async def test_a_mail_that_waits_for_its_retry_ends_at_once_and_its_timer_finds_that() -> None:
    floor = await a_floor(Retry("busy"))
    await floor.route.handle(an_update(1))
    await deliver(floor, 1, "email")
    assert end_of(floor, 1, "email") == ("RETRY", "busy")
    await floor.route.handle(an_update(2))
    assert end_of(floor, 1, "email") == ("SKIPPED", "superseded")
    await floor.external().handle(floor.due_next())
    assert len(floor.channel.sent) == 1


async def test_a_mail_that_went_out_went_out() -> None:
    floor = await a_floor()
    for number in (1, 2):
        await floor.route.handle(an_update(number))
        await deliver(floor, number, "email")
    assert (end_of(floor, 1, "email"), end_of(floor, 2, "email")) == (("SENT", None), ("SENT", None))


async def test_an_older_one_that_comes_late_is_skipped_before_anything_of_it_goes_out() -> None:
    floor = await a_floor()
    for number in (2, 1):
        await floor.route.handle(an_update(number))
        for channel in BOTH:
            await deliver(floor, number, channel)
    await persisted(floor)
    assert (end_of(floor, 1, "in_app"), end_of(floor, 1, "email")) == (("SKIPPED", "superseded"),) * 2
    assert in_the_inbox(floor) == ["Update 2"]
    assert len(floor.channel.sent) == 1


@pytest.mark.parametrize("other", [{"collapse_key": "order-43"}, {"to": "ben"}, {"collapse_key": None}])
async def test_another_key_or_another_person_is_another_matter(other: dict[str, Any]) -> None:
    floor = await a_floor()
    await floor.route.handle(an_update(1, channels=["in_app"]))
    await floor.route.handle(an_update(2, channels=["in_app"], **other))
    for number in (1, 2):
        await deliver(floor, number, "in_app")
    assert in_the_inbox(floor) == ["Update 1", "Update 2"]


async def test_a_newer_one_that_its_person_does_not_get_replaces_nothing() -> None:
    floor = await a_floor()
    await floor.route.handle(an_update(1, to="ben", channels=["in_app"]))
    await floor.route.handle(an_update(2, to="ben", channels=["email"]))
    await deliver(floor, 1, "in_app")
    assert in_the_inbox(floor) == ["Update 1"]


async def test_the_waiting_step_of_a_fallback_ends_with_its_notification() -> None:
    floor = await a_floor()
    steps = [{"after": "1h", "channels": ["email"]}]
    await floor.route.handle(an_update(1, channels=["in_app"], fallback=steps))
    await deliver(floor, 1, "in_app")
    await floor.route.handle(an_update(2, channels=["in_app"]))
    assert end_of(floor, 1, "email") == ("SKIPPED", "superseded")
    await floor.external().handle(floor.due_next())
    assert floor.channel.sent == []


async def test_an_item_that_an_operator_sends_again_cannot_slip_in_behind_the_newer_one() -> None:
    floor = await a_floor()
    await floor.route.handle(an_update(1, channels=["in_app"]))
    [record] = handed_out(floor, 1, "in_app")
    carried = DeliveryRecord.model_validate_json(record.value or b"")
    failed = a_row(carried, now(), state="FAILED", version=1, reason="cannot_render")
    floor.deliveries.rows["dev", carried.notification_id, carried.delivery_id] = redriven(failed, "op", now())
    await floor.route.handle(an_update(2, channels=["in_app"]))
    # whoever handles the older one has looked for a newer one before there was any
    assert await floor.inbox.standing("dev", "ana", carried.delivery_id) == "withdrawn"


async def test_what_was_replaced_cannot_be_taken_back_once_more() -> None:
    floor = await a_floor()
    for number in (1, 2):
        await floor.route.handle(an_update(number))
    await floor.route.handle(a_request(b'{"cancel": "u-1"}', offset=9))
    found = await floor.notifications.cancellation("dev", id_of(1))
    assert found is not None
    assert [(each.answer, each.state) for each in found.deliveries or ()] == [("ended", "SKIPPED")] * 2


async def test_everybody_of_an_audience_has_the_newest_alone() -> None:
    floor = await a_floor()
    for person in ("ana", "ben"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    for number in (1, 2):
        await floor.route.handle(an_update(number, to=[{"topic": "news"}], channels=["in_app"]))
    await floor.walks()
    for record in floor.handed_out("in-app.bulk"):
        await floor.in_app.handle(record)
    assert in_the_inbox(floor) == ["Update 2", "Update 2"]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=12))
def test_a_pointer_orders_by_time_and_then_by_id(said: list[tuple[int, str]]) -> None:
    pointers = [Pointer(notification_id=name, accepted_at=now().replace(microsecond=at)) for at, name in said]
    newest = max(pointers, key=lambda each: each.place)
    assert not any(newest.is_behind(each) for each in pointers if each.accepted_at.second == newest.accepted_at.second)
    assert not newest.is_behind(None)


async def test_an_outage_between_the_claim_and_the_look_leaves_nothing_in_doubt() -> None:
    floor = await a_floor()
    await floor.route.handle(an_update(1))
    floor.outage.failing["pointers.newest"] = 1
    await deliver(floor, 1, "email")
    assert (end_of(floor, 1, "email"), row_of(floor, 1, "email").doubtful) == (("SENT", None), False)


# Any order, with replays, readings and deaths in between

WRITES = (
    "notifications.put",
    "inbox.supersede",
    "deliveries.supersede",
    "pointers.advance",
    "pointers.newest",
    "notifications.mark_routed",
    "inbox.put",
    "deliveries.claim",
    "timers.put",
)
STEPS = st.tuples(
    st.sampled_from(("route", "in_app", "email", "read", "fire")), st.integers(0, 2), st.sampled_from((None, *WRITES))
)


@dataclass
class Story:
    """Three updates of one order on one floor, and what a person has read of them."""

    floor: Floor
    accepted_ms: list[int]
    read: set[str] = field(default_factory=set)

    async def step(self, what: str, number: int, dies_at: str | None = None) -> None:
        """One step; a death at a write is an outage there, after which the record is not committed."""
        self.floor.outage.failing = {dies_at: 1} if dies_at else {}
        try:
            await self._do(what, number)
        except Unavailable:
            pass
        finally:
            self.floor.outage.failing = {}

    async def _do(self, what: str, number: int) -> None:
        match what:
            case "route":
                await self.floor.route.handle(an_update(number, accepted_ms=self.accepted_ms[number]))
            case "read":
                mine = [item for item in self.floor.inbox.items.values() if item.notification_id == id_of(number)]
                for item in mine:
                    self.read.add(item.message)
                    await self.floor.inbox.mark_read("dev", "ana", item.id, now())
            case "fire":
                for timer in list(self.floor.timers.timers.values()):
                    if timer.timer_id.startswith("turn#"):
                        value = json.loads(timer.value)
                        await self.floor.external().handle(
                            replace(a_request(timer.value.encode(), topic=timer.topic), key=value["recipient"].encode())
                        )
            case _:
                await deliver(self.floor, number, what)

    @property
    def newest(self) -> int:
        return max(range(3), key=lambda number: (self.accepted_ms[number], id_of(number)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STEPS, max_size=25),
    st.permutations(range(3)),
    st.lists(st.integers(0, 2), min_size=3, max_size=3),
    st.integers(0, 2),
)
def test_in_any_order_with_replays_and_deaths_the_newest_alone_is_left(
    steps: list[tuple[str, int, str | None]], order: list[int], accepted: list[int], refusals: int
) -> None:
    async def story() -> None:
        patience.setattr(deliver_external, "_HOLD_S", 0.0)
        floor = await a_floor(*[Retry("busy")] * refusals)
        told = Story(floor, [BASE_MS + at for at in accepted])
        for what, number, dies_at in steps:
            await told.step(what, number, dies_at)
        sent_by_then = len(floor.channel.sent)
        for number in order:  # whatever was not committed is handled again, to its end
            await told.step("route", number)
        assert len(floor.channel.sent) == sent_by_then
        for number in order:
            for channel in BOTH:
                await told.step(channel, number)
        await told.step("fire", 0)
        await persisted(floor)
        older = [number for number in range(3) if number != told.newest]
        assert end_of(floor, told.newest, "in_app") == ("SENT", None)
        assert end_of(floor, told.newest, "email")[0] in ("SENT", "RETRY")
        assert set(in_the_inbox(floor)) - told.read <= {f"Update {told.newest}"}
        for number in older:
            read = f"Update {number}" in told.read
            assert end_of(floor, number, "in_app") == (("SENT", None) if read else ("SKIPPED", "superseded"))
            assert end_of(floor, number, "email") in {("SENT", None), ("SKIPPED", "superseded")}
        assert len({call.delivery_id for call, *_ in floor.channel.sent}) <= 3

    with pytest.MonkeyPatch.context() as patience:
        asyncio.run(story())
