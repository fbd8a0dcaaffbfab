"""How lag is judged: each status by its rule, and the traps other tools fell into."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.lag import (
    FRESH_S,
    GRAVITY,
    QUIET_S,
    GroupLag,
    PartitionLag,
    Sample,
    Status,
    eta,
    group_lag,
    judge,
    partition_lag,
    seconds,
)

NOON = 1_800_000_000.0
EVERY_S = 5.0


def some_samples(
    committed: Sequence[int | None],
    ends: Sequence[int] | int,
    *,
    start: int = 0,
    oldest_s: float | None = 60,
    every_s: float = EVERY_S,
) -> list[Sample]:
    """Looks at one partition, five seconds apart; what waits is a minute old unless said otherwise."""
    ends = [ends] * len(committed) if isinstance(ends, int) else ends
    moments = [NOON + place * every_s for place in range(len(committed))]
    return [
        Sample(at, start, offset, end, None if oldest_s is None or offset is None or offset >= end else at - oldest_s)
        for at, offset, end in zip(moments, committed, ends, strict=True)
    ]


def the_verdict(samples: Sequence[Sample], *, abandoned: bool = False) -> Status:
    return judge(samples, abandoned=abandoned)[0]


def a_partition(samples: Sequence[Sample], partition: int = 0) -> PartitionLag:
    return partition_lag("orders", partition, samples, owner="carillon@10.0.0.4", abandoned=False)


def a_group(*partitions: PartitionLag) -> GroupLag:
    return group_lag("dev.route", "Stable", ["carillon@10.0.0.4"], partitions)


# each status, each rule


def test_a_group_that_has_committed_everything_is_ok() -> None:
    assert judge(some_samples([10, 10], 10), abandoned=False) == (Status.OK, "everything is committed")


def test_a_lag_that_grows_without_touching_zero_is_behind() -> None:
    status, rule = judge(some_samples([100, 110, 120, 130], [150, 180, 210, 240]), abandoned=False)
    assert status is Status.BEHIND
    assert rule == "the lag grew from 50 to 110 over 15 s and never touched zero"


def test_a_lag_that_shrinks_is_ok_however_large_it_is() -> None:
    assert the_verdict(some_samples([0, 1_000, 2_000], 1_000_000)) is Status.OK


def test_a_lag_that_touched_zero_within_the_last_minute_is_not_behind() -> None:
    assert the_verdict(some_samples([10, 20, 30], [10, 25, 40], oldest_s=20)) is Status.OK


def test_commits_that_repeat_while_records_wait_are_stalled() -> None:
    status, rule = judge(some_samples([7, 7, 7, 7], [9, 10, 10, 10]), abandoned=False)
    assert status is Status.STALLED
    assert rule == "the committed offset repeated 7 in 4 samples over 15 s, longer than 15 s, while 3 records wait"


def test_a_silence_too_short_to_judge_is_unknown_rather_than_ok() -> None:
    assert the_verdict(some_samples([7, 7], 9)) is Status.UNKNOWN


def test_a_silence_begins_when_there_is_something_to_read() -> None:
    idle_then_busy = some_samples([9, 9, 9, 9, 9, 9], [9, 9, 9, 9, 12, 12], oldest_s=12)
    assert the_verdict(idle_then_busy) is Status.OK


def test_an_idle_group_that_hangs_when_records_come_is_stalled_although_it_once_had_no_lag() -> None:
    hung = some_samples([9] * 8, [9, 9, 9, 12, 12, 12, 12, 12])
    assert the_verdict(hung) is Status.STALLED


def test_a_group_that_commits_once_a_minute_may_be_silent_for_a_minute() -> None:
    committed = [0] * 12 + [60] * 12 + [120] * 6
    assert the_verdict(some_samples(committed, 1_000)) is not Status.STALLED


def test_records_wait_and_no_member_is_there_to_commit_so_the_group_is_stopped() -> None:
    status, rule = judge(some_samples([7], 9), abandoned=True)
    assert (status, rule) == (Status.STOPPED, "no member reads this partition, and 2 records wait")


def test_a_reader_that_joins_no_group_but_commits_is_not_stopped() -> None:
    assert the_verdict(some_samples([7, 8, 9], 20), abandoned=True) is Status.OK


def test_a_committed_offset_that_went_back_is_rewound_until_it_has_caught_up_with_itself() -> None:
    assert the_verdict(some_samples([90, 20, 30], 100)) is Status.REWOUND
    assert the_verdict(some_samples([90, 20, 95], 100)) is Status.OK


def test_an_offset_past_the_end_means_the_log_was_made_anew() -> None:
    [sample] = some_samples([500], 20)
    assert the_verdict([sample]) is Status.REWOUND
    assert sample.lag is None


def test_records_deleted_before_they_were_read_are_lost() -> None:
    status, rule = judge(some_samples([40], 100, start=60), abandoned=False)
    assert (status, rule) == (Status.LOST, "retention deleted 20 records before the group read them")


def test_records_lost_are_told_even_when_nothing_is_left_to_read() -> None:
    assert the_verdict(some_samples([40], 100, start=100)) is Status.LOST


def test_one_look_shows_no_trend_and_is_no_clean_bill() -> None:
    assert the_verdict(some_samples([7], 9)) is Status.UNKNOWN


# the traps


def test_lag_is_counted_from_the_log_start_so_deleted_records_are_no_phantom_lag() -> None:
    [sample] = some_samples([40], 100, start=60)
    assert sample.lag == 40


def test_a_group_that_never_committed_has_an_unknown_lag_not_zero() -> None:
    [sample] = some_samples([None], 100)
    assert sample.lag is None
    assert sample.lag_s is None
    assert the_verdict([sample]) is Status.UNKNOWN


def test_a_partition_that_holds_nothing_has_no_lag_even_when_nobody_committed() -> None:
    [sample] = some_samples([None], 0)
    assert sample.lag == 0
    assert the_verdict([sample]) is Status.OK


def test_an_idle_topic_has_no_age_however_old_its_last_record_is() -> None:
    assert Sample(NOON, 0, 100, 100, oldest_at=NOON - 86_400).lag_s == 0.0


def test_age_is_that_of_the_oldest_record_not_yet_committed() -> None:
    assert Sample(NOON, 0, 90, 100, oldest_at=NOON - 75).lag_s == 75.0


def test_a_producer_whose_clock_runs_ahead_makes_no_negative_age() -> None:
    assert Sample(NOON, 0, 90, 100, oldest_at=NOON + 75).lag_s == 0.0


def test_transaction_markers_are_nothing_to_read() -> None:
    sample = Sample(NOON, 0, 99, 100, markers_only=True)
    assert (sample.lag, sample.lag_s) == (0, 0.0)
    assert the_verdict([sample, sample]) is Status.OK


def test_a_trivial_lag_of_fresh_records_rings_no_bell() -> None:
    growing_but_fresh = some_samples([10, 20, 30], [11, 23, 36], oldest_s=FRESH_S)
    assert the_verdict(growing_but_fresh) is Status.OK


def test_the_time_to_clear_is_that_of_the_slowest_partition() -> None:
    fast, slow = some_samples([0, 500], 1_000), some_samples([0, 100], 1_000)
    assert eta(fast) == 5.0
    assert a_group(a_partition(fast, 0), a_partition(slow, 1)).eta_s == eta(slow) == 45.0


def test_a_lag_that_does_not_shrink_never_clears_and_neither_does_its_group() -> None:
    stuck, draining = some_samples([0, 0], 1_000), some_samples([0, 500], 1_000)
    assert eta(stuck) is None
    assert a_group(a_partition(stuck, 0), a_partition(draining, 1)).eta_s is None


# groups and words


def test_a_group_is_as_well_as_its_worst_partition_and_says_which_rule_fired_where() -> None:
    well, lost = a_partition(some_samples([10], 10), 0), a_partition(some_samples([4], 10, start=6), 1)
    group = a_group(well, lost)
    assert group.status is Status.LOST
    assert group.rule == "orders[1]: retention deleted 2 records before the group read them"
    assert (group.lag, group.lag_s) == (4, 60.0)


def test_a_group_without_partitions_is_unknown() -> None:
    assert a_group().status is Status.UNKNOWN


def test_a_verdict_carries_the_samples_behind_it() -> None:
    samples = some_samples([7, 7, 7, 7], 9)
    assert a_partition(samples).samples == tuple(samples)


@pytest.mark.parametrize(
    ("span", "words"), [(0, "0 s"), (59.6, "1 m"), (190, "3 m 10 s"), (3_600, "1 h"), (90_000, "1 d 1 h"), (None, "unknown")]
)
def test_spans_are_told_in_human_words(span: float | None, words: str) -> None:
    assert seconds(span) == words


# whatever a cluster may answer

looks = st.tuples(
    st.integers(0, 50), st.one_of(st.none(), st.integers(0, 150)), st.integers(50, 100), st.floats(0, 600), st.booleans()
)


@given(st.lists(looks, min_size=1, max_size=30), st.booleans())
def test_every_history_gets_a_verdict_in_words_and_never_a_negative_figure(
    history: list[tuple[int, int | None, int, float, bool]], abandoned: bool
) -> None:
    samples = [
        Sample(NOON + place * EVERY_S, start, committed, end, NOON - age, markers)
        for place, (start, committed, end, age, markers) in enumerate(history)
    ]
    status, rule = judge(samples, abandoned=abandoned)
    assert rule
    figures = (samples[-1].lag, samples[-1].lag_s, eta(samples))
    assert all(figure is None or figure >= 0 for figure in figures)
    assert status is not Status.OK or samples[-1].lag is not None


@given(st.lists(st.sampled_from(list(Status)), min_size=1))
def test_no_partition_is_graver_than_its_group(statuses: list[Status]) -> None:
    ok = a_partition(some_samples([10], 10))
    group = a_group(*(ok.model_copy(update={"status": status, "partition": n}) for n, status in enumerate(statuses)))
    assert all(GRAVITY[group.status] >= GRAVITY[status] for status in statuses)


@given(st.integers(4, 100))
def test_a_member_that_stands_still_is_always_found_out(looks_taken: int) -> None:
    samples = some_samples([7] * looks_taken, 9)
    assert samples[-1].at - samples[0].at >= QUIET_S
    assert the_verdict(samples) is Status.STALLED
