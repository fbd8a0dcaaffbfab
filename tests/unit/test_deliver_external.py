"""deliver to a provider: one record, one attempt, exactly one consequence."""

import asyncio
from datetime import timedelta

import pytest

from consumers.handlers import deliver_external
from consumers.leases import Leases
from infrastructure.ports import Received
from schemas.catalogue import Catalogue
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import (
    Ambiguous,
    CannotTell,
    Dead,
    Deferred,
    Found,
    NotFound,
    Outcome,
    ReadBack,
    Retry,
    Sent,
    Unavailable,
)
from tests.unit.stories import LEASE, SCHEDULE, Floor, a_routed_email, now


@pytest.fixture(autouse=True)
def _quick_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_external, "_HOLD_S", 0.0)


def carried(record: Received) -> DeliveryRecord:
    return DeliveryRecord.model_validate_json(record.value or b"")


async def a_dead_workers_claim() -> tuple[Floor, Received]:
    """Somebody claimed the delivery and was never seen again."""
    floor, record = await a_routed_email()
    await floor.deliveries.claim(carried(record), now())
    return floor, record


async def test_a_delivery_is_sent_recorded_and_said() -> None:
    floor, record = await a_routed_email(Sent("250 OK", "p-7"))
    await floor.external().handle(record)
    [(delivery, address, content)] = floor.channel.sent
    assert (address, content.body, delivery.recipient) == ("ana@x.io", "Hi", "ana")
    assert (floor.row.state, floor.row.answer, floor.row.provider_id) == ("SENT", "250 OK", "p-7")
    assert floor.events() == ["routed", "sent"]


async def test_a_record_that_comes_again_says_the_same_again_and_sends_nothing() -> None:
    floor, record = await a_routed_email()
    for _ in range(3):
        await floor.external().handle(record)
    assert len(floor.channel.sent) == 1
    ids = [sent.headers["ce_id"] for sent in floor.publisher.on("notifications.dev.status")][1:]
    assert len(ids) == 3
    assert len(set(ids)) == 1


async def test_a_retry_rests_in_a_timer_before_its_row_says_so() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    await floor.external().handle(record)
    assert floor.outage.writes[-3:] == ["deliveries.claim", "timers.put", "deliveries.settle"]
    assert (floor.row.state, floor.row.attempt, floor.row.reason) == ("RETRY", 1, "http_503")
    assert carried(floor.due_next()).turn == 1
    assert floor.events()[-1] == "retrying"


async def test_dying_between_timer_and_row_loses_nothing() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    worker = asyncio.create_task(floor.external().handle(record))
    floor.outage.away.add("deliveries.settle")
    await floor.channel.called.wait()
    while not floor.timers.timers:
        await asyncio.sleep(0)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert floor.row.state == "IN_FLIGHT"
    assert len(floor.timers.timers) == 1


async def test_the_attempt_that_was_planned_is_made_and_a_stale_one_is_not() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    await floor.external().handle(record)
    await floor.external().handle(record)
    assert len(floor.channel.sent) == 1, "its turn is attempt 1"
    assert len(floor.timers.timers) == 1, "the same timer, put again"
    await floor.external().handle(floor.due_next())
    assert (len(floor.channel.sent), floor.row.state) == (2, "SENT")


async def test_a_providers_wish_for_more_time_is_kept() -> None:
    floor, record = await a_routed_email(Retry("http_429", timedelta(minutes=10)))
    before = now()
    await floor.external().handle(record)
    [timer] = floor.timers.timers.values()
    assert timer.due_at >= before + timedelta(minutes=10)
    assert floor.row.next_at == timer.due_at


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ((Retry("http_503"), Retry("http_503"), Retry("http_500")), "retries_spent:http_500"),
        ((Ambiguous("timeout"),) * 3, "retries_spent:ambiguous:timeout"),
        ((Retry("http_429", timedelta(days=1)),), "retries_spent:http_429"),
        ((KeyError("a bug of the adapter"),) * 3, "retries_spent:ambiguous:crash:KeyError"),
        ((Dead("smtp_550"),), "smtp_550"),
    ],
)
async def test_what_is_given_up_is_a_dead_letter_with_its_reason(
    script: tuple[Outcome | Exception, ...], reason: str
) -> None:
    floor, record = await a_routed_email(*script)
    await floor.external().handle(record)
    for _ in script[1:]:
        record = floor.due_next()
        floor.timers.timers.clear()
        await floor.external().handle(record)
    assert (floor.row.state, floor.row.reason) == ("FAILED", reason)
    [letter] = floor.dead_letters()
    assert (letter.headers["x-dlq-reason"], letter.key) == (reason, floor.row.delivery_id)
    assert (letter.value, letter.headers["x-dlq-origin"]) == (record.value, str(record.position))
    assert floor.events()[-1] == "failed"
    assert len(floor.channel.sent) == len(script)


