"""What follows from one attempt: the row as it is to be written next. Pure; time and jitter are handed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from schemas.deliveries import Delivery, State
from schemas.outcomes import Ambiguous, CannotTell, Dead, Deferred, Found, NotFound, Outcome, Policy, ReadBack, Retry, Sent
from schemas.retries import RetrySchedule


@dataclass(frozen=True)
class Terms:
    """What holds for a delivery: its policy, how often and until when it is tried, whether its provider can be asked."""

    policy: Policy
    schedule: RetrySchedule
    until: datetime
    reads_back: bool = False


@dataclass(frozen=True)
class Moment:
    """When the consequence is drawn, and where in the spread of waits it falls; `jitter` in [0, 1)."""

    now: datetime
    jitter: float


def after_attempt(claimed: Delivery, outcome: Outcome, terms: Terms, at: Moment) -> Delivery:
    """The one consequence of an outcome."""
    match outcome:
        case Sent(answer, provider_id, provider):
            return _ended(claimed, at, "SENT", answer=answer, provider_id=provider_id, provider=provider, reason=None)
        case Dead(reason):
            return _ended(claimed, at, "FAILED", reason=reason)
        case Deferred(reason, wait):
            return _deferred(claimed, reason, wait, terms, at)
        case Retry(reason, asked):
            return _again(claimed, reason, asked, terms, at)
        case Ambiguous(reason):
            doubtful = claimed.model_copy(update={"doubtful": True})
            if terms.policy == "at_most_once" and not terms.reads_back:
                return _ended(doubtful, at, "UNKNOWN", reason=reason)
            return _again(doubtful, f"ambiguous:{reason}", None, terms, at)
        case _:
            assert_never(outcome)


def after_look(claimed: Delivery, found: ReadBack, terms: Terms, at: Moment) -> Delivery | None:
    """What a look at the provider settles about a doubtful delivery; None: nothing, send it again.

    Under `at_most_once` nothing is sent again, also when the look did not show it: it may still be on its way.
    """
    match found:
        case Found(answer, provider_id):
            return _ended(claimed, at, "SENT", answer=answer, provider_id=provider_id, reason="read_back")
        case NotFound():
            return None if terms.policy == "at_least_once" else _ended(claimed, at, "UNKNOWN", reason="not_found")
        case CannotTell():
            if terms.policy == "at_least_once":
                return None
            asked = _again(claimed, "cannot_tell", None, terms, at)
            return asked if terms.reads_back else _ended(claimed, at, "UNKNOWN", reason=claimed.reason or "lost_claim")
        case _:
            assert_never(found)


def given_up(claimed: Delivery, state: State, reason: str, now: datetime) -> Delivery:
    """An end that no provider had a part in."""
    return _ended(claimed, Moment(now, 0), state, reason=reason)


def _ended(claimed: Delivery, at: Moment, state: State, **changes: Any) -> Delivery:
    return claimed.model_copy(update={"state": state, "updated_at": at.now, "next_at": None, **changes})


def _again(claimed: Delivery, reason: str, asked: timedelta | None, terms: Terms, at: Moment) -> Delivery:
    due = terms.schedule.next_at(attempt=claimed.attempt, now=at.now, deadline=terms.until, asked=asked, jitter=at.jitter)
    if due is None:
        unsure = claimed.doubtful and terms.policy == "at_most_once"
        return _ended(claimed, at, "UNKNOWN" if unsure else "FAILED", reason=f"retries_spent:{reason}")
    return _waiting(claimed, reason, due, at, attempt=claimed.attempt + 1)


def _deferred(claimed: Delivery, reason: str, wait: timedelta, terms: Terms, at: Moment) -> Delivery:
    due = at.now + wait
    if due >= terms.until:
        return _ended(claimed, at, "EXPIRED", reason=f"deadline_passed:{reason}")
    return _waiting(claimed, reason, due, at, attempt=claimed.attempt)


def _waiting(claimed: Delivery, reason: str, due: datetime, at: Moment, *, attempt: int) -> Delivery:
    changes = {"attempt": attempt, "turn": claimed.turn + 1, "reason": reason, "next_at": due}
    return claimed.model_copy(update={"state": "RETRY", "updated_at": at.now, **changes})
