"""How a consumer group's lag is judged: Burrow's rules (github.com/linkedin/Burrow) with their known traps closed.

Kafka tells nobody when a group committed, only how far, so a commit is seen as a committed offset that differs from the one
sampled before. Nothing here does IO; every moment is an argument, in unix seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from schemas.base import Value

SAMPLES_KEPT = 120  # ten minutes at one sample in five seconds
SAMPLES_JUDGED = 12  # growth and drain are judged on the last minute, or an old quiet spell hides a new trouble
FRESH_S = 10.0  # a record this young is on its way, not late (burrow#223: warnings at trivial lag)
QUIET_S = 15.0  # commits usually come every 5 s; three missed in a row are worth a word


class Status(StrEnum):
    """From calm to grave: a group has the gravest status of its partitions."""

    OK = "OK"
    UNKNOWN = "UNKNOWN"
    BEHIND = "BEHIND"
    REWOUND = "REWOUND"
    STALLED = "STALLED"
    STOPPED = "STOPPED"
    LOST = "LOST"


GRAVITY = {status: gravity for gravity, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one partition of one group."""

    at: float
    start: int
    committed: int | None
    end: int
    oldest_at: float | None = None  # timestamp of the oldest record not yet committed
    markers_only: bool = False  # nothing but transaction markers lies between committed and end

    @property
    def lag(self) -> int | None:
        """Records still to read. Clamped to the log start: what retention deleted will never be read."""
        if self.start == self.end:
            return 0
        if self.committed is None or self.committed > self.end:
            return None
        return 0 if self.markers_only else self.end - max(self.committed, self.start)

    @property
    def lag_s(self) -> float | None:
        """Age of the oldest record not yet committed; a partition without lag has none, however idle it is."""
        if self.lag == 0:
            return 0.0
        return None if self.oldest_at is None else max(0.0, self.at - self.oldest_at)


class PartitionLag(Value):
    topic: str
    partition: int
    start: int
    committed: int | None
    end: int
    owner: str | None
    lag: int | None
    lag_s: float | None
    eta_s: float | None
    status: Status
    rule: str
    samples: tuple[Sample, ...]


class GroupLag(Value):
    group: str
    state: str
    status: Status
    rule: str
    lag: int | None
    lag_s: float | None
    eta_s: float | None
    members: tuple[str, ...]
    partitions: tuple[PartitionLag, ...]


Verdict = tuple[Status, str]


def judge(samples: Sequence[Sample], *, abandoned: bool) -> Verdict:
    """The status of a partition and the rule that gave it; `abandoned` says that the group has no members."""
    last = samples[-1]
    if (known := _position(last)) is not None:
        return known
    if (back := _rewound(samples)) is not None:
        return back
    if last.lag_s is not None and last.lag_s <= FRESH_S:
        return Status.OK, f"the oldest unread record is {seconds(last.lag_s)} old; up to {seconds(FRESH_S)} is on its way"
    if (still := _standing(samples, abandoned=abandoned)) is not None:
        return still
    return _trend(samples[-SAMPLES_JUDGED:])


def _position(last: Sample) -> Verdict | None:
    """What one look is enough to say."""
    if last.committed is not None and last.committed < last.start:
        return Status.LOST, f"retention deleted {last.start - last.committed:,} records before the group read them"
    if last.committed is not None and last.committed > last.end:
        return Status.REWOUND, f"committed {last.committed:,} lies past the end {last.end:,}: the log was cut or made anew"
    if last.start == last.end:
        return Status.OK, "the partition holds no records"
    if last.committed is None:
        return Status.UNKNOWN, "the group never committed here, so nobody can say what it has read"
    if last.markers_only:
        return Status.OK, "only transaction markers lie behind the committed offset"
    return (Status.OK, "everything is committed") if last.lag == 0 else None


def _rewound(samples: Sequence[Sample]) -> Verdict | None:
    """An offset went backwards and has not caught up with itself again."""
    offsets = [sample.committed for sample in samples if sample.committed is not None]
    highest, now = max(offsets), offsets[-1]
    if now >= highest:
        return None
    return Status.REWOUND, f"the committed offset went back from {highest:,} and has only reached {now:,} again"