async def test_a_dead_letter_that_is_met_again_is_said_again() -> None:
    floor, record = await a_routed_email(Dead("smtp_550"))
    for _ in range(2):
        await floor.external().handle(record)
    assert len(floor.dead_letters()) == 2
    assert len(floor.channel.sent) == 1


async def test_a_claim_of_another_is_looked_at_again_after_its_lease() -> None:
    floor, record = await a_dead_workers_claim()
    seen = now()
    await floor.external().handle(record)
    assert floor.channel.sent == []
    [timer] = floor.timers.timers.values()
    assert seen + LEASE <= timer.due_at <= now() + LEASE + timedelta(seconds=1)


async def test_a_lease_that_ran_out_unchanged_is_taken_over_and_sent() -> None:
    floor, record = await a_dead_workers_claim()
    await floor.external().handle(record)
    floor.a_lease_passes()
    await floor.external().handle(floor.due_next())
    assert (len(floor.channel.sent), floor.row.state) == (1, "SENT")
    assert (floor.row.attempt, floor.row.doubtful) == (1, True), "the dead worker's attempt counts, and may have gone out"


async def test_a_check_that_comes_early_by_somebodys_clock_waits_for_the_rest() -> None:
    floor, record = await a_dead_workers_claim()
    await floor.external().handle(record)
    check = floor.due_next()
    floor.monotonic_s += LEASE.total_seconds() / 2
    floor.timers.timers.clear()
    await floor.external().handle(check)
    assert floor.channel.sent == []
    [timer] = floor.timers.timers.values()
    assert timer.due_at <= now() + LEASE / 2 + timedelta(seconds=1)


async def test_a_worker_that_has_just_started_waits_a_lease_of_its_own() -> None:
    floor, record = await a_dead_workers_claim()
    await floor.external().handle(record)
    check = floor.due_next()
    floor.a_lease_passes()
    floor.leases = Leases(LEASE, clock=lambda: floor.monotonic_s)
    await floor.external().handle(check)
    assert floor.channel.sent == []


async def test_a_lease_that_changed_hands_is_not_taken_over() -> None:
    floor, record = await a_dead_workers_claim()
    dead = floor.row
    await floor.external().handle(record)
    check = floor.due_next()
    floor.a_lease_passes()
    await floor.deliveries.take_over(carried(check), dead, now())
    await floor.external().handle(check)
    assert floor.channel.sent == []
    assert len(floor.timers.timers) == 2, "the new holder is looked at after its own lease"


async def test_a_delivery_whose_workers_die_again_and_again_is_given_up() -> None:
    floor, record = await a_dead_workers_claim()
    for _ in range(len(SCHEDULE.waits)):
        await floor.deliveries.take_over(carried(record), floor.row, now())
    await floor.external().handle(record)
    floor.a_lease_passes()
    await floor.external().handle(record)
    assert (floor.channel.sent, floor.row.state, floor.row.reason) == ([], "FAILED", "attempts_spent")


