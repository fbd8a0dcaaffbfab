"""Formats our document uses that schemathesis does not know: what it may say where one of them is asked for."""

from datetime import datetime
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("iana-time-zone", st.sampled_from(sorted(available_timezones())))
schemathesis.openapi.format(
    "date-time-local",
    st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31)).map(lambda at: at.isoformat()),  # noqa: DTZ001
)
