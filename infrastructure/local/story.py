"""One line per notification for the person who watches `make run`."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

# A log line is data from outside: nothing in it may move the cursor of the terminal it is printed on.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
FOLLOW_S = 0.1


def as_line(logged: str) -> str | None:
    """`12:30:01  in_app  SENT  to ana  ntf_…  notifications.dev.in-app/0/7` for a settled delivery, else None."""
    try:
        event = json.loads(logged)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") != "delivery.settled":
        return None
    when = str(event.get("timestamp", ""))[11:19]
    recipient = f"to {event.get('recipient')}"
    told = [when, event.get("channel"), event.get("state"), recipient, event.get("reason"), event.get("answer")]
    told += [event.get("notification"), event.get("at")]
    return CONTROL.sub("?", "  ".join(str(part) for part in told if part))


async def follow(log: Path) -> AsyncIterator[str]:
    """The complete lines of a growing file, from its beginning."""
    async with await anyio.open_file(log, errors="replace") as file:
        unfinished = ""
        while True:
            unfinished += await file.readline()
            if unfinished.endswith("\n"):
                yield unfinished
                unfinished = ""
            else:
                await anyio.sleep(FOLLOW_S)