class TestAtMostOnce:
    async def test_what_nobody_can_tell_rests_as_unknown_and_is_not_sent_again(self) -> None:
        floor, record = await a_routed_email(Ambiguous("timeout"), policy="at_most_once")
        for _ in range(2):
            await floor.external().handle(record)
        assert (len(floor.channel.sent), floor.row.state, floor.row.reason) == (1, "UNKNOWN", "timeout")
        assert (floor.events(), floor.timers.timers) == (["routed", "unknown", "unknown"], {})

    async def test_what_was_refused_for_certain_is_tried_again(self) -> None:
        floor, record = await a_routed_email(Retry("http_503"), policy="at_most_once")
        await floor.external().handle(record)
        await floor.external().handle(floor.due_next())
        assert (len(floor.channel.sent), floor.row.state) == (2, "SENT")

    async def test_a_dead_workers_attempt_is_never_repeated(self) -> None:
        floor, record = await a_routed_email(policy="at_most_once")
        await floor.deliveries.claim(carried(record), now())
        await floor.external().handle(record)
        floor.a_lease_passes()
        await floor.external().handle(floor.due_next())
        assert (floor.channel.sent, floor.row.state, floor.row.reason) == ([], "UNKNOWN", "lost_claim")

    async def test_who_was_thought_dead_and_comes_back_settles_it(self) -> None:
        floor, record = await a_routed_email(policy="at_most_once")
        floor.channel.open.clear()
        paused = asyncio.create_task(floor.external().handle(record))
        await floor.channel.called.wait()
        await floor.external().handle(record)
        floor.a_lease_passes()
        await floor.external().handle(floor.due_next())
        assert floor.row.state == "UNKNOWN"
        floor.channel.open.set()
        await paused
        assert (len(floor.channel.sent), floor.row.state) == (1, "SENT")

    @pytest.mark.parametrize(
        ("look", "state"), [(Found("ok", "p-9"), "SENT"), (NotFound(), "UNKNOWN"), (CannotTell(), "RETRY")]
    )
    async def test_a_provider_that_can_be_asked_is_asked(self, look: ReadBack, state: str) -> None:
        floor, record = await a_routed_email(Ambiguous("timeout"), policy="at_most_once")
        floor.looks.append(look)
        await floor.external().handle(record)
        assert floor.row.state == "RETRY", "a moment later, when what is on its way has arrived"
        floor.looks.append(CannotTell())  # keeps the provider one that can be asked
        await floor.external().handle(floor.due_next())
        assert (len(floor.channel.sent), floor.row.state) == (1, state)


async def test_a_doubtful_attempt_that_the_provider_shows_is_not_repeated() -> None:
    floor, record = await a_routed_email(Ambiguous("timeout"))
    floor.looks.append(Found("ok", "p-9"))
    await floor.external().handle(record)
    await floor.external().handle(floor.due_next())
    assert (len(floor.channel.sent), floor.row.state, floor.row.provider_id) == (1, "SENT", "p-9")


async def test_a_deferral_uses_up_no_attempt() -> None:
    floor, record = await a_routed_email(Deferred("busy", timedelta(seconds=2)))
    await floor.external().handle(record)
    assert (floor.row.state, floor.row.attempt, floor.row.turn, floor.row.reason) == ("RETRY", 0, 1, "busy")
    await floor.external().handle(floor.due_next())
    assert (floor.row.state, floor.row.attempt) == ("SENT", 0)


async def test_a_retry_becomes_cancelled_when_that_was_asked_for_meanwhile() -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    floor.channel.open.clear()
    sending = asyncio.create_task(floor.external().handle(record))
    await floor.channel.called.wait()
    found = await floor.deliveries.cancel(carried(record), now(), "t/0/9")
    assert found.state == "IN_FLIGHT"
    floor.channel.open.set()
    await sending
    assert (floor.row.state, floor.row.reason) == ("CANCELLED", "cancelled_after:http_503")


async def test_a_late_result_is_not_recorded_over_the_successors() -> None:
    floor, record = await a_routed_email(Dead("too late"), Sent("250 OK"))
    first_gate, second_gate = asyncio.Event(), asyncio.Event()
    floor.channel.open = first_gate
    late = asyncio.create_task(floor.external().handle(record))
    await floor.channel.called.wait()
    await floor.external().handle(record)

    floor.channel.called.clear()
    floor.channel.open = second_gate
    floor.a_lease_passes()
    successor = asyncio.create_task(floor.external().handle(floor.due_next()))
    await floor.channel.called.wait()
    first_gate.set()
    await late
    assert (floor.row.state, floor.events()) == ("IN_FLIGHT", ["routed"])

    second_gate.set()
    await successor
    assert (floor.row.state, floor.dead_letters()) == ("SENT", [])
    assert [step.event for step in floor.row.history] == ["late", "sent"], "it is kept all the same"


