"""Producers hear once how it all ended: at once for an only delivery, else when the last one has ended."""

from datetime import timedelta
from typing import Any

import pytest

from consumers import completing as completing_module
from consumers.completing import Completing
from infrastructure.ports import Outgoing
from schemas.outcomes import Dead, Retry, Unavailable
from tests.eventually import eventually
from tests.unit.stories import Floor, a_request, a_routed_email, as_read, now

STATUS = "notifications.dev.status"


async def a_floor_with(body: dict[str, Any], *script: Any) -> Floor:
    """A routed request; nothing has been delivered yet."""
    floor = Floor(*script)
    await floor.route.handle(a_request(body))
    return floor


async def persist_reads(floor: Floor) -> None:
    """Every status event there is, from the first one."""
    for sent in floor.publisher.on(STATUS):
        await floor.persist.handle(as_read(sent))


async def time_passes(floor: Floor) -> None:
    """Every question about completion is asked, as schedule asks it."""
    for key, timer in list(floor.timers.timers.items()):
        if timer.topic != STATUS:
            continue
        await floor.persist.handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))
        floor.timers.timers.pop(key, None)


def finals(floor: Floor) -> list[dict[str, Any]]:
    return [receipt for receipt in floor.receipts() if receipt["verdict"] == "final"]


def ids_of_finals(floor: Floor) -> list[Any]:
    return [
        sent.headers["ce_id"]
        for sent in floor.publisher.on("notifications.dev.receipts")
        if "#final#" in str(sent.headers["ce_id"])
    ]


async def deliver(floor: Floor, *channels: str) -> None:
    for channel in channels:
        worker = floor.in_app if channel == "in-app" else floor.external()
        for record in floor.handed_out(channel):
            await worker.handle(record)


async def test_an_only_delivery_is_told_at_once_and_costs_no_call_of_the_store() -> None:
    floor, record = await a_routed_email()
    await floor.external().handle(record)
    before = list(floor.outage.writes)
    await persist_reads(floor)
    [final] = finals(floor)
    assert (final["producer"], final["request_id"], final["counts"]) == ("kafka", "r-1", {"SENT": 1})
    assert final["revision"] == floor.row.version
    assert final["notification_id"] == floor.notification.notification_id
    assert floor.outage.writes == before


async def test_a_failure_is_a_final_outcome_too() -> None:
    floor, record = await a_routed_email(Dead("smtp_550"))
    await floor.external().handle(record)
    await persist_reads(floor)
    assert [final["counts"] for final in finals(floor)] == [{"FAILED": 1}]


async def test_of_several_deliveries_the_last_end_brings_the_receipt() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"channels": ["in_app", "email"]}))
    await deliver(floor, "in-app")
    await persist_reads(floor)
    await time_passes(floor)
    assert finals(floor) == [], "the e-mail is still to come"
    await deliver(floor, "email")
    await persist_reads(floor)
    await time_passes(floor)
    [final] = finals(floor)
    rows = await floor.deliveries.of("dev", floor.notification.notification_id)
    assert final["counts"] == {"SENT": 2}
    assert final["revision"] == sum(row.version for row in rows)


async def test_one_that_is_tried_again_has_not_ended() -> None:
    floor = Floor(Retry("http_503"))
    await floor.route.handle(a_request({"to": [{"email": "a@x.io"}, {"email": "b@x.io"}]}))
    await deliver(floor, "email")
    await persist_reads(floor)
    await time_passes(floor)
    assert sorted(row.state for row in floor.deliveries.rows.values()) == ["RETRY", "SENT"]
    assert finals(floor) == []


async def test_ends_that_fall_together_share_a_timer() -> None:
    floor = await a_floor_with({"to": [{"user": f"p-{n}"} for n in range(20)]})
    await deliver(floor, "in-app")
    for sent in floor.publisher.on(STATUS):
        await floor.persist.handle(as_read(sent))
    assert 1 <= len(floor.timers.timers) <= 2, "two when a second begins in between"


async def test_skips_are_counted() -> None:
    floor = await a_floor_with({"to": "ana", "channels": ["in_app", "email"]})
    await deliver(floor, "in-app")
    await persist_reads(floor)
    await time_passes(floor)
    assert [final["counts"] for final in finals(floor)] == [{"SENT": 1, "SKIPPED": 1}]


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ({"channels": ["email"]}, {"SKIPPED": 1}),
        ({"to": [{"user": "ana"}, {"user": "ben"}], "channels": ["email"]}, {"SKIPPED": 2}),
        ({"expires_at": (now() - timedelta(hours=1)).isoformat()}, {"EXPIRED": 1}),
        ({"to": {"topic": "nobody-listens"}}, {}),
    ],
)
async def test_a_request_with_nothing_to_deliver_is_told_so(body: dict[str, Any], counts: dict[str, int]) -> None:
    floor = await a_floor_with(body)
    await floor.walks()
    await persist_reads(floor)
    await time_passes(floor)
    assert [final["counts"] for final in finals(floor)] == [counts]


