"""Changing preferences: each switch touches its own place alone, and the version tells what was changed upon."""

from datetime import UTC, datetime, time

import pytest

from schemas.preference_changes import MAX_CHOICES, Change, PreferenceCommand, Setting, changed, judge
from schemas.preferences import Choice, Preferences
from schemas.quiet_hours import QuietHours

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
NIGHT = QuietHours(start=time(22), end=time(7), zone="Europe/Berlin")


def a_change(**fields: object) -> Change:
    """As it comes out of Kafka: what was not said is not there."""
    return Change.model_validate_json(Change.model_validate(fields).model_dump_json(exclude_unset=True))


def switch(level: str, name: str, *, enabled: bool | None, channel: str = "email") -> dict[str, object]:
    return {"level": level, "name": name, "channel": channel, "enabled": enabled}


CHOSEN = changed(
    Preferences(),
    a_change(
        settings=[switch("global", "", enabled=True), switch("category", "orders", enabled=False)],
        muted_until=NOON,
        quiet_hours=NIGHT,
    ),
)


def places(chosen: Preferences) -> dict[tuple[str, str, str], bool]:
    return {choice.place: choice.enabled for choice in chosen.choices}


@pytest.mark.parametrize("enabled", [True, False, None])
@pytest.mark.parametrize(("level", "name"), [("global", ""), ("category", "news"), ("topic", "orders"), ("type", "orders")])
def test_no_write_destroys_another_levels_choice(level: str, name: str, enabled: bool | None) -> None:
    after = changed(CHOSEN, a_change(settings=[switch(level, name, enabled=enabled)]))
    own = (level, name, "email")
    assert {place: on for place, on in places(after).items() if place != own} == {
        place: on for place, on in places(CHOSEN).items() if place != own
    }
    assert places(after).get(own) == enabled
    assert (after.muted_until, after.quiet_hours) == (NOON, NIGHT)


def test_what_is_said_to_be_nothing_is_cleared_and_what_is_not_said_stays() -> None:
    assert changed(CHOSEN, a_change(muted_until=None)) == CHOSEN.model_copy(update={"muted_until": None, "version": 2})
    assert changed(CHOSEN, a_change(quiet_hours=None)) == CHOSEN.model_copy(update={"quiet_hours": None, "version": 2})


def test_a_change_that_changes_nothing_makes_no_new_version() -> None:
    again = a_change(settings=[switch("category", "orders", enabled=False)], muted_until=NOON)
    assert changed(CHOSEN, again) == CHOSEN


def test_the_whole_replaces_the_whole() -> None:
    after = changed(CHOSEN, a_change(replace=True, settings=[switch("topic", "news", enabled=True)]))
    kept = Choice(level="topic", name="news", channel="email", enabled=True)
    assert after == Preferences(version=2, choices=(kept,))


def a_command(expected: int | None, **fields: object) -> PreferenceCommand:
    return PreferenceCommand(
        environment="dev", person="ana", change_id="c-1", expected=expected, change=a_change(**fields), at=NOON
    )


@pytest.mark.parametrize(
    ("expected", "result", "version"), [(1, "applied", 2), (None, "applied", 2), (0, "version_mismatch", 1)]
)
def test_a_change_made_upon_another_version_is_refused(expected: int | None, result: str, version: int) -> None:
    verdict, after = judge(a_command(expected, muted_until=None), CHOSEN)
    assert (verdict.result, verdict.version, after.version) == (result, version, version)


def test_there_is_an_end_to_how_many_choices_a_person_has() -> None:
    settings = [Setting(level="topic", name=f"t{n}", enabled=True) for n in range(MAX_CHOICES + 1)]
    verdict, after = judge(a_command(None, settings=settings), CHOSEN)
    assert (verdict.result, after) == ("too_many_choices", CHOSEN)
