"""Each outcome has exactly one consequence; the table says which."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.consequences import Moment, Terms, after_attempt, after_look
from schemas.deliveries import Delivery
from schemas.outcomes import Ambiguous, CannotTell, Dead, Deferred, Found, NotFound, Outcome, Policy, ReadBack, Retry, Sent
from schemas.retries import RetrySchedule

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
AT = Moment(NOON, 0.0)
SCHEDULE = RetrySchedule((timedelta(seconds=5), timedelta(seconds=30)), timedelta(hours=1))


def a_claim(*, attempt: int = 0, doubtful: bool = False) -> Delivery:
    return Delivery(
        environment="dev",
        notification_id="ntf_1",
        delivery_id="dlv_1",
        recipient="ana",
        channel="email",
        state="IN_FLIGHT",
        attempt=attempt,
        turn=attempt,
        claim_token="mine",
        doubtful=doubtful,
        updated_at=NOON - timedelta(seconds=1),
    )


def terms(policy: Policy = "at_least_once", *, reads_back: bool = False, left: timedelta = timedelta(days=3)) -> Terms:
    return Terms(policy, SCHEDULE, NOON + left, reads_back)


@pytest.mark.parametrize(
    ("outcome", "policy", "state", "reason", "attempt", "doubtful"),
    [
        (Sent("250"), "at_least_once", "SENT", None, 0, False),
        (Dead("smtp_550"), "at_least_once", "FAILED", "smtp_550", 0, False),
        (Retry("http_503"), "at_least_once", "RETRY", "http_503", 1, False),
        (Retry("http_503"), "at_most_once", "RETRY", "http_503", 1, False),
        (Ambiguous("timeout"), "at_least_once", "RETRY", "ambiguous:timeout", 1, True),
        (Ambiguous("timeout"), "at_most_once", "UNKNOWN", "timeout", 0, True),
        (Deferred("busy", timedelta(seconds=2)), "at_most_once", "RETRY", "busy", 0, False),
    ],
)
def test_an_outcome_and_its_consequence(
    outcome: Outcome, policy: Policy, state: str, reason: str | None, attempt: int, doubtful: bool
) -> None:
    row = after_attempt(a_claim(), outcome, terms(policy), AT)
    assert (row.state, row.reason, row.attempt, row.doubtful) == (state, reason, attempt, doubtful)
    assert row.claim_token == "mine", "the token stays, so that only the claim's holder writes it"
    assert (row.turn, row.next_at is not None) == ((1, True) if state == "RETRY" else (0, False))


@pytest.mark.parametrize(
    ("look", "policy", "reads_back", "state"),
    [
        (Found("ok"), "at_least_once", True, "SENT"),
        (Found("ok"), "at_most_once", True, "SENT"),
        (NotFound(), "at_least_once", True, None),
        (NotFound(), "at_most_once", True, "UNKNOWN"),
        (CannotTell(), "at_least_once", True, None),
        (CannotTell(), "at_most_once", True, "RETRY"),
        (CannotTell(), "at_most_once", False, "UNKNOWN"),
    ],
)
def test_a_look_settles_what_it_can(look: ReadBack, policy: Policy, reads_back: bool, state: str | None) -> None:
    row = after_look(a_claim(doubtful=True), look, terms(policy, reads_back=reads_back), AT)
    assert (row.state if row else None) == state, "None: it is sent again"


def test_doubt_stays_until_something_is_known_and_ends_as_unknown_where_nothing_may_be_doubled() -> None:
    last = len(SCHEDULE.waits)
    for policy, state in (("at_least_once", "FAILED"), ("at_most_once", "UNKNOWN")):
        claim = a_claim(attempt=last, doubtful=True)
        row = after_attempt(claim, Retry("http_503"), Terms(policy, SCHEDULE, NOON + timedelta(days=3)), AT)  # type: ignore[arg-type]
        assert (row.state, row.reason, row.doubtful) == (state, "retries_spent:http_503", True)


def test_nothing_waits_beyond_its_deadline() -> None:
    soon = terms(left=timedelta(seconds=2))
    assert after_attempt(a_claim(), Retry("http_503"), soon, AT).state == "FAILED"
    late = after_attempt(a_claim(), Deferred("busy", timedelta(seconds=2)), soon, AT)
    assert (late.state, late.reason) == ("EXPIRED", "deadline_passed:busy")
