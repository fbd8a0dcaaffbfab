"""`carillon dlq` and `carillon unknown`: what they find, what they do, how they say it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import typer
from typer.testing import CliRunner

from api.cli.letters_table import deliveries, entries, groups, table, whole
from api.cli.main import app
from api.cli.names import DeliveryName, PlaceName, name_of
from api.cli.replaying import DeliveriesOf, Named, Records, Task, refused_again
from api.cli.workbench import Workbench, moment
from api.shown import shown_delivery, shown_entry, shown_whole
from infrastructure.resources import Stores
from schemas.troubled import Look
from tests.unit.letters import Office, Shop, a_crowd, a_failed_email, a_raw
from tests.unit.stories import Floor, as_read, now

NTF, DLV = f"ntf_{'a' * 26}", f"dlv_{'b' * 26}"


def a_bench(shop: Shop | None = None, office: Office | None = None) -> Workbench:
    shop, office = shop or Shop(Floor()), office or Office()
    return Workbench("dev", cast(Stores, shop.house.stores), office.desk, shop.repairs)


async def results(task: Task, bench: Workbench) -> tuple[Counter[str], list[str]]:
    done = [each async for each in task.carry_out(bench, "olga", 1000)]
    return Counter(result for result, _ in done), [problem for _, problem in done if problem]


def all_failed(reason: str = "") -> DeliveriesOf:
    return DeliveriesOf(Look("FAILED", reason=reason or None, until=now()))


def all_records(*, again: bool = False, reason: str = "") -> Records:
    return Records(reason, "", None, now() + timedelta(minutes=1), again)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{NTF}/{DLV}", DeliveryName(NTF, DLV)),
        ("0/12", PlaceName(0, 12)),
        ("notifications.prod.quarantine/2/7", PlaceName(2, 7)),
    ],
)
def test_what_a_list_prints_can_be_pasted(text: str, name: object) -> None:
    assert name_of(text) == name


@pytest.mark.parametrize("text", ["", "x", NTF, f"{DLV}/{NTF}", "0/-1", "notifications.dev.requests/0/1", "0/1/2"])
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        name_of(text)


def test_a_time_is_a_moment_with_its_zone_or_how_long_ago_it_was() -> None:
    assert moment("2026-12-01T08:00+02:00") == datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert moment("") is None
    ago = moment("2h")
    assert ago is not None
    assert abs(now() - timedelta(hours=2) - ago) < timedelta(minutes=1)
    for text in ("yesterday", "2026-12-01T08:00"):
        with pytest.raises(typer.BadParameter):
            moment(text)


def test_a_table_is_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(("COUNT", "REASON"), [(7, "a"), (120, "bb")]) == ["COUNT  REASON", "    7  a", "  120  bb"]
    assert groups({("email", "b"): 1, ("email", "a"): 2})[1:] == ["    2  email    a", "    1  email    b"]


async def test_what_a_sender_wrote_does_not_reach_the_terminal_as_commands() -> None:
    office = Office()
    await office.puts_away(key=b"\x1b[2J", value=b"\x1b]0;x\x07", headers=(("x-\x1b", b"\x1b[31m"),), reason="in\x1bvalid")
    entry = await office.entry()
    shown = "\n".join([*entries([shown_entry(entry)]), *whole(shown_whole(entry))])
    assert "\x1b" not in shown
    assert "\x07" not in shown


async def test_a_list_of_deliveries_gives_each_a_name_and_no_address() -> None:
    shop = await a_failed_email()
    head, line = deliveries([shown_delivery(shop.floor.row)])
    assert head.split() == ["WHEN", "STATE", "CHANNEL", "REASON", "ATTEMPTS", "TO", "ID"]
    assert line.endswith("/".join(shop.ids))
    assert "@" not in line


async def test_deliveries_are_found_then_replayed_then_gone() -> None:
    shop = await a_crowd(3, "smtp_550", "smtp_550", "smtp_451")
    task, bench = all_failed(reason="smtp_550"), a_bench(shop)
    found = await task.find(bench)
    assert (found.total, found.whole) == (2, True)
    assert "For instance:" in found.lines
    assert await results(task, bench) == (Counter(redriven=2), [])
    assert (await task.find(bench)).lines == ["Nothing matches."]


async def test_deliveries_that_changed_between_the_look_and_the_replay_are_left_alone() -> None:
    shop = await a_crowd(2, "smtp_550")
    task, bench = all_failed(), a_bench(shop)
    await task.find(bench)
    await shop.redrive_all(1)
    with pytest.raises(typer.Exit) as ended:
        await results(task, bench)
    assert ended.value.exit_code == 1
    assert Counter(row.state for row in shop.floor.deliveries.rows.values()) == {"PENDING": 1, "FAILED": 1}


async def test_records_that_were_dealt_with_or_cannot_go_back_are_passed_over() -> None:
    office = Office()
    bench = a_bench(office=office)
    await office.puts_away(reason="gap", value=None)
    await office.puts_away(key=b"1")
    await office.puts_away(key=b"2")
    done = (await office.entries(reason="invalid"))[0]
    await office.desk.replay("dev", done, "ben")
    found = await all_records().find(bench)
    assert (found.total, found.document["passed_over"]) == (1, {"impossible": 1, "dealt_with": 1})
    assert (await all_records(again=True).find(bench)).total == 2


async def test_records_go_back_and_what_is_refused_again_is_named() -> None:
    office = Office()
    bench, began = a_bench(office=office), now() - timedelta(minutes=1)
    await office.route_reads(a_raw({"type": "nowhere", "to": "ana"}))
    place = (await office.entry()).record.position
    task = all_records()
    await task.find(bench)
    assert await results(task, bench) == (Counter({"put back": 1}), [])
    [sent] = office.put_back()
    await office.route_reads(as_read(sent, offset=100))
    [problem] = await refused_again(bench, task.put_back, began, 0)
    assert problem.startswith(f"{place.partition}/{place.offset} was refused again: unknown_type")
    assert await refused_again(bench, [], began, 0) == []


async def test_named_ones_of_either_kind_are_shown_as_they_stand_and_replayed() -> None:
    shop, office = await a_failed_email(), Office()
    await office.puts_away()
    place = (await office.entry()).record.position
    names = ["/".join(shop.ids), f"{place.partition}/{place.offset}", f"{NTF}/{DLV}", "0/999"]
    task, bench = Named([(name, name_of(name)) for name in names], again=False), a_bench(shop, office)
    found = await task.find(bench)
    assert [line.partition("  ")[2] for line in found.lines] == [
        "FAILED smtp_550",
        "invalid",
        "there is no such delivery",
        "there is no such record, or not any more",
    ]
    counts, problems = await results(task, bench)
    assert (counts, len(problems)) == (Counter({"redriven": 1, "put back": 1, "missing": 2}), 2)
    counts, problems = await results(task, bench)
    assert counts == Counter({"already on its way": 1, "left alone": 1, "missing": 2})
    assert any("--again replays it all the same" in problem for problem in problems)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dlq", "show", "x"],
        ["dlq", "list", "--since", "yesterday"],
        ["dlq", "list", "--state", "LOST"],
        ["unknown", "settle", f"{NTF}/{DLV}"],
        ["unknown", "settle", "0/1", "--sent"],
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_opened(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output
