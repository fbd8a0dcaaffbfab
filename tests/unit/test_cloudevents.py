from datetime import datetime, timedelta, timezone

import pytest

from schemas.cloudevents import event_headers, text_headers, trace_id, traceparent_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_an_event_carries_the_required_attributes_and_its_time_in_utc() -> None:
    moment = datetime(2026, 12, 1, 9, tzinfo=timezone(timedelta(hours=1)))
    assert event_headers("carillon.status.v1", event_id="e-1", source="route", time=moment) == {
        "ce_specversion": "1.0",
        "ce_id": "e-1",
        "ce_source": "route",
        "ce_type": "carillon.status.v1",
        "ce_time": "2026-12-01T08:00:00.000Z",
        "content-type": "application/json",
    }


def test_of_a_header_that_comes_twice_the_first_counts_and_case_does_not() -> None:
    assert text_headers([("CE_Source", b"ana"), ("ce_source", b"eve")]) == {"ce_source": "ana"}


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert text_headers([("a", b"\xff\xfe"), ("b", None)]) == {"a": "\ufffd\ufffd", "b": ""}  # type: ignore[list-item]


def test_the_callers_trace_goes_on() -> None:
    assert traceparent_of({"traceparent": TRACE}) == TRACE
    assert trace_id(TRACE) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("broken", ["", "x", TRACE.upper(), TRACE[:-1], TRACE + "-00", TRACE.replace("00-", "01-", 1)])
def test_a_malformed_trace_is_replaced_by_a_new_one(broken: str) -> None:
    made = traceparent_of({"traceparent": broken})
    assert made not in (broken, traceparent_of({"traceparent": broken}))
    assert len(trace_id(made)) == 32
    assert trace_id(broken) == ""
