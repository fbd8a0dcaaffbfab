"""What an operator does to deliveries in trouble, and what comes of it further down the way."""

import asyncio
from collections import Counter

import pytest

from api.repairs import Differs, Wanted
from infrastructure.dynamo.troubled import Already, Moved, NotSo
from schemas.outcomes import Ambiguous, Unavailable
from schemas.troubled import Look
from tests.unit.letters import STATUS, Shop, a_crowd, a_failed_email, a_failed_inbox_item
from tests.unit.stories import Floor, a_request, now


async def test_what_failed_is_sent_after_a_redrive() -> None:
    shop = await a_failed_email()
    assert isinstance(await shop.redrive(), Moved)
    assert shop.floor.row.state == "PENDING"
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("SENT", 2)
    assert [(step.event, step.by) for step in shop.floor.row.history] == [
        ("failed", None),
        ("redriven", "olga"),
        ("sent", None),
    ]
    assert shop.floor.events()[-3:] == ["failed", "redriven", "sent"]


async def test_redriving_twice_sends_once() -> None:
    shop = await a_failed_email()
    first, second = await shop.redrive(), await shop.redrive()
    assert (type(first), type(second)) == (Moved, Already)
    await shop.timers_fire()
    assert len(shop.floor.channel.sent) == 2
    assert isinstance(await shop.redrive(), NotSo), "sent by now"


async def test_the_timer_is_there_before_the_row_waits_for_it() -> None:
    shop = await a_failed_email()
    before = len(shop.floor.outage.writes)
    await shop.redrive()
    assert shop.floor.outage.writes[before:] == ["timers.put", "trouble.redrive"]


async def test_dying_before_the_row_moved_leaves_it_failed_and_the_timer_finds_nothing_to_do() -> None:
    shop = await a_failed_email()
    shop.floor.outage.away.add("trouble.redrive")
    with pytest.raises(Unavailable):
        await shop.redrive()
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("FAILED", 1)
    shop.floor.outage.away.clear()
    assert isinstance(await shop.redrive(), Moved)


async def test_one_whose_timer_was_lost_waits_on_the_list_and_is_redriven_again() -> None:
    shop = await a_failed_email()
    await shop.redrive()
    shop.floor.timers.timers.clear()
    preview = await shop.repairs.preview("dev", Wanted(Look(state="PENDING")))
    assert preview.total == 1
    await shop.redrive()
    await shop.timers_fire()
    assert shop.floor.row.state == "SENT"


async def test_what_was_cancelled_meanwhile_is_not_sent_after_all() -> None:
    shop = await a_failed_email()
    await shop.floor.cancelled()
    await shop.redrive()
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("CANCELLED", 1)


async def test_what_has_expired_meanwhile_is_not_sent_either() -> None:
    shop = await a_failed_email()
    shop.floor.expires()
    await shop.redrive()
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("EXPIRED", 1)


async def test_an_inbox_item_that_could_not_be_made_is_made_after_a_redrive() -> None:
    shop = await a_failed_inbox_item()
    assert (shop.floor.row.state, shop.floor.row.reason) == ("FAILED", "crash:ValueError")
    assert isinstance(await shop.redrive(), Moved)
    await shop.timers_fire()
    await shop.persist_reads()
    assert len(shop.floor.inbox.items) == 1
    assert shop.floor.row.state == "SENT"
    assert [step.event for step in shop.floor.row.history] == ["failed", "redriven", "sent"]


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_redriven_inbox_item_can_still_be_cancelled(delivered: bool) -> None:
    shop = await a_failed_inbox_item()
    await shop.redrive()
    if delivered:
        await shop.timers_fire()
        await shop.persist_reads()
    await shop.floor.route.handle(a_request(b'{"cancel": "r-1"}', offset=1))
    await shop.timers_fire()
    await shop.persist_reads()
    assert shop.floor.row.state == "CANCELLED"
    assert shop.floor.inbox.items == {}


async def test_a_person_settles_and_the_producer_hears_of_it() -> None:
    shop = await a_failed_email(Ambiguous("timeout"), policy="at_most_once")
    assert shop.floor.row.state == "UNKNOWN"
    change = await shop.repairs.settle("dev", *shop.ids, "SENT", "olga", "Ana has it")
    assert isinstance(change, Moved)
    await shop.persist_reads()
    finals = [receipt for receipt in shop.floor.receipts() if receipt["verdict"] == "final"]
    assert [final["counts"] for final in finals] == [{"UNKNOWN": 1}, {"SENT": 1}]
    assert finals[0]["revision"] < finals[1]["revision"]
    assert "Ana has it" not in str(shop.floor.publisher.values_on(STATUS)), "a note is for operators"


