"""Fallback: further channels, one step after the other, until the person has seen, read or clicked. Pure rules.

A step's clock starts when the step before it has settled; one that failed or was skipped as a whole starts the next at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from schemas.audience_plan import audience_lines
from schemas.deliveries import ENDED, Delivery
from schemas.plan import Notification, Plan, PlannedDelivery
from schemas.requests import Channel, FallbackStep, Unless

ANSWERS: tuple[Unless, ...] = ("seen", "read", "clicked")
"""What a person can do with an inbox item; each includes the ones before it."""

_CAME_TO_NOTHING = frozenset({"SKIPPED", "FAILED", "EXPIRED"})


def flaw_in(steps: Sequence[FallbackStep], channels: Sequence[Channel]) -> tuple[str, str] | None:
    """(JSON pointer, what is wrong there) of steps that cannot follow these first channels."""
    if steps and "in_app" not in channels:
        return (
            "/fallback/0/unless",
            "without in_app among the first channels there is no inbox item to be seen",
        )
    taken = set(channels)
    for number, step in enumerate(steps):
        if again := taken & set(step.channels) or _twice(step.channels):
            return f"/fallback/{number}/channels", f"{', '.join(sorted(again))} comes twice; each channel has its one turn"
        taken |= set(step.channels)
    return None


def is_answered(unless: Unless, answer: Unless | None) -> bool:
    """Whether what the person did is what the step wanted to hear."""
    return answer is not None and ANSWERS.index(answer) >= ANSWERS.index(unless)


def at_once(lines: Iterable[PlannedDelivery]) -> tuple[PlannedDelivery, ...]:
    """What goes out when the plan is made: the first channels, and the step after one that is skipped as a whole."""
    to_make = [line for line in lines if line.skipped is None]
    first: dict[str, int] = {}
    for line in to_make:
        first[line.recipient] = min(line.step, first.get(line.recipient, line.step))
    return tuple(line for line in to_make if line.step == first[line.recipient])


def lines_for(
    notification: Notification, recipient: str, devices: Sequence[str] | None = None
) -> tuple[PlannedDelivery, ...]:
    """What is to be made for one recipient.

    For somebody of an audience every line, for what is skipped there stands in the ledger: its step comes, finds the row
    settled, and starts the next. Pushes to them are among these where their `devices` are known.
    """
    plan = notification.plan
    if any(line.recipient == recipient for line in plan.lines):
        return tuple(line for line in plan.to_make if line.recipient == recipient)
    known = None if devices is None else {recipient: devices}
    lines = audience_lines(notification, (recipient,), {}, known)
    return tuple(line.model_copy(update={"skipped": None}) for line in lines)


def watched(own: Iterable[PlannedDelivery], line: PlannedDelivery) -> PlannedDelivery | None:
    """The inbox line whose reading ends the further steps; None for the first channels, and where there is none."""
    return next((each for each in own if each.channel == "in_app"), None) if line.step else None


def waiting_reason(plan: Plan, line: PlannedDelivery) -> str | None:
    """Why a line that nobody has begun waits."""
    return f"waits_unless_{plan.fallback[line.step - 1].unless}" if line.step else None


def beside(own: Iterable[PlannedDelivery], line: PlannedDelivery) -> tuple[PlannedDelivery, ...]:
    """The other lines of the same step."""
    return tuple(each for each in own if each.step == line.step and each.delivery_id != line.delivery_id)


def following(own: Iterable[PlannedDelivery], line: PlannedDelivery) -> tuple[PlannedDelivery, ...]:
    """The next step that has something to send."""
    later = [each for each in own if each.step > line.step]
    nearest = min((each.step for each in later), default=0)
    return tuple(each for each in later if each.step == nearest)


def due_after(
    plan: Plan, line: PlannedDelivery, upcoming: int, settled: Delivery, others: Iterable[Delivery | None]
) -> datetime | None:
    """When the `upcoming` step comes, now that `line` has settled; None while it has not, or when it was taken back.

    `others` are the rows of the lines beside it: the wait is over only when nothing of the step went out.
    """
    if settled.state not in ENDED or settled.state == "CANCELLED":
        return None
    goes_on = _came_to_nothing(settled, plan.fallback[upcoming - 1].unless)
    if goes_on and all(row is not None and row.state in _CAME_TO_NOTHING for row in others):
        return settled.updated_at
    return settled.updated_at + plan.fallback[line.step].after


def comes_at(
    plan: Plan, own: Sequence[PlannedDelivery], line: PlannedDelivery, rows: Mapping[str, Delivery]
) -> datetime | None:
    """When a line that waits gets its turn, by the timers that have been put for it; None while there is none."""
    found: list[datetime | None] = []
    for each in own:
        row = rows.get(each.delivery_id)
        if row is not None and line in following(own, each):
            others = [rows.get(other.delivery_id) for other in beside(own, each)]
            found.append(due_after(plan, each, line.step, row, others))
    return min((due for due in found if due is not None), default=None)


def _came_to_nothing(row: Delivery, unless: Unless) -> bool:
    """A step that an answer ended goes on at once only to one that the same answer ends."""
    if row.state == "SKIPPED" and row.reason in ANSWERS:
        return is_answered(unless, row.reason)
    return row.state in _CAME_TO_NOTHING


def _twice(channels: Sequence[Channel]) -> set[Channel]:
    return {channel for channel in channels if channels.count(channel) > 1}