def _standing(samples: Sequence[Sample], *, abandoned: bool) -> Verdict | None:
    """Lag without progress: abandoned at once, held by a member only after a silence that is long for this group."""
    last = samples[-1]
    run = _unmoved(samples)
    quiet_s = last.at - run[0].at
    if abandoned and (len(samples) == 1 or len(run) > 1):
        return Status.STOPPED, f"no member reads this partition, and {last.lag:,} records wait"
    patience_s = max(QUIET_S, 2 * _longest_gap(samples))
    if quiet_s >= patience_s:
        return Status.STALLED, (
            f"the committed offset repeated {last.committed:,} in {len(run)} samples over {seconds(quiet_s)}, "
            f"longer than {seconds(patience_s)}, while {last.lag:,} records wait"
        )
    return None


def _trend(window: Sequence[Sample]) -> Verdict:
    """Growth without ever touching zero is falling behind; one sample shows no trend."""
    first, last = window[0], window[-1]
    lags = [sample.lag or 0 for sample in window]
    span = seconds(last.at - first.at)
    if len(window) == 1:
        return Status.UNKNOWN, "one sample so far; a trend needs two"
    half = len(lags) // 2
    grows = sum(lags[-half:]) > sum(lags[:half])
    if min(lags) > 0 and lags[-1] > lags[0] and grows:
        return Status.BEHIND, f"the lag grew from {lags[0]:,} to {lags[-1]:,} over {span} and never touched zero"
    if first.committed == last.committed and min(lags) > 0:
        return Status.UNKNOWN, f"no commit seen for {span}; {seconds(QUIET_S)} of silence make it stalled"
    return Status.OK, f"the group keeps up: lag {lags[0]:,}, then {lags[-1]:,} after {span}"


def _unmoved(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The newest samples that share one committed offset, since there was something to read."""
    first = len(samples) - 1
    while first > 0 and samples[first - 1].committed == samples[-1].committed and samples[first - 1].lag != 0:
        first -= 1
    return samples[first:]


def _longest_gap(samples: Sequence[Sample]) -> float:
    """The longest wait between two commits seen; a group that commits once a minute may be silent for a minute."""
    moves = [after.at for before, after in pairwise(samples) if before.committed != after.committed]
    return max((later - earlier for earlier, later in pairwise(moves)), default=0.0)


def eta(samples: Sequence[Sample]) -> float | None:
    """Seconds until the lag is gone at the last minute's pace; None when it is unknown or does not shrink."""
    window = samples[-SAMPLES_JUDGED:]
    first, last = window[0], window[-1]
    if last.lag == 0:
        return 0.0
    if last.lag is None or first.lag is None or last.lag >= first.lag or last.at <= first.at:
        return None
    return last.lag * (last.at - first.at) / (first.lag - last.lag)


def partition_lag(
    topic: str, partition: int, samples: Sequence[Sample], *, owner: str | None, abandoned: bool
) -> PartitionLag:
    """The newest look at a partition with its verdict and the samples behind it."""
    last = samples[-1]
    status, rule = judge(samples, abandoned=abandoned)
    return PartitionLag(
        topic=topic,
        partition=partition,
        start=last.start,
        committed=last.committed,
        end=last.end,
        owner=owner,
        lag=last.lag,
        lag_s=last.lag_s,
        eta_s=eta(samples),
        status=status,
        rule=rule,
        samples=tuple(samples[-SAMPLES_JUDGED:]),
    )


def group_lag(group: str, state: str, members: Iterable[str], partitions: Sequence[PartitionLag]) -> GroupLag:
    """A group is as well as its worst partition, and clears when its slowest one does (skew: never a sum over a sum)."""
    worst = max(partitions, key=lambda one: GRAVITY[one.status], default=None)
    lags = [one.lag for one in partitions if one.lag is not None]
    ages = [one.lag_s for one in partitions if one.lag_s is not None]
    etas = [one.eta_s for one in partitions]
    return GroupLag(
        group=group,
        state=state,
        status=worst.status if worst else Status.UNKNOWN,
        rule=f"{worst.topic}[{worst.partition}]: {worst.rule}"
        if worst
        else "nothing the group has committed on or holds exists now",
        lag=sum(lags) if lags else None,
        lag_s=max(ages, default=None),
        eta_s=max((one for one in etas if one is not None), default=None) if None not in etas else None,
        members=tuple(sorted(members)),
        partitions=tuple(sorted(partitions, key=lambda one: (one.topic, one.partition))),
    )


def seconds(span: float | None) -> str:
    """A span in human words: `3 m 10 s`."""
    if span is None:
        return "unknown"
    whole = round(span)
    for unit, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
