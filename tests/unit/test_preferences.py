"""Whose choice decides: the table in docs/preferences.md is the table in the code, and its examples are run."""

import itertools
import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from schemas.preferences import (
    PRECEDENCE,
    About,
    Choice,
    Preferences,
    Situation,
    explain,
    held_until,
    refusal,
)
from schemas.quiet_hours import SPREAD_S, QuietHours

PAGE = (Path(__file__).parents[2] / "docs/preferences.md").read_text()
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
NAMES = {"type": "order.shipped", "topic": "news", "category": "orders", "global": ""}
ABOUT = About(channel="email", category="orders", type="order.shipped", topics=("news",))
Row = tuple[str, ...]


def the_table(name: str) -> list[Row]:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", PAGE, re.DOTALL)
    assert found, f"docs/preferences.md has no table {name}"
    lines = found[1].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def a_choice(level: str, said: str, *, channel: str = "email") -> Choice:
    return Choice(level=level, name=NAMES[level], channel=channel, enabled=said == "on")


def a_situation(*choices: Choice, mandatory: str = "no", muted: str = "no", about: About = ABOUT) -> Situation:
    until = NOON + timedelta(hours=1) if muted == "yes" else None
    chosen = Preferences(choices=choices, muted_until=until)
    return Situation(chosen, about, {"orders"} if mandatory == "yes" else {"security"}, NOON)


def as_words(decision: str, reason: str | None) -> str:
    return f"{decision}: `{reason}`" if reason else decision


def test_the_page_shows_the_rules_in_force() -> None:
    rules = [
        (str(number), f"`{rule.name}`", rule.when, as_words(rule.decision, rule.reason))
        for number, rule in enumerate(PRECEDENCE, 1)
    ]
    assert the_table("rules") == rules


@pytest.mark.parametrize("row", the_table("examples"), ids=" ".join)
def test_each_example_on_the_page_comes_out_as_it_says(row: Row) -> None:
    mandatory, muted, *levels, expected = row
    said = zip(("type", "topic", "category", "global"), levels, strict=True)
    choices = [a_choice(level, text) for level, text in said if text != "–"]
    reason = refusal(a_situation(*choices, mandatory=mandatory, muted=muted))
    assert as_words("skip" if reason else "deliver", reason) == expected


def every_situation() -> list[Situation]:
    switches = itertools.product(("no", "yes"), ("no", "yes"), *[("–", "on", "off")] * 4)
    return [
        a_situation(
            *(a_choice(level, said) for level, said in zip(NAMES, levels, strict=True) if said != "–"),
            mandatory=mandatory,
            muted=muted,
        )
        for mandatory, muted, *levels in switches
    ]


def test_in_every_situation_exactly_one_rule_decides_and_explain_agrees_with_it() -> None:
    for at in every_situation():
        consulted = explain(at)
        assert [each.rule for each in consulted] == [rule.name for rule in PRECEDENCE]
        [decisive] = [each for each in consulted if each.decided]
        assert (decisive.decision == "skip") == (refusal(at) is not None)
        assert decisive.applies


def test_whatever_is_switched_off_is_off_unless_it_is_mandatory_or_only_a_default() -> None:
    """Said another way than the table says it: an off by name holds, whatever else is chosen."""
    for at in every_situation():
        off_by_name = any(not choice.enabled and choice.level != "global" for choice in at.chosen.choices)
        if "orders" in at.mandatory:
            assert refusal(at) is None
        elif off_by_name:
            assert refusal(at) is not None


def test_the_choice_for_just_this_channel_comes_before_the_one_for_every_channel() -> None:
    off, on = a_choice("category", "off", channel="*"), a_choice("category", "on")
    assert refusal(a_situation(off)) == "preference:category"
    assert refusal(a_situation(off, on)) is None
    assert refusal(a_situation(off, on, about=ABOUT.model_copy(update={"channel": "in_app"}))) == "preference:category"


def test_one_topic_of_several_that_is_off_is_enough() -> None:
    about = ABOUT.model_copy(update={"topics": ("offers", "news")})
    assert refusal(a_situation(a_choice("topic", "off"), about=about)) == "preference:topic"
    assert refusal(a_situation(a_choice("topic", "off"), about=about.model_copy(update={"topics": ()}))) is None


def test_a_mute_ends_by_itself() -> None:
    at = a_situation(muted="yes")
    assert refusal(at) == "muted"
    assert refusal(Situation(at.chosen, at.about, at.mandatory, NOON + timedelta(hours=1))) is None


def test_explain_names_the_choices_behind_a_rule() -> None:
    off, on = a_choice("category", "off"), a_choice("type", "on")
    said = {each.rule: each.choices for each in explain(a_situation(off, on))}
    assert (said["category"], said["named"], said["global"]) == ((off,), (on,), ())


QUIET = Preferences(quiet_hours=QuietHours(start=time(11), end=time(13), zone="UTC"))


def test_what_is_held_leaves_within_minutes_after_the_window_each_at_its_own_time() -> None:
    at = Situation(QUIET, ABOUT, (), NOON)
    released = [held_until(at, f"dlv_{n}") for n in range(200)]
    waits = {(each - NOON).total_seconds() - 3600 for each in released if each}
    assert len(waits) > 100
    assert min(waits) >= 0
    assert max(waits) < SPREAD_S
    assert held_until(at, "dlv_1") == released[1], "the same one at the same time"


def test_urgent_and_mandatory_are_not_held() -> None:
    urgent = ABOUT.model_copy(update={"urgent": True})
    assert held_until(Situation(QUIET, urgent, (), NOON), "d") is None
    assert held_until(Situation(QUIET, ABOUT, {"orders"}, NOON), "d") is None
    assert held_until(Situation(QUIET, ABOUT, (), NOON + timedelta(hours=2)), "d") is None
    assert held_until(Situation(Preferences(), ABOUT, (), NOON), "d") is None


def test_a_zone_only_a_newer_machine_knows_holds_up_nobodys_mail() -> None:
    document = '{"version": 1, "quiet_hours": {"start": "11:00", "end": "13:00", "zone": "Mars/Base", "days": [1]}}'
    chosen = Preferences.model_validate_json(document)
    assert held_until(Situation(chosen, ABOUT, (), NOON), "d") is None
