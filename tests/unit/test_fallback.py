"""Fallback: who gets a further channel when, as rules; and the steps that follow them."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from api.cli.trace import lines_of
from api.status import status_of, timeline_of
from infrastructure.ports import Outgoing, Received
from schemas.catalogue import Catalogue, Unresolved
from schemas.deliveries import Delivery
from schemas.fallback import ANSWERS, at_once, due_after, following, is_answered
from schemas.outcomes import Dead, Retry, Unavailable
from schemas.plan import PlannedDelivery
from schemas.requests import NotificationRequest, Unless
from schemas.types import NotificationType
from tests.unit.stories import Floor, a_request, as_read, now

MAIL_LATER = {"after": "10m", "unless": "seen", "channels": ["email"]}
SLACK_LATER = {"after": "1h", "unless": "read", "channels": ["slack"]}
TEN_MINUTES = timedelta(minutes=10)


async def a_floor(*script: Any, **body: Any) -> Floor:
    """Ana gets an inbox item, and later a mail."""
    floor = Floor(*script)
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"channels": ["in_app"], "fallback": [MAIL_LATER]} | body))
    return floor


async def stored(floor: Floor) -> str:
    """The first channel has settled; the id of its item."""
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    return next(line.delivery_id for line in floor.notification.plan.lines if line.channel == "in_app")


def fired(floor: Floor) -> Received:
    """The one timer, as schedule puts it back."""
    return floor.due_next()


def line_on(floor: Floor, channel: str) -> PlannedDelivery:
    return next(line for line in floor.notification.plan.lines if line.channel == channel)


def end_of(floor: Floor, channel: str) -> tuple[str, str | None]:
    row = floor.deliveries.rows["dev", floor.notification.notification_id, line_on(floor, channel).delivery_id]
    return row.state, row.reason


async def test_a_person_named_with_a_slack_target_has_their_turn_there_too() -> None:
    slack_next = SLACK_LATER | {"after": "10m", "unless": "seen"}
    floor = await a_floor(to={"user": "ana", "slack": "ops"}, fallback=[slack_next])
    await stored(floor)
    line = line_on(floor, "slack")
    assert (line.recipient, line.address, line.endpoint, line.skipped) == ("ana", "ops", "ops", None)
    assert fired(floor).topic == "notifications.dev.slack"


# What is asked


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channels": ["email"], "fallback": [MAIL_LATER]}, "/fallback/0/unless"),
        ({"channels": ["in_app", "email"], "fallback": [MAIL_LATER]}, "/fallback/0/channels"),
        ({"fallback": [MAIL_LATER, MAIL_LATER]}, "/fallback/1/channels"),
        ({"fallback": [{"after": "1m", "channels": ["slack", "slack"]}]}, "/fallback/0/channels"),
    ],
)
def test_steps_that_cannot_follow_are_refused_by_name(body: dict[str, Any], pointer: str) -> None:
    request = NotificationRequest.model_validate({"to": "ana", "message": "Hi"} | body)
    with pytest.raises(Unresolved) as refused:
        Catalogue.of((), ()).resolve(request)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize("after", ["0s", "-PT5M", "8d", "soon"])
def test_a_wait_is_positive_and_at_most_a_week(after: str) -> None:
    with pytest.raises(ValidationError):
        NotificationRequest.model_validate({"to": "ana", "message": "Hi", "fallback": [MAIL_LATER | {"after": after}]})


def test_a_type_has_a_fallback_and_a_request_may_say_otherwise() -> None:
    kind = NotificationType.model_validate({"name": "alert", "fallback": [MAIL_LATER]})

    def steps(**said: Any) -> list[str]:
        request = NotificationRequest.model_validate({"type": "alert", "to": "ana"} | said)
        return [channel for step in kind.steps_for(request) for channel in step.channels]

    assert steps() == ["email"]
    assert steps(fallback=[SLACK_LATER]) == ["slack"]
    assert steps(fallback=[]) == []
    assert steps(channels=["in_app"]) == [], "who names the channels has named all of them"


def test_a_type_whose_fallback_cannot_follow_stops_the_start() -> None:
    broken = NotificationType.model_validate({"name": "alert", "channels": ["email"], "fallback": [SLACK_LATER]})
    with pytest.raises(ValueError, match="alert, /fallback/0/unless"):
        Catalogue.of([broken], ())


@pytest.mark.parametrize("unless", ANSWERS)
def test_a_stronger_answer_includes_the_weaker_ones(unless: Unless) -> None:
    place = ANSWERS.index(unless)
    assert [is_answered(unless, done) for done in ANSWERS] == [index >= place for index in range(len(ANSWERS))]
    assert not is_answered(unless, None)


# The way of the steps


async def test_only_the_first_channels_go_out_and_the_rest_is_in_the_plan() -> None:
    floor = await a_floor(fallback=[MAIL_LATER, SLACK_LATER | {"channels": ["slack"]}])
    assert (len(floor.handed_out("in-app")), floor.handed_out("email"), floor.handed_out("slack")) == (1, [], [])
    assert [(line.channel, line.step) for line in floor.notification.plan.lines] == [
        ("in_app", 0),
        ("email", 1),
        ("slack", 2),
    ]
    found = status_of(floor.notification, [])
    assert found["counts"] == {"PENDING": 2, "SKIPPED": 1}
    assert [each["reason"] for each in found["deliveries"]] == [None, "waits_unless_seen", "no_address"]
    [step] = [event for event in timeline_of(floor.notification, []) if event["event"] == "planned"]
    assert (step["channel"], step["after_s"], step["unless"]) == ("email", 600, "seen")
    told = lines_of(found, timeline_of(floor.notification, []))
    assert any("planned    email to ana, 600 s after the step before unless seen" in line for line in told)
    assert "  still to come: email to ana, PENDING (waits_unless_seen)" in told


async def test_until_when_a_step_waits_is_known_once_its_clock_runs() -> None:
    floor = await a_floor()
    assert status_of(floor.notification, [])["deliveries"][1]["next_at"] is None
    await stored(floor)
    for sent in floor.publisher.on("notifications.dev.status"):
        await floor.persist.handle(as_read(sent))
    found = status_of(floor.notification, list(floor.deliveries.rows.values()))
    [waits] = [each for each in floor.timers.timers.values() if each.timer_id.startswith("step#")]
    assert found["deliveries"][1]["next_at"] == waits.due_at
    [told] = [line for line in lines_of(found, []) if "still to come" in line]
    assert told.endswith(f"PENDING (waits_unless_seen), at {waits.due_at:%H:%M:%S.%f}"[:-3])


async def test_nobody_answers_and_the_mail_goes_out_after_its_wait() -> None:
    floor = await a_floor()
    before = now()
    await stored(floor)
    [timer] = floor.timers.timers.values()
    assert before + TEN_MINUTES <= timer.due_at <= now() + TEN_MINUTES
    await floor.external().handle(fired(floor))
    assert end_of(floor, "email") == ("SENT", None)
    assert len(floor.channel.sent) == 1


@pytest.mark.parametrize("unless", ANSWERS)
@pytest.mark.parametrize("done", [*ANSWERS, None])
async def test_the_mail_goes_out_unless_the_person_has_done_as_much(unless: Unless, done: Unless | None) -> None:
    floor = await a_floor(fallback=[MAIL_LATER | {"unless": unless}])
    item = await stored(floor)
    if done is not None:
        assert await getattr(floor.inbox, f"mark_{done}")("dev", "ana", item, now())
    await floor.external().handle(fired(floor))
    assert end_of(floor, "email") == (("SKIPPED", done) if is_answered(unless, done) else ("SENT", None))
    assert len(floor.channel.sent) == (not is_answered(unless, done))


async def test_an_answer_between_two_attempts_ends_the_retries() -> None:
    floor = await a_floor(Retry("busy"))
    item = await stored(floor)
    first = fired(floor)
    floor.timers.timers.clear()
    await floor.external().handle(first)
    await floor.inbox.mark_read("dev", "ana", item, now())
    await floor.external().handle(fired(floor))
    assert end_of(floor, "email") == ("SKIPPED", "read")
    assert len(floor.channel.sent) == 1


async def test_a_death_before_the_timer_is_made_up_for_by_the_redelivery() -> None:
    floor = await a_floor()
    floor.outage.away.add("timers.put")
    with pytest.raises(Unavailable):
        await stored(floor)
    assert floor.timers.timers == {}
    floor.outage.away.clear()
    await stored(floor)
    assert len(floor.timers.timers) == 1


async def test_a_settled_mail_that_comes_again_puts_the_same_timer_again() -> None:
    floor = await a_floor(Dead("no such box"), fallback=[MAIL_LATER, SLACK_LATER], to={"user": "ana"})
    await stored(floor)
    mail = fired(floor)
    slack = line_on(floor, "slack").model_copy(update={"skipped": None, "address": "ops"})
    lines = tuple(slack if line.channel == "slack" else line for line in floor.notification.plan.lines)
    [key] = floor.notifications.rows
    plan = floor.notification.plan.model_copy(update={"lines": lines})
    floor.notifications.rows[key] = floor.notification.model_copy(update={"plan": plan})
    floor.timers.timers.clear()
    await floor.external().handle(mail)
    once = dict(floor.timers.timers)
    floor.timers.timers.clear()
    await floor.external().handle(mail)
    assert floor.timers.timers == once
    [timer] = once.values()
    assert timer.timer_id == f"step#{slack.delivery_id}"
    assert timer.due_at <= now(), "a step that failed starts the next at once"


async def test_a_mail_that_is_buried_starts_the_next_step_too() -> None:
    floor = await a_floor(channels=["in_app"], fallback=[MAIL_LATER])
    [record] = floor.handed_out("in-app")
    await floor.in_app.bury(record, KeyError("bug"))
    [timer] = floor.timers.timers.values()
    assert timer.due_at <= now()


async def test_a_person_whose_inbox_is_not_wanted_gets_the_mail_at_once() -> None:
    floor = await a_floor()
    lines = tuple(
        line.model_copy(update={"skipped": "muted"}) if line.channel == "in_app" else line
        for line in floor.notification.plan.lines
    )
    plan = floor.notification.plan.model_copy(update={"lines": lines})
    assert [line.channel for line in at_once(plan.lines)] == ["email"]


async def test_a_bare_address_has_no_inbox_and_no_further_steps() -> None:
    floor = await a_floor(to=[{"email": "c@x.io"}, "ana"], channels=["in_app", "email"], fallback=[SLACK_LATER])
    bare = [line for line in floor.notification.plan.lines if line.bare]
    assert [(line.channel, line.step) for line in bare] == [("email", 0)]


async def test_what_is_cancelled_while_it_waits_is_stopped_and_stays_stopped() -> None:
    floor = await a_floor()
    await stored(floor)
    await floor.route.handle(a_request(b'{"cancel": "r-1"}', offset=1))
    await floor.external().handle(fired(floor))
    assert end_of(floor, "email") == ("CANCELLED", "cancelled")
    assert floor.channel.sent == []


async def test_a_step_keeps_the_time_that_the_steps_before_it_took() -> None:
    floor = await a_floor(fallback=[MAIL_LATER | {"after": "7d"}])
    deadline = floor.external().deadline_of(floor.notification, line_on(floor, "email"))
    assert deadline == floor.notification.accepted_at + timedelta(days=7 + 6)


# When a step comes


def a_row(line: PlannedDelivery, state: str, reason: str | None = None) -> Delivery:
    ids = {"environment": "dev", "notification_id": "ntf_x", "delivery_id": line.delivery_id}
    whose = {"recipient": line.recipient, "channel": line.channel}
    return Delivery.model_validate(ids | whose | {"state": state, "reason": reason, "updated_at": now()})


@pytest.mark.parametrize(
    ("state", "reason", "wait"),
    [
        ("SENT", None, TEN_MINUTES),
        ("UNKNOWN", "timeout", TEN_MINUTES),
        ("FAILED", "bounced", timedelta(0)),
        ("EXPIRED", "deadline_passed", timedelta(0)),
        ("SKIPPED", "muted", timedelta(0)),
        ("CANCELLED", "cancelled", None),
        ("RETRY", "busy", None),
        ("IN_FLIGHT", None, None),
    ],
)
async def test_the_clock_starts_when_the_step_has_settled(state: str, reason: str | None, wait: timedelta | None) -> None:
    floor = await a_floor()
    line = line_on(floor, "in_app")
    row = a_row(line, state, reason)
    due = due_after(floor.notification.plan, line, 1, row, [])
    assert due == (None if wait is None else row.updated_at + wait)


@pytest.mark.parametrize(
    ("answer", "unless", "wait"),
    [("seen", "read", timedelta(hours=1)), ("read", "read", timedelta(0)), ("clicked", "seen", timedelta(0))],
)
async def test_an_answer_that_ended_one_step_leaves_time_for_the_next_question(
    answer: str, unless: str, wait: timedelta
) -> None:
    floor = await a_floor(fallback=[MAIL_LATER, SLACK_LATER | {"unless": unless}])
    plan = floor.notification.plan
    plan = plan.model_copy(update={"lines": tuple(each.model_copy(update={"skipped": None}) for each in plan.lines)})
    line = line_on(floor, "email")
    row = a_row(line, "SKIPPED", answer)
    assert [each.channel for each in following(plan.lines, line)] == ["slack"]
    assert due_after(plan, line, 2, row, []) == row.updated_at + wait


@pytest.mark.parametrize(("beside", "wait"), [("FAILED", timedelta(0)), ("SENT", TEN_MINUTES), (None, TEN_MINUTES)])
async def test_a_step_of_two_channels_has_come_to_nothing_only_when_both_have(beside: str | None, wait: timedelta) -> None:
    floor = await a_floor()
    line = line_on(floor, "in_app")
    row = a_row(line, "FAILED")
    others = [a_row(line, beside) if beside else None]
    assert due_after(floor.notification.plan, line, 1, row, others) == row.updated_at + wait


async def test_an_audience_has_its_further_steps_too_and_is_counted_when_the_last_has_ended() -> None:
    floor = Floor()
    for person in ("ana", "ben", "cleo"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    await floor.knows("ana", "ana@x.io")
    await floor.knows("ben", "ben@x.io")
    await floor.route.handle(a_request({"to": [{"topic": "news"}], "fallback": [MAIL_LATER]}))
    await floor.walks()
    assert floor.handed_out("email.bulk") == []
    for record in floor.handed_out("in-app.bulk"):
        await floor.in_app.handle(record)
    [item] = await floor.inbox.newest("dev", "ben", before=None, limit=1)
    await floor.inbox.mark_seen("dev", "ben", item.id, now())
    assert len(floor.timers.timers) >= 2
    for timer in [each for each in floor.timers.timers.values() if each.timer_id.startswith("step#")]:
        assert timer.topic == "notifications.dev.email.bulk"
        await floor.external().handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))
    for record in [as_read(sent) for sent in floor.publisher.on("notifications.dev.status")]:
        await floor.persist.handle(record)
    ended = {(row.recipient, row.channel): (row.state, row.reason) for row in floor.deliveries.rows.values()}
    assert ended == {
        ("ana", "in_app"): ("SENT", None),
        ("ben", "in_app"): ("SENT", None),
        ("cleo", "in_app"): ("SENT", None),
        ("ana", "email"): ("SENT", None),
        ("ben", "email"): ("SKIPPED", "seen"),
        ("cleo", "email"): ("SKIPPED", "no_address"),
    }
