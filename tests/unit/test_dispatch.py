"""Which provider is called, whether now, and what follows when it fails: decided in one place."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from consumers.dispatch import Dispatcher
from infrastructure.ports import Content
from schemas.breaker import BreakerRules
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Ambiguous, CannotTell, Dead, Deferred, Found, NotFound, Outcome, Policy, ReadBack, Retry, Sent
from tests.fakes.provider import RecordingProvider
from tests.unit.stories import limits

HI = Content("Hello", "Hi")
DELIVERY = DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id="dlv_1", recipient="ana", channel="email")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def a_send(dispatcher: Dispatcher, address: str = "ana@x.io", policy: Policy = "at_least_once") -> Outcome:
    return await dispatcher.send(DELIVERY, address, HI, policy)


def two(first: Sequence[Outcome | Exception], second: Sequence[Outcome | Exception] = ()) -> list[RecordingProvider]:
    return [RecordingProvider(*first, name="first"), RecordingProvider(*second, name="second")]


@pytest.mark.parametrize(
    ("first", "policy", "outcome", "calls"),
    [
        (Sent("ok"), "at_least_once", Sent("ok", provider="first"), (1, 0)),
        (Retry("http_503"), "at_least_once", Sent("250 OK", "p-1", "second"), (1, 1)),
        (Retry("http_503"), "at_most_once", Sent("250 OK", "p-1", "second"), (1, 1)),
        (Ambiguous("ReadError"), "at_least_once", Sent("250 OK", "p-1", "second"), (1, 1)),
        (Ambiguous("ReadError"), "at_most_once", Ambiguous("ReadError"), (1, 0)),
        (Dead("http_400"), "at_least_once", Dead("http_400"), (1, 0)),
        (KeyError("a bug"), "at_most_once", Ambiguous("crash:KeyError"), (1, 0)),
    ],
)
async def test_the_second_provider_is_tried_where_that_cannot_double(
    first: Outcome | Exception, policy: Policy, outcome: Outcome, calls: tuple[int, int]
) -> None:
    providers = two([first])
    assert await a_send(Dispatcher(providers, limits(), {}), policy=policy) == outcome
    assert tuple(len(each.sent) for each in providers) == calls


async def test_when_both_fail_the_trail_names_them_and_doubt_about_one_stays_doubt() -> None:
    sure = Dispatcher(two([Retry("http_503", timedelta(seconds=9))], [Retry("smtp_451")]), limits(), {})
    assert await a_send(sure) == Retry("first: http_503; second: smtp_451"), "the second one named no wait"
    unsure = Dispatcher(two([Ambiguous("timeout")], [Retry("smtp_451")]), limits(), {})
    assert await a_send(unsure) == Ambiguous("first: timeout; second: smtp_451")


async def test_no_call_is_begun_that_could_outlast_the_attempt() -> None:
    providers = two([Retry("http_503")])
    clock = Clock()
    dispatcher = Dispatcher(providers, limits(timeout_s=5, attempt_s=8), {}, clock=clock)
    providers[0].open.clear()
    sending = asyncio.create_task(a_send(dispatcher))
    await providers[0].called.wait()
    clock.now_s += 4
    providers[0].open.set()
    assert await sending == Retry("http_503")
    assert providers[1].sent == []


async def test_an_answer_that_does_not_come_in_time_is_doubt() -> None:
    [silent, _] = two([])
    silent.open.clear()
    assert await a_send(Dispatcher([silent], limits(timeout_s=0.01), {})) == Ambiguous("timeout")


async def test_a_provider_that_fails_again_and_again_is_left_alone_until_one_call_finds_it_back() -> None:
    clock = Clock()
    [only, _] = two([Retry("http_503")] * 3)
    dispatcher = Dispatcher([only], limits(breaker=BreakerRules(3, 30.0)), {}, clock=clock)
    for _ in range(3):
        await a_send(dispatcher)
    assert dispatcher.closed_for_s() > 0
    refused = await a_send(dispatcher)
    assert isinstance(refused, Deferred)
    assert refused.reason == "provider_out"
    assert refused.wait >= timedelta(seconds=30)
    assert len(only.sent) == 3
    clock.now_s += 37
    assert dispatcher.closed_for_s() == 0
    only.open.clear()
    probe = asyncio.create_task(a_send(dispatcher))
    while len(only.sent) == 3:
        await asyncio.sleep(0)
    assert isinstance(await a_send(dispatcher), Deferred), "one probe at a time"
    only.open.set()
    assert isinstance(await probe, Sent)
    assert isinstance(await a_send(dispatcher), Sent)


async def test_a_probe_that_is_cut_off_by_a_stopping_worker_does_not_keep_the_place() -> None:
    clock = Clock()
    [only, _] = two([Retry("http_503")] * 3)
    dispatcher = Dispatcher([only], limits(breaker=BreakerRules(3, 30.0)), {}, clock=clock)
    for _ in range(3):
        await a_send(dispatcher)
    clock.now_s += 37
    only.open.clear()
    probe = asyncio.create_task(a_send(dispatcher))
    while len(only.sent) == 3:
        await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    only.open.set()
    assert isinstance(await a_send(dispatcher), Sent)


async def test_refusals_of_one_message_and_throttling_open_nothing() -> None:
    for outcome in (Dead("http_400"), Retry("http_429")):
        clock = Clock()
        [only, _] = two([outcome] * 9)
        dispatcher = Dispatcher([only], limits(breaker=BreakerRules(3, 30.0)), {}, clock=clock)
        for _ in range(9):
            await a_send(dispatcher)
            clock.now_s += 5
        assert dispatcher.closed_for_s() == 0
        assert len(only.sent) == 9


async def test_a_provider_that_throttles_rests_as_long_as_it_asked_and_the_other_goes_on() -> None:
    clock = Clock()
    providers = two([Retry("http_429", timedelta(seconds=120))])
    dispatcher = Dispatcher(providers, limits(), {}, clock=clock)
    for _ in range(3):
        assert isinstance(await a_send(dispatcher), Sent)
    assert [len(each.sent) for each in providers] == [1, 3]
    await a_send(dispatcher, "ben@elsewhere.io")
    assert len(providers[0].sent) == 2, "it was said for one destination"
    clock.now_s += 121
    await a_send(dispatcher)
    assert len(providers[0].sent) == 3


async def test_a_wish_beyond_what_anybody_waits_is_not_believed() -> None:
    clock = Clock()
    [only, _] = two([Retry("http_429", timedelta(days=9))])
    dispatcher = Dispatcher([only], limits(breaker=BreakerRules(3, 30.0)), {}, clock=clock)
    await a_send(dispatcher)
    assert isinstance(await a_send(dispatcher), Deferred)
    clock.now_s += 31
    assert isinstance(await a_send(dispatcher), Sent)


async def test_out_for_hours_its_records_rest_in_timers_instead_of_in_kafka() -> None:
    clock = Clock()
    [only, _] = two([Retry("http_503")] * 3)
    dispatcher = Dispatcher([only], limits(breaker=BreakerRules(3, 30_000.0), out_s=3600), {}, clock=clock)
    for _ in range(3):
        await a_send(dispatcher)
    assert dispatcher.closed_for_s() > 0
    clock.now_s += 3600
    assert dispatcher.closed_for_s() == 0, "the gate opens, though nothing can be sent"
    rest = await a_send(dispatcher)
    assert isinstance(rest, Deferred)
    assert rest.wait >= timedelta(minutes=5)


async def test_one_slow_destination_takes_its_own_places_and_nobody_elses() -> None:
    class SlowDomain(RecordingProvider):
        async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
            if address.endswith("@slow.io"):
                await asyncio.Event().wait()
            return await super().send(delivery, address, content)

    provider, clock = SlowDomain(), Clock()
    dispatcher = Dispatcher([provider], limits(destination_in_flight=2), {}, clock=clock)
    stuck = [asyncio.create_task(a_send(dispatcher, "x@slow.io")) for _ in range(2)]
    await turns(5)
    clock.now_s += 0.6
    busy = await a_send(dispatcher, "x@slow.io")
    assert isinstance(busy, Deferred)
    assert (busy.reason, timedelta(seconds=1) <= busy.wait <= timedelta(seconds=3)) == ("destination_busy", True)
    for _ in range(20):
        assert isinstance(await a_send(dispatcher, "ana@x.io"), Sent)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    waiting = asyncio.create_task(a_send(dispatcher, "x@slow.io"))
    await turns(5)
    assert not waiting.done(), "the places are free again"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def turns(number: int) -> None:
    """Lets what is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_at_a_quick_destination_a_place_is_waited_for() -> None:
    provider = RecordingProvider()
    dispatcher = Dispatcher([provider], limits(destination_in_flight=2), {})
    outcomes = await asyncio.gather(*(a_send(dispatcher) for _ in range(50)))
    assert {type(each) for each in outcomes} == {Sent}
    assert len(provider.sent) == 50


