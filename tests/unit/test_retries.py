"""When to try again: a pure function of plan, wish and deadline."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import deadline
from schemas.retries import JITTER, RetrySchedule

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
FAR = NOON + timedelta(days=3)
WAITS = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2))
SCHEDULE = RetrySchedule(WAITS, asked_max=timedelta(hours=1))


def wait(attempt: int = 0, *, asked_s: float | None = None, until: datetime = FAR, jitter: float = 0.0) -> float | None:
    asked = None if asked_s is None else timedelta(seconds=asked_s)
    due = SCHEDULE.next_at(attempt=attempt, now=NOON, deadline=until, asked=asked, jitter=jitter)
    return None if due is None else (due - NOON).total_seconds()


@pytest.mark.parametrize(("attempt", "expected"), [(0, 5), (1, 30), (2, 120), (3, None), (99, None)])
def test_the_schedule_is_followed_and_then_spent(attempt: int, expected: float | None) -> None:
    assert wait(attempt) == expected


@pytest.mark.parametrize(
    ("asked_s", "expected"), [(120, 120), (0, 5), (4.9, 5), (3600, 3600), (3600.001, None), (86_400, None)]
)
def test_a_provider_gets_the_longer_wait_but_not_any_wait(asked_s: float, expected: float | None) -> None:
    assert wait(asked_s=asked_s) == expected


def test_a_wish_does_not_lengthen_a_spent_schedule() -> None:
    assert wait(3, asked_s=60) is None


def test_an_attempt_at_or_after_the_deadline_is_not_planned() -> None:
    assert wait(until=NOON + timedelta(seconds=5)) is None
    assert wait(until=NOON + timedelta(seconds=5.001)) == 5
    assert wait(asked_s=60, until=NOON + timedelta(seconds=30)) is None


@given(st.integers(0, 2), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 3600))
def test_jitter_only_shortens_the_plan_by_a_fifth_and_never_undercuts_a_wish(
    attempt: int, jitter: float, asked_s: float | None
) -> None:
    found = wait(attempt, asked_s=asked_s, jitter=jitter)
    assert found is not None
    planned, wish = WAITS[attempt].total_seconds(), asked_s or 0
    assert found >= wish - 1e-6
    assert max(planned * (1 - JITTER), wish) - 1e-5 <= found <= max(planned, wish) + 1e-5


def test_a_deadline_is_the_deliverys_own_else_so_long_after_it_was_due() -> None:
    assert deadline(NOON, None, timedelta(hours=72)) == NOON + timedelta(hours=72)
    assert deadline(NOON, NOON + timedelta(minutes=1), timedelta(hours=72)) == NOON + timedelta(minutes=1)