async def test_settling_again_says_the_same_again() -> None:
    shop = await a_failed_email(Ambiguous("timeout"), policy="at_most_once")
    shop.floor.publisher.fail_next()
    with pytest.raises(Unavailable):
        await shop.repairs.settle("dev", *shop.ids, "SENT", "olga", "")
    assert isinstance(await shop.repairs.settle("dev", *shop.ids, "SENT", "olga", ""), Already)
    assert shop.floor.events()[-1] == "sent"


async def test_an_unknown_one_is_sent_again_only_when_somebody_says_so() -> None:
    shop = await a_failed_email(Ambiguous("timeout"), policy="at_most_once")
    await shop.redrive()
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("SENT", 2)


async def test_a_delivery_nobody_knows_is_nothing() -> None:
    shop = Shop(Floor())
    assert await shop.repairs.redrive("dev", "ntf_x", "dlv_x", "olga") is None
    assert await shop.repairs.settle("dev", "ntf_x", "dlv_x", "SENT", "olga", "") is None
    assert await shop.repairs.discard("dev", "ntf_x", "dlv_x", "olga", "") is None


async def test_a_preview_counts_and_changes_nothing() -> None:
    shop = await a_crowd(6, "smtp_550", "smtp_550", "smtp_451")
    before = dict(shop.floor.deliveries.rows)
    preview = await shop.repairs.preview("dev", Wanted(Look(channel="email")))
    assert preview.counts == {("email", "smtp_550"): 4, ("email", "smtp_451"): 2}
    assert (len(preview.samples), preview.whole) == (5, True)
    assert shop.floor.deliveries.rows == before


async def test_a_replay_redrives_what_matches_and_nothing_else() -> None:
    shop = await a_crowd(6, "smtp_550", "smtp_550", "smtp_451")
    assert await shop.replays(Wanted(Look(reason="smtp_451")), expected=2) == ["redriven"] * 2
    await shop.timers_fire()
    assert Counter(row.state for row in shop.floor.deliveries.rows.values()) == {"SENT": 2, "FAILED": 4}


async def test_a_replay_of_other_than_was_shown_does_nothing() -> None:
    shop = await a_crowd(3, "smtp_550")
    with pytest.raises(Differs) as differs:
        await shop.replays(Wanted(Look()), expected=2)
    assert differs.value.found.total == 3
    assert {row.state for row in shop.floor.deliveries.rows.values()} == {"FAILED"}


async def test_the_same_replay_twice_sends_everything_once() -> None:
    shop = await a_crowd(4, "smtp_550")
    wanted = Wanted(Look(until=now()))
    await shop.replays(wanted, expected=4)
    assert await shop.replays(wanted, expected=0) == []
    await shop.timers_fire()
    assert len(shop.floor.channel.sent) == 8


async def test_a_replay_that_was_stopped_goes_on_with_the_others() -> None:
    shop = await a_crowd(5, "smtp_550")
    replaying = shop.repairs.replay("dev", Wanted(Look()), "olga", expected=5, per_s=1000)
    assert await anext(replaying) == "redriven"
    await replaying.aclose()
    left = (await shop.repairs.preview("dev", Wanted(Look()))).total
    assert left == 4
    await shop.replays(Wanted(Look()), expected=left)
    await shop.timers_fire()
    assert {row.state for row in shop.floor.deliveries.rows.values()} == {"SENT"}


async def test_a_replay_keeps_to_its_pace() -> None:
    shop = await a_crowd(5, "smtp_550")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await shop.replays(Wanted(Look()), expected=5, per_s=20)
    assert loop.time() - began >= 4 / 20


async def test_a_replay_of_one_notification_leaves_the_others_alone() -> None:
    shop = await a_crowd(2, "smtp_550")
    [first, *_] = shop.floor.deliveries.rows.values()
    nobody = Wanted(Look(), notification_id="ntf_other")
    assert (await shop.repairs.preview("dev", nobody)).total == 0
    mine = Wanted(Look(), notification_id=first.notification_id)
    assert await shop.replays(mine, expected=2) == ["redriven"] * 2
