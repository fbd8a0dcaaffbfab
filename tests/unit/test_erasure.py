"""A person is erased in the middle of everything: nothing that came before goes out, whoever works on it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from consumers.handlers import deliver_external
from consumers.handlers.preferences import ApplyPreferences
from infrastructure.erasing import Pseudonyms
from infrastructure.ports import Outgoing, Received
from schemas.erasures import Erasure
from schemas.forgetting import without
from schemas.outcomes import Retry, Sent, Unavailable
from schemas.plan import Unplanned
from schemas.preference_changes import Change, PreferenceCommand, Setting
from tests.unit.letters import a_failed_email
from tests.unit.stories import KEY, Floor, a_request, a_routed_email, as_read, now
from tests.unit.windows import a_floor, windows_close

COMMENT = {"type": "post.commented", "message": {"title": "Comment", "body": "Text"}}
MOMENT = timedelta(milliseconds=1)
ERASURES = "notifications.dev.erasures"


@pytest.fixture(autouse=True)
def _quick_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_external, "_HOLD_S", 0.0)


def a_command(person: str = "ana", at: datetime | None = None, erasure_id: str = "e-1") -> Received:
    command = Pseudonyms(KEY.decode()).command("dev", person, erasure_id, at or now())
    return as_read(Outgoing(ERASURES, command.subject, command.model_dump_json().encode()))


def the_erasure(floor: Floor) -> Erasure:
    [row] = floor.erasures.rows.values()
    return Erasure.model_validate(row)


async def test_a_mail_on_its_way_is_skipped_and_nobody_is_called() -> None:
    floor, record = await a_routed_email(Sent("250"))
    await floor.erase.handle(a_command())
    await floor.external().handle(record)
    assert floor.channel.sent == []
    [row] = floor.deliveries.rows.values()
    assert (row.state, row.reason) == ("SKIPPED", "erased")


async def test_a_retry_ends_with_the_erasure_and_its_timer_goes() -> None:
    floor, record = await a_routed_email(Retry("busy"))
    await floor.external().handle(record)
    [timer] = floor.timers.timers.values()
    await floor.erase.handle(a_command())
    [row] = floor.deliveries.rows.values()
    assert (row.state, row.reason, row.next_at) == ("SKIPPED", "erased", None)
    assert row.recipient.startswith("erased_")
    assert timer not in floor.timers.timers.values()
    assert "ana" not in "".join(each.value for each in floor.timers.timers.values())
    assert floor.events()[-1] == "skipped"
    await floor.external().handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))
    assert len(floor.channel.sent) == 1, "not even when the timer had fired already"


async def test_an_attempt_under_way_settles_and_the_sweep_takes_its_name() -> None:
    """The worker reads no mark: it had read before."""
    floor, record = await a_routed_email(Sent("250 ok for ana@x.io"))
    await floor.external().handle(record)
    await floor.erase.handle(a_command())
    [row] = floor.deliveries.rows.values()
    floor.deliveries.put(row.model_copy(update={"recipient": "ana", "answer": "250 ok for ana@x.io", "kept_shard": None}))
    await floor.erase.handle(floor.due_next())
    [row] = floor.deliveries.rows.values()
    assert (row.state, row.recipient, row.answer) == ("SENT", the_erasure(floor).subject, None)
    assert the_erasure(floor).swept_at is not None


async def test_what_was_accepted_before_is_skipped_in_the_plan_and_what_comes_later_is_not() -> None:
    """A mandatory category makes no difference."""
    floor = Floor()
    early = a_request({"category": "security"})
    await floor.erase.handle(a_command())
    await floor.route.handle(early)
    assert [line.skipped for line in floor.notification.plan.lines] == ["erased"]
    assert floor.handed_out("in-app") == []
    floor = Floor()
    await floor.erase.handle(a_command(at=now() - timedelta(minutes=1)))
    [row] = floor.erasures.rows.values()
    row["erased_before"] = (now() - timedelta(minutes=1)).isoformat()
    await floor.route.handle(a_request())
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    assert [item.person for item in floor.inbox.items.values()] == ["ana"]


async def test_an_inbox_item_is_not_stored_after_the_mark_although_its_plan_knows_another_name() -> None:
    floor = Floor()
    await floor.route.handle(a_request({"to": ["ana", "ben"]}))
    ana, ben = floor.handed_out("in-app")
    await floor.in_app.handle(ben)
    await floor.erase.handle(a_command())
    key = next(iter(floor.notifications.rows))
    floor.notifications.rows[key] = without(floor.notifications.rows[key], "ana", the_erasure(floor).subject)
    await floor.in_app.handle(ana)
    assert [item.person for item in floor.inbox.items.values()] == ["ben"]
    assert floor.quarantined() == []


async def test_of_an_audience_whoever_was_erased_since_is_skipped() -> None:
    floor = Floor()
    for person in ("ana", "ben"):
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    await floor.route.handle(a_request({"to": {"topic": "news"}, "channels": ["in_app"]}))
    await floor.erase.handle(a_command())
    await floor.contacts.subscribe("dev", "ana", ("news",), now() - timedelta(hours=1))  # its page was read before
    await floor.walks()
    assert [json.loads(record.value or b"")["recipient"] for record in floor.handed_out("in-app.bulk")] == ["ben"]


async def test_a_window_goes_with_the_person_it_was_for() -> None:
    floor = a_floor()
    await floor.route.handle(a_request(COMMENT))
    assert floor.digests.newest
    await floor.erase.handle(a_command())
    assert floor.digests.newest == {}
    assert floor.digests.heads == {}


async def test_a_digest_tells_nothing_that_was_gathered_before_the_mark() -> None:
    """It closes while the erasure is still on its way to it."""
    floor = a_floor()
    await floor.route.handle(a_request(COMMENT))
    [window] = floor.digests.newest.values()
    subject = Pseudonyms(KEY.decode()).all("dev", window.series.recipient)[0]
    mark = {"environment": "dev", "subject": subject, "erasure_id": "e", "asked_at": now(), "erased_before": now() + MOMENT}
    floor.erasures.rows["dev", subject] = mark
    await windows_close(floor)
    assert not [row for row in floor.notifications.rows.values() if row.plan.told], "the mark alone keeps it back"


async def test_a_preference_that_comes_again_after_the_erasure_is_nobodys() -> None:
    floor = Floor()
    change = Change(settings=(Setting(level="global", enabled=False),))
    command = PreferenceCommand(environment="dev", person="ana", change_id="c-1", change=change, at=now())
    record = as_read(Outgoing("notifications.dev.preferences", "ana", command.model_dump_json().encode()))
    worker = ApplyPreferences(floor.preferences, floor.announcer, floor.publisher, floor.timers, floor.waking, floor.marks)
    await worker.handle(record)
    assert floor.preferences.chosen
    await floor.erase.handle(a_command())
    assert floor.preferences.chosen == {}
    await worker.handle(record)
    assert floor.preferences.chosen == {}
    assert floor.preferences.verdicts == {}


async def test_a_worker_that_dies_goes_on_with_the_part_it_had_come_to() -> None:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    command = a_command()
    floor.outage.sparing["erasures"], floor.outage.failing["erasures"] = 3, 1
    with pytest.raises(Unavailable):
        await floor.erase.handle(command)
    assert the_erasure(floor).status == "UNDER_WAY"
    begun = the_erasure(floor).erased_before
    await floor.erase.handle(command)
    assert (the_erasure(floor).status, the_erasure(floor).erased_before) == ("DONE", begun)
    assert floor.announcer.woken[-2:] == [("erased", "ana"), ("verdict", "e-1")]
    parts = the_erasure(floor).parts
    await floor.erase.handle(command)
    assert the_erasure(floor).parts == parts, "done again it does nothing"


async def test_who_comes_back_and_is_erased_again_is_erased_from_then_on() -> None:
    floor = Floor()
    await floor.erase.handle(a_command(erasure_id="e-1"))
    first = the_erasure(floor)
    await floor.knows("ana", "ana@x.io")
    await floor.erase.handle(a_command(at=now() + timedelta(seconds=1), erasure_id="e-2"))
    again = the_erasure(floor)
    assert (again.erasure_id, again.status, again.parts["contact"]) == ("e-2", "DONE", 1)
    assert again.erased_before > first.erased_before


async def test_one_that_crashes_is_put_away_and_tried_again() -> None:
    floor, command = Floor(), a_command()
    await floor.erase.bury(command, KeyError("bug"))
    assert [reason for _, reason in floor.quarantined()] == ["crash:KeyError"]
    await floor.erase.handle(floor.due_next())
    assert the_erasure(floor).status == "DONE"
    await floor.erase.bury(as_read(Outgoing(ERASURES, "x", b"{}")), KeyError("bug"))


async def test_what_is_no_command_of_ours_is_put_away() -> None:
    floor = Floor()
    await floor.erase.handle(as_read(Outgoing(ERASURES, "x", b"{}")))
    foreign = Pseudonyms("another key of another house here").command("dev", "ana", "e-1", datetime.now(UTC))
    await floor.erase.handle(as_read(Outgoing(ERASURES, "x", foreign.model_dump_json().encode())))
    assert [reason for _, reason in floor.quarantined()] == ["unreadable", "unreadable"]
    assert floor.erasures.rows == {}


@pytest.mark.parametrize("is_forgotten", [False, True])
async def test_what_an_operator_redrives_is_skipped(is_forgotten: bool) -> None:
    """While the erasure has only set its mark, and when it has been everywhere."""
    shop = await a_failed_email()
    floor = shop.floor
    if not is_forgotten:
        floor.outage.failing["erasures"], floor.outage.sparing["erasures"] = 1, 1
        with pytest.raises(Unavailable):
            await floor.erase.handle(a_command())
    else:
        await floor.erase.handle(a_command())
        floor.timers.timers.clear()
    await shop.redrive()
    await shop.timers_fire()
    assert (floor.row.state, floor.row.reason) == ("SKIPPED", "erased")
    assert len(floor.channel.sent) == 1


async def test_what_once_waited_for_its_time_is_no_longer_known_to_be_for_them() -> None:
    """The note of a request for later stays for weeks after it was routed."""
    floor, record = await a_routed_email(Sent("250"))
    await floor.external().handle(record)
    key = "dev", floor.notification.notification_id
    note = Unplanned(status="SCHEDULED", producer="kafka", request_id="r-1", at=now(), people=("ana", "ben"))
    floor.notifications.notes[key] = note
    await floor.erase.handle(a_command())
    assert floor.notifications.notes[key].people == ("ben",)
