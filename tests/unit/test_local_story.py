import json

import pytest

from infrastructure.local.story import as_line

SETTLED = {
    "event": "delivery.settled",
    "timestamp": "2026-11-21T12:30:01.5Z",
    "channel": "slack",
    "state": "SENT",
    "recipient": "ana",
}


def test_a_settled_delivery_is_one_line() -> None:
    assert as_line(json.dumps({**SETTLED, "notification": "ntf_a"})) == "12:30:01  slack  SENT  to ana  ntf_a"


@pytest.mark.parametrize("logged", ["", "Traceback", "[]", '"text"', '{"event": "record.decoded"}'])
def test_every_other_log_line_is_left_out(logged: str) -> None:
    assert as_line(logged) is None


def test_what_comes_from_outside_cannot_steer_the_terminal() -> None:
    assert as_line(json.dumps({**SETTLED, "reason": "\x1b[2Jgone\r"})) == "12:30:01  slack  SENT  to ana  ?[2Jgone?"