async def a_floor_with_an_audience(*people: str) -> Floor:
    floor = Floor()
    for person in people:
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"to": ["ana", {"topic": "news"}], "channels": ["in_app", "email"]}))
    return floor


async def test_an_audience_is_told_once_it_is_walked_and_everybody_in_it_has_an_end() -> None:
    floor = await a_floor_with_an_audience("ben", "cleo")
    await deliver(floor, "in-app", "email")
    await persist_reads(floor)
    await time_passes(floor)
    assert finals(floor) == [], "nobody has walked it yet"
    await floor.walks()
    await persist_reads(floor)
    await time_passes(floor)
    assert finals(floor) == [], "two inboxes are still to be filled"
    await deliver(floor, "in-app.bulk")
    await persist_reads(floor)
    await time_passes(floor)
    [final] = finals(floor)
    assert final["counts"] == {"SENT": 4, "SKIPPED": 2}
    assert final["revision"] == sum(row.version for row in floor.deliveries.rows.values())


async def test_a_cancelled_audience_is_told_when_all_of_it_was_taken_back() -> None:
    floor = await a_floor_with_an_audience("ben", "cleo")
    await floor.walks()
    await deliver(floor, "in-app", "email")
    await floor.route.handle(a_request(b'{"cancel": "r-1"}', offset=1))
    await persist_reads(floor)
    await time_passes(floor)
    assert finals(floor) == [], "the bulk ones are still to be taken back"
    await floor.walks()
    await persist_reads(floor)
    await time_passes(floor)
    [final] = finals(floor)
    assert final["counts"] == {"SENT": 1, "CANCELLED": 3, "SKIPPED": 2}


async def test_the_ends_of_an_audience_put_one_timer_and_not_one_each() -> None:
    floor = await a_floor_with_an_audience(*(f"p-{number}" for number in range(40)))
    await floor.walks()
    await deliver(floor, "in-app.bulk")
    persist, before = floor.persist, floor.outage.writes.count("timers.put")
    for sent in floor.publisher.on(STATUS):
        await persist.handle(as_read(sent))
    assert 1 <= floor.outage.writes.count("timers.put") - before <= 2, "two when a minute begins in between"


async def test_a_timer_that_could_not_be_put_is_not_thought_to_stand() -> None:
    floor = Floor()
    completing = Completing(floor.timers)
    floor.outage.failing["timers.put"] = 1
    with pytest.raises(Unavailable):
        await completing.ask("dev", "ntf_1", is_audience=True)
    await completing.ask("dev", "ntf_1", is_audience=True)
    assert len(floor.timers.timers) == 1


async def test_what_ends_in_the_next_step_puts_the_next_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing_module, "_EVERY_OF_AN_AUDIENCE", timedelta(milliseconds=100))
    floor = Floor()
    completing = Completing(floor.timers)

    async def asks_again() -> bool:
        await completing.ask("dev", "ntf_1", is_audience=True)
        return len(floor.timers.timers) == 3

    await eventually(asks_again)
    assert len({timer.due_at for timer in floor.timers.timers.values()}) == 3


async def test_a_cancelled_one_is_told_as_cancelled() -> None:
    floor, record = await a_routed_email()
    await floor.cancelled()
    await floor.external().handle(record)
    await persist_reads(floor)
    assert [final["counts"] for final in finals(floor)] == [{"CANCELLED": 1}]


async def test_the_same_revision_again_is_the_same_receipt() -> None:
    floor, record = await a_routed_email()
    await floor.external().handle(record)
    await persist_reads(floor)
    await persist_reads(floor)
    first, again = finals(floor)
    assert first == again
    assert len(set(ids_of_finals(floor))) == 1


async def test_what_happens_after_the_end_is_a_newer_revision() -> None:
    floor = Floor()
    await floor.route.handle(a_request())
    await deliver(floor, "in-app")
    await persist_reads(floor)
    await floor.route.handle(a_request(b'{"cancel": "r-1"}', offset=1))
    await persist_reads(floor)
    revisions = {final["revision"]: final["counts"] for final in finals(floor)}
    assert list(revisions.values()) == [{"SENT": 1}, {"CANCELLED": 1}]
    assert list(revisions) == sorted(revisions)


async def test_dying_between_the_row_and_the_receipt_repeats_the_receipt() -> None:
    floor = Floor()
    await floor.route.handle(a_request())
    await deliver(floor, "in-app")
    [*_, last] = floor.publisher.on(STATUS)
    floor.publisher.fail_next()
    with pytest.raises(Unavailable):
        await floor.persist.handle(as_read(last))
    assert (floor.row.state, finals(floor)) == ("SENT", [])
    await floor.persist.handle(as_read(last))
    assert [final["counts"] for final in finals(floor)] == [{"SENT": 1}]


async def test_a_question_about_a_notification_nobody_knows_is_passed_over() -> None:
    floor = await a_floor_with({"to": [{"user": "ana"}, {"user": "ben"}]})
    await deliver(floor, "in-app")
    await persist_reads(floor)
    floor.notifications.rows.clear()
    await time_passes(floor)
    assert finals(floor) == []
