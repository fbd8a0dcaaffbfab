"""What waits for its time: operators see it, count it and let go of it; released it goes out once."""

from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.letters_table import holds as lines
from api.cli.main import app
from api.cli.names import DeliveryName
from api.cli.replaying import DeliveriesOf, Named
from api.repairs import Wanted
from api.shown import shown_delivery
from infrastructure.dynamo.troubled import Already, Moved, NotSo
from schemas.deliveries import Delivery
from schemas.outcomes import Retry, Sent, Unavailable
from schemas.preference_changes import Change
from schemas.quiet_hours import QuietHours
from schemas.troubled import Look
from tests.unit.letters import Shop, a_failed_email
from tests.unit.stories import Floor, a_request, now
from tests.unit.test_cli_letters import a_bench, results
from tests.unit.test_ops_letters import a_client
from tests.unit.test_preferences_in_force import chooses

HOLDS = "/api/v1/ops/holds"


def quiet_now() -> QuietHours:
    start, end = now() - timedelta(minutes=5), now() + timedelta(hours=2)
    return QuietHours(
        start=start.time().replace(second=0, microsecond=0), end=end.time().replace(second=0, microsecond=0), zone="UTC"
    )


async def held_emails(count: int = 1, *script: Any) -> Shop:
    floor = Floor(*(script or (Sent("250"),) * count))
    people = [f"p{number}" for number in range(count)]
    for person in people:
        await floor.knows(person, f"{person}@x.io")
        await chooses(floor, person, Change(quiet_hours=quiet_now()))
    await floor.route.handle(a_request({"to": people, "channels": ["email"]}))
    for record in floor.handed_out():
        await floor.external().handle(record)
    return Shop(floor)


async def release(shop: Shop) -> object:
    return await shop.repairs.release("dev", *shop.ids, "olga")


def path_of(row: Delivery) -> str:
    return f"{HOLDS}/{row.notification_id}/{row.delivery_id}/release"


async def test_what_is_held_says_so_in_its_history_and_to_everybody() -> None:
    shop = await held_emails()
    assert (shop.floor.row.state, shop.floor.row.reason, shop.floor.row.held) == ("RETRY", "quiet_hours", True)
    assert shop.floor.row.history[-1].event == shop.floor.events()[-1] == "held"


async def test_released_it_goes_out_now_once_even_when_the_old_timer_fires_later() -> None:
    shop = await held_emails()
    [old] = shop.floor.timers.timers.values()
    assert isinstance(await release(shop), Moved)
    shop.floor.timers.timers.pop(("dev", old.order))
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("SENT", 1)
    await shop.floor.timers.put(old)
    await shop.timers_fire()
    assert len(shop.floor.channel.sent) == 1
    assert [(step.event, step.by) for step in shop.floor.row.history] == [
        ("held", None),
        ("released", "olga"),
        ("sent", None),
    ]
    assert "released" in shop.floor.events()


async def test_the_old_timer_that_fires_first_changes_nothing() -> None:
    shop = await held_emails()
    [old] = shop.floor.timers.timers.items()
    await release(shop)
    released = {key: timer for key, timer in shop.floor.timers.timers.items() if key != old[0]}
    shop.floor.timers.timers = dict([old])
    await shop.timers_fire()
    assert not shop.floor.channel.sent
    shop.floor.timers.timers |= released
    await shop.timers_fire()
    assert (shop.floor.row.state, len(shop.floor.channel.sent)) == ("SENT", 1)


async def test_an_attempt_that_fails_after_a_release_is_repeated_without_being_held_again() -> None:
    shop = await held_emails(1, Retry("http_503"), Sent("250"))
    await release(shop)
    await shop.timers_fire()
    assert (shop.floor.row.reason, shop.floor.row.released) == ("http_503", True)
    await shop.timers_fire()
    assert shop.floor.row.state == "SENT"


async def test_releasing_twice_is_releasing_once() -> None:
    shop = await held_emails()
    assert [type(await release(shop)) for _ in range(2)] == [Moved, Already]
    await shop.timers_fire()
    assert isinstance(await release(shop), Already), "it went out because of the first"
    assert len(shop.floor.channel.sent) == 1


async def test_dying_before_the_row_moved_leaves_it_held() -> None:
    shop = await held_emails()
    shop.floor.outage.away.add("trouble.release")
    with pytest.raises(Unavailable):
        await release(shop)
    assert shop.floor.row.held
    shop.floor.outage.away.clear()
    assert isinstance(await release(shop), Moved)


