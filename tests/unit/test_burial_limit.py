"""When a worker stops: everything is buried. When it does not: somebody's records get through."""

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.kafka.consuming.burial_limit import BurialLimit


def a_limit(*buried: str, most: int = 5, **memory: float) -> BurialLimit:
    limit = BurialLimit(most, **memory)  # type: ignore[arg-type]
    for at, producer in enumerate(buried):
        limit.buried(producer, float(at))
    return limit


def test_one_producer_alone_that_never_gets_through_reaches_it() -> None:
    assert not a_limit(*"aaaa").reached(10)
    assert a_limit(*"aaaaa").reached(10)


def test_streaks_of_several_producers_add_up() -> None:
    assert a_limit(*"aabbc").reached(10)


def test_while_anybody_gets_through_it_is_not_reached() -> None:
    limit = a_limit(*"aaaaaaaaaa")
    limit.succeeded("b", 20)
    assert not limit.reached(21)
    limit.buried("b", 22)
    assert limit.reached(23)


def test_a_success_ends_the_streak_of_its_producer_and_no_other() -> None:
    limit = a_limit(*"aaabb")
    limit.succeeded("a", 10)
    limit.buried("a", 11)
    assert not limit.reached(12)
    limit.buried("b", 13)
    limit.buried("b", 14)
    assert limit.reached(15)


def test_a_producer_that_has_been_silent_for_long_vouches_for_nobody() -> None:
    limit = a_limit(remembered_s=100)
    limit.succeeded("breakfast", 0)
    for at in range(90, 95):
        limit.buried("night", at)
    assert not limit.reached(95)
    assert limit.reached(101)


def test_the_memory_of_producers_is_bounded() -> None:
    limit = a_limit(most=1, remembered=3)
    for at, producer in enumerate("abcd"):
        limit.succeeded(producer, at)
    assert len(limit._streaks) == 3
    for producer in "bcd":
        limit.buried(producer, 10)
    assert limit.reached(11), "`a` was the longest silent one and is forgotten"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 8))
def test_it_is_reached_exactly_when_nobody_gets_through(events: list[tuple[str, bool]], most: int) -> None:
    limit, streaks = BurialLimit(most), dict[str, int]()
    for at, (producer, is_buried) in enumerate(events):
        (limit.buried if is_buried else limit.succeeded)(producer, float(at))
        streaks[producer] = streaks.get(producer, 0) + 1 if is_buried else 0
        assert limit.reached(float(at)) == (sum(streaks.values()) >= most and 0 not in streaks.values())