async def test_no_more_calls_than_places_are_under_way() -> None:
    provider = RecordingProvider()
    provider.open.clear()
    dispatcher = Dispatcher([provider], limits(destination_in_flight=3), {})
    sending = [asyncio.create_task(a_send(dispatcher)) for _ in range(9)]
    await turns(20)
    assert len(provider.sent) == 3
    provider.open.set()
    assert {type(each) for each in await asyncio.gather(*sending)} == {Sent}


async def test_beyond_its_pace_a_call_waits_in_a_timer() -> None:
    clock = Clock()
    provider = RecordingProvider(name="paced")
    dispatcher = Dispatcher([provider], limits(), {"paced": 2.0}, clock=clock)
    outcomes = [await a_send(dispatcher) for _ in range(3)]
    assert all(isinstance(each, Sent) for each in outcomes)
    clock.now_s -= 2
    late = await a_send(dispatcher)
    assert isinstance(late, Deferred)
    assert late.reason == "rate"


async def test_nobody_to_send_by_is_a_retry_and_an_address_nobody_serves_is_the_end() -> None:
    class Elsewhere(RecordingProvider):
        def destination(self, address: str) -> str | None:
            return None

    assert await a_send(Dispatcher([], limits(), {})) == Retry("no_provider_configured")
    assert await a_send(Dispatcher([Elsewhere()], limits(), {})) == Dead("no_such_target")


class Reading(RecordingProvider):
    def __init__(self, answer: ReadBack | Exception, name: str) -> None:
        super().__init__(name=name)
        self.answer = answer

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([NotFound()], NotFound()),
        ([NotFound(), Found("ok")], Found("ok")),
        ([NotFound(), CannotTell()], CannotTell()),
        ([KeyError("a bug")], CannotTell()),
        ([], CannotTell()),
    ],
)
async def test_a_look_finds_what_any_provider_shows_and_denies_only_what_all_deny(
    answers: list[ReadBack | Exception], expected: ReadBack
) -> None:
    providers = [Reading(answer, f"p{number}") for number, answer in enumerate(answers)]
    dispatcher = Dispatcher(providers, limits(), {})
    assert await dispatcher.look(DELIVERY, "ana@x.io", datetime(2026, 1, 1, tzinfo=UTC)) == expected
    assert dispatcher.reads_back == bool(providers)
