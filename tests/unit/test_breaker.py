"""A provider that fails again and again is left alone, and one call finds out whether it is back."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.breaker import Breaker, BreakerRules
from schemas.shaping import Pace

RULES = BreakerRules(failures=3, open_s=30.0)


def failed(times: int, *, now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker = breaker.calling().failed(now_s, RULES, 0.0)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    assert failed(2).may_call(0)
    assert not failed(3).may_call(29.9)
    assert failed(2).succeeded().failed(0, RULES, 0.0).may_call(0)


def test_half_open_it_lets_one_call_through() -> None:
    half = failed(3)
    assert half.may_call(30)
    probing = half.calling()
    assert not probing.may_call(30)
    assert probing.succeeded() == Breaker()
    again = probing.failed(30, RULES, 0.0)
    assert (again.may_call(59.9), again.may_call(60)) == (False, True)


@given(st.floats(0, 0.999))
def test_jitter_makes_the_pause_longer_never_shorter(jitter: float) -> None:
    breaker = failed(2).failed(0, RULES, jitter)
    assert breaker.is_open(29.99)
    assert not breaker.is_open(36.01)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200), st.sampled_from([1.0, 5.0, 50.0]))
def test_no_more_calls_than_the_pace_allows(gaps: list[float], per_s: float) -> None:
    pace, now_s, let_through = Pace(per_s), 100.0, list[float]()
    for gap in gaps:
        now_s += gap
        let_through.append(now_s + pace.wait_s(now_s))
        pace = pace.taken(now_s)
    for first, at in enumerate(let_through):
        burst = sum(at <= later <= at + 10 for later in let_through[first:])
        assert burst <= per_s * 11 + 2


def test_an_idle_pace_waits_for_nothing() -> None:
    assert Pace(5.0).wait_s(1000.0) == 0
