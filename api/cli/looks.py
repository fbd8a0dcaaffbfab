"""Which rows of the ledger a command means."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

from datetime import datetime
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from schemas.troubled import Listed, Look


def held(channel: str, reason: str, since: datetime | None, until: datetime | None) -> "Look":
    """What rests until its time comes."""
    from schemas.troubled import Look

    return Look("HELD", channel or None, reason or None, since, until)


def a_look(state: str, channel: str, reason: str, since: datetime | None, until: datetime | None) -> "Look":
    """Exits with a usage error for a state that is none of these."""
    from schemas.troubled import Look

    states: dict[str, Listed] = {"FAILED": "FAILED", "UNKNOWN": "UNKNOWN", "PENDING": "PENDING"}
    if state.upper() not in states:
        raise typer.BadParameter(f"{state} is none of {', '.join(states)}", param_hint="--state")
    return Look(states[state.upper()], channel or None, reason or None, since, until)
