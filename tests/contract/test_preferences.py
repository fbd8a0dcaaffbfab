# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Preferences change once per command, and never over somebody else's change: the fake, DynamoDB Local, moto."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time

from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.preferences import Choice, Preferences
from schemas.quiet_hours import QuietHours
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
NIGHT = QuietHours(start=time(22), end=time(7), zone="Europe/Berlin")
Unique = Callable[[str], str]


def a_command(
    person: str, change_id: str, expected: int | None = None, *, name: str = "orders", enabled: bool | None = False
) -> PreferenceCommand:
    setting = Setting(level="category", name=name, channel="email", enabled=enabled)
    return PreferenceCommand(
        environment="dev", person=person, change_id=change_id, expected=expected, change=Change(settings=(setting,)), at=NOON
    )


async def test_whoever_chose_nothing_has_version_0(shelves: Shelves, unique: Unique) -> None:
    ana, ben = unique("ana"), unique("ben")
    await shelves.preferences.apply(a_command(ben, "c-1"))
    assert await shelves.preferences.get("dev", ana) == Preferences()
    assert (await shelves.preferences.get_many("dev", (ana, ben))).keys() == {ben}


async def test_what_was_chosen_is_read_back_whole_and_in_its_own_environment(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    change = Change(settings=a_command(ana, "c-0").change.settings, muted_until=NOON, quiet_hours=NIGHT)
    command = PreferenceCommand(environment="dev", person=ana, change_id="c-1", expected=0, change=change, at=NOON)
    verdict = await shelves.preferences.apply(command)
    assert (verdict.result, verdict.version) == ("applied", 1)
    choice = Choice(level="category", name="orders", channel="email", enabled=False)
    chosen = Preferences(version=1, choices=(choice,), muted_until=NOON, quiet_hours=NIGHT)
    assert await shelves.preferences.get("dev", ana) == chosen
    assert await shelves.preferences.verdict("dev", ana, "c-1") == verdict


async def test_a_replayed_command_finds_its_verdict_and_changes_nothing(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    first = await shelves.preferences.apply(a_command(ana, "c-1"))
    await shelves.preferences.apply(a_command(ana, "c-2", enabled=True))
    assert await shelves.preferences.apply(a_command(ana, "c-1")) == first
    [choice] = (await shelves.preferences.get("dev", ana)).choices
    assert choice.enabled


async def test_a_change_upon_an_older_version_is_refused_and_stays_refused(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    await shelves.preferences.apply(a_command(ana, "c-1", 0))
    refused = await shelves.preferences.apply(a_command(ana, "c-2", 0, enabled=True))
    assert (refused.result, refused.version) == ("version_mismatch", 1)
    await shelves.preferences.apply(a_command(ana, "c-3", 1, enabled=None))
    assert await shelves.preferences.apply(a_command(ana, "c-2", 2, enabled=True)) == refused
    assert await shelves.preferences.get("dev", ana) == Preferences(version=2)


async def test_a_change_that_changes_nothing_has_a_verdict_all_the_same(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    await shelves.preferences.apply(a_command(ana, "c-1"))
    verdict = await shelves.preferences.apply(a_command(ana, "c-2"))
    assert (verdict.result, verdict.version) == ("applied", 1)
    assert await shelves.preferences.verdict("dev", ana, "c-2") == verdict


async def test_of_many_who_change_the_same_version_one_is_applied(racing_shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    commands = [a_command(ana, f"c-{n}", 0, name=f"n{n}") for n in range(8)]
    verdicts = await asyncio.gather(*(racing_shelves.preferences.apply(command) for command in commands))
    assert Counter(verdict.result for verdict in verdicts) == {"applied": 1, "version_mismatch": 7}
    assert len((await racing_shelves.preferences.get("dev", ana)).choices) == 1


async def test_of_many_who_name_no_version_every_one_is_applied(racing_shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    commands = [a_command(ana, f"c-{n}", name=f"n{n}") for n in range(8)]
    await asyncio.gather(*(racing_shelves.preferences.apply(command) for command in commands))
    chosen = await racing_shelves.preferences.get("dev", ana)
    assert (len(chosen.choices), chosen.version) == (8, 8)


async def test_one_command_read_by_many_at_once_is_applied_once(racing_shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    verdicts = await asyncio.gather(*(racing_shelves.preferences.apply(a_command(ana, "c-1", 0)) for _ in range(8)))
    assert {(verdict.result, verdict.version) for verdict in verdicts} == {("applied", 1)}