async def test_an_answer_that_does_not_come_is_ambiguous_and_tried_again() -> None:
    floor, record = await a_routed_email()
    floor.channel.open.clear()
    await floor.external(provider_timeout_s=0.01).handle(record)
    assert (floor.row.state, floor.row.reason) == ("RETRY", "ambiguous:timeout")


async def test_what_was_cancelled_is_not_sent() -> None:
    floor, record = await a_routed_email()
    await floor.cancelled()
    await floor.external().handle(record)
    assert (floor.channel.sent, floor.row.state, floor.events()[-1]) == ([], "CANCELLED", "cancelled")


async def test_what_expired_is_not_sent() -> None:
    floor, record = await a_routed_email()
    floor.expires()
    await floor.external().handle(record)
    assert (floor.channel.sent, floor.row.state, floor.row.reason) == ([], "EXPIRED", "deadline_passed")
    assert floor.dead_letters() == []


async def test_an_attempt_after_the_deadline_is_not_planned() -> None:
    soon = (now() + timedelta(seconds=2)).isoformat()
    floor, record = await a_routed_email(Retry("http_503"), body={"expires_at": soon})
    await floor.external().handle(record)
    assert (floor.row.state, floor.timers.timers) == ("FAILED", {})


async def test_a_text_that_cannot_be_made_fails_and_is_a_dead_letter() -> None:
    floor, record = await a_routed_email(body={"message": None, "type": "order.shipped"})
    await floor.external().handle(record)
    assert (floor.channel.sent, floor.row.state, floor.row.reason) == ([], "FAILED", "cannot_render")
    assert [letter.headers["x-dlq-reason"] for letter in floor.dead_letters()] == ["cannot_render"]


async def test_a_template_that_went_away_is_said_not_crashed() -> None:
    floor, record = await a_routed_email(body={"message": None, "type": "order.shipped", "variables": {"order": "1"}})
    floor.catalogue = Catalogue.of([], [])
    await floor.external().handle(record)
    assert floor.row.reason == "cannot_render"


@pytest.mark.parametrize("away", ["notifications.get", "deliveries.claim"])
async def test_before_the_call_an_outage_passes_through_and_nothing_is_sent(away: str) -> None:
    floor, record = await a_routed_email()
    floor.outage.away.add(away)
    with pytest.raises(Unavailable):
        await floor.external().handle(record)
    assert floor.channel.sent == []
    floor.outage.away.clear()
    await floor.external().handle(record)
    assert len(floor.channel.sent) == 1


@pytest.mark.parametrize("failing", ["timers.put", "deliveries.settle"])
async def test_after_the_call_an_outage_is_waited_out_so_that_nothing_is_sent_twice(failing: str) -> None:
    floor, record = await a_routed_email(Retry("http_503"))
    floor.outage.failing[failing] = 5
    await floor.external().handle(record)
    assert len(floor.channel.sent) == 1
    assert floor.row.state == "RETRY"


async def test_kafka_away_at_the_end_repeats_the_report_and_not_the_call() -> None:
    floor, record = await a_routed_email()
    floor.publisher.fail_next(1)
    with pytest.raises(Unavailable):
        await floor.external().handle(record)
    await floor.external().handle(record)
    assert len(floor.channel.sent) == 1
    assert floor.events() == ["routed", "sent"]


async def test_a_delivery_nobody_planned_is_quarantined() -> None:
    floor, record = await a_routed_email()
    floor.notifications.rows.clear()
    await floor.external().handle(record)
    assert floor.quarantined() == [(record.value, "not_planned")]
    assert floor.channel.sent == []


async def test_a_forged_delivery_id_is_quarantined() -> None:
    floor, record = await a_routed_email()
    forged = carried(record).model_copy(update={"delivery_id": "dlv_forged"}).model_dump_json().encode()
    await floor.external().handle(Received(record.topic, 0, 1, 0, record.key, forged))
    assert [reason for _, reason in floor.quarantined()] == ["not_planned"]
