from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schemas.timers import TIMER_SHARDS, Timer, up_to

MOMENTS = st.builds(
    lambda seconds, hours: datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours))),
    st.floats(1_000_000_000, 7_000_000_000),
    st.integers(-12, 12),
)


def a_timer(due_at: datetime, timer_id: str = "retry#dlv_1#1") -> Timer:
    return Timer(environment="dev", timer_id=timer_id, due_at=due_at, topic="t", key="k", value="v")


def in_ms(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


@given(MOMENTS, MOMENTS)
def test_the_order_as_text_is_the_order_in_time(one: datetime, other: datetime) -> None:
    if in_ms(one) != in_ms(other):
        assert (a_timer(one).order < a_timer(other).order) == (one < other)


@given(MOMENTS, MOMENTS, st.text("abz#~é", max_size=5))
def test_what_is_due_is_what_sorts_before_now(due_at: datetime, now: datetime, timer_id: str) -> None:
    assert (a_timer(due_at, timer_id).order < up_to(now)) == (in_ms(due_at) <= in_ms(now))


def test_the_same_timer_put_again_is_the_same_row() -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    one, again = a_timer(noon), a_timer(noon.astimezone(timezone(timedelta(hours=5))))
    assert (one.shard, one.order) == (again.shard, again.order)


def test_timers_spread_over_all_shards_and_no_others() -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert {a_timer(noon, f"t{n}").shard for n in range(100)} == set(range(TIMER_SHARDS))
