"""The one reading of HTTP answers: what it says, and what its absence means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.channels.failures import AMBIGUOUS, DEFINITE, read_failure
from infrastructure.channels.http import Answer, read_outcome, retry_after
from schemas.outcomes import Ambiguous, Dead, Outcome, Retry, Sent

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Sent("200", "p-1")),
        (204, Sent("204", "p-1")),
        (301, Dead("http_301")),
        (307, Dead("http_307")),
        (400, Dead("http_400")),
        (401, Dead("http_401")),
        (404, Dead("http_404")),
        (408, Retry("http_408")),
        (410, Dead("http_410")),
        (413, Dead("http_413")),
        (425, Retry("http_425")),
        (429, Retry("http_429")),
        (500, Retry("http_500")),
        (503, Retry("http_503")),
        (599, Retry("http_599")),
    ],
)
def test_each_status_means_one_outcome(status: int, expected: Outcome) -> None:
    assert read_outcome(Answer(status), "p-1") == expected


def test_a_refusal_for_now_carries_the_wait_the_provider_names() -> None:
    assert read_outcome(Answer(429, retry_after="120")) == Retry("http_429", timedelta(seconds=120))


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("86400", 86_400),
        ("Tue, 01 Dec 2026 12:02:00 GMT", 120),
        ("Tue, 01 Dec 2026 13:02:00 +0100", 120),
        ("Tue, 01 Dec 2026 12:02:00 -0000", 120),
        ("Tuesday, 01-Dec-26 12:02:00 GMT", 120),
        ("Tue, 01 Dec 2026 11:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("١٢٠", None),
        ("9" * 400, None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("Tue, 31 Feb 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_anything_else_was_not_said(
    header: str | None, expected_s: float | None
) -> None:
    found = retry_after(header, NOON)
    assert (found.total_seconds() if found is not None else None) == expected_s


@given(st.text(max_size=60))
def test_no_header_breaks_the_reading(header: str) -> None:
    found = retry_after(header, NOON)
    assert found is None or found >= timedelta(0)


@given(st.integers(0, 10**6))
def test_a_date_and_its_seconds_say_the_same(seconds: int) -> None:
    date = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    assert retry_after(date, NOON) == retry_after(str(seconds), NOON)


@pytest.mark.parametrize(
    ("kind", "row"), [(kind, Retry) for kind, _ in DEFINITE] + [(kind, Ambiguous) for kind, _ in AMBIGUOUS]
)
def test_every_row_of_the_table_is_read_as_it_says(kind: type[Exception], row: type[Outcome]) -> None:
    error = kind.__new__(kind)
    assert read_failure(error) == row(kind.__name__)  # type: ignore[call-arg]


def test_what_stands_in_no_row_is_doubt() -> None:
    assert read_failure(RuntimeError("new in a later version")) == Ambiguous("RuntimeError")