async def test_what_was_cancelled_is_not_released_and_what_failed_is_nothing_that_waits() -> None:
    shop = await held_emails()
    await shop.floor.route.handle(a_request(b'{"cancel": "r-1"}', offset=1))
    assert (shop.floor.row.state, shop.floor.row.reason) == ("CANCELLED", "cancelled")
    assert isinstance(await release(shop), NotSo)
    await shop.timers_fire()
    assert not shop.floor.channel.sent
    assert isinstance(await release(await a_failed_email()), NotSo)
    held = await held_emails()
    assert isinstance(await held.redrive(), NotSo), "a redrive is for what went wrong"


async def test_many_are_listed_counted_and_released_after_a_dry_run() -> None:
    shop = await held_emails(5)
    async with a_client("ops:read", "ops:write", shop=shop) as client:
        first = (await client.get(HOLDS, params={"limit": 3})).json()
        rest = (await client.get(HOLDS, params={"limit": 3, "cursor": first["meta"]["next_cursor"]})).json()
        assert (len(first["data"]), len(rest["data"]), rest["meta"]["next_cursor"]) == (3, 2, None)
        assert all(each["reason"] == "quiet_hours" and each["next_at"] for each in first["data"])
        counted = (await client.get(f"{HOLDS}/counts")).json()["data"]
        assert counted["groups"] == [{"channel": "email", "reason": "quiet_hours", "count": 5}]
        assert (await client.get("/api/v1/ops/deliveries/counts")).json()["data"]["total"] == 0

        dry = (await client.post(f"{HOLDS}/release", json={})).json()["data"]
        assert (dry["dry_run"], dry["expected"], shop.floor.channel.sent) == (True, 5, [])
        real = {"dry_run": False, "until": dry["until"], "per_s": 1000}
        assert (await client.post(f"{HOLDS}/release", json=real)).status_code == 422
        assert (await client.post(f"{HOLDS}/release", json=real | {"expected": 4})).status_code == 409
        done = (await client.post(f"{HOLDS}/release", json=real | {"expected": 5})).json()
        assert (done["data"]["results"], done["message"]) == ({"released": 5}, "5 released.")
    await shop.timers_fire()
    assert len(shop.floor.channel.sent) == 5
    assert {step.by for row in shop.floor.deliveries.rows.values() for step in row.history} == {None, "ops"}


async def test_one_is_released_and_who_may_only_look_may_not() -> None:
    shop = await held_emails()
    async with a_client("ops:read", shop=shop) as client:
        assert (await client.post(path_of(shop.floor.row))).status_code == 403
    async with a_client("ops:write", shop=shop) as client:
        assert (await client.get(HOLDS)).status_code == 403
        answers = [(await client.post(path_of(shop.floor.row))).json()["data"]["changed"] for _ in range(2)]
    assert answers == [True, False]


async def test_the_command_releases_what_it_shows_and_what_is_named() -> None:
    shop = await held_emails(3)
    bench = a_bench(shop)
    task = DeliveriesOf(Look("HELD", until=now()))
    found = await task.find(bench)
    assert found.total == 3
    name = DeliveryName(*shop_ids(shop)[0])
    assert (await results(Named([("x", name)], release=True), bench))[0] == {"released": 1}
    assert (await task.find(bench)).total == 2
    assert (await results(task, bench))[0] == {"released": 2}
    assert (await shop.repairs.preview("dev", Wanted(Look("HELD")))).total == 0


def shop_ids(shop: Shop) -> list[tuple[str, str]]:
    return [(row.notification_id, row.delivery_id) for row in shop.floor.deliveries.rows.values()]


async def test_a_line_in_the_terminal_says_until_when_and_under_which_name() -> None:
    shop = await held_emails()
    row = shop.floor.row
    assert row.next_at is not None
    [_, line] = lines([shown_delivery(row)])
    assert f"{row.next_at:%Y-%m-%d %H:%M:%S}  email    quiet_hours  p0" in line
    assert line.endswith("/".join(shop.ids))


def test_a_place_in_quarantine_cannot_be_released() -> None:
    answer = CliRunner().invoke(app, ["holds", "release", "0/12"])
    assert (answer.exit_code, "no delivery" in answer.output) == (2, True)
