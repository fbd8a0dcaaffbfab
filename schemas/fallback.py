"""Fallback: further channels, one step after the other, until the person has seen, read or clicked. Pure rules.

A step's clock starts when the step before it has settled; one that failed or was skipped as a whole starts the next at once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from schemas.deliveries import ENDED, Delivery
from schemas.plan import Plan, PlannedDelivery
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


def at_once(plan: Plan) -> tuple[PlannedDelivery, ...]:
    """What goes out when the plan is made: the first channels, and the step after one that is skipped as a whole."""
    first: dict[str, int] = {}
    for line in plan.to_make:
        first[line.recipient] = min(line.step, first.get(line.recipient, line.step))
    return tuple(line for line in plan.to_make if line.step == first[line.recipient])


def watched(plan: Plan, line: PlannedDelivery) -> PlannedDelivery | None:
    """The inbox line whose reading ends the further steps; None for the first channels, and where there is none."""
    if line.step == 0:
        return None
    return next((each for each in plan.to_make if each.recipient == line.recipient and each.channel == "in_app"), None)


def waiting_reason(plan: Plan, line: PlannedDelivery) -> str | None:
    """Why a line that nobody has begun waits."""
    return f"waits_unless_{plan.fallback[line.step - 1].unless}" if line.step else None


def beside(plan: Plan, line: PlannedDelivery) -> tuple[PlannedDelivery, ...]:
    """The other lines of the same step for the same person."""
    own = (each for each in plan.to_make if (each.recipient, each.step) == (line.recipient, line.step))
    return tuple(each for each in own if each.delivery_id != line.delivery_id)


def following(plan: Plan, line: PlannedDelivery) -> tuple[PlannedDelivery, ...]:
    """The next step of this person that has something to send."""
    later = [each for each in plan.to_make if each.recipient == line.recipient and each.step > line.step]
    nearest = min((each.step for each in later), default=0)
    return tuple(each for each in later if each.step == nearest)


def due_after(plan: Plan, line: PlannedDelivery, settled: Delivery, others: Iterable[Delivery | None]) -> datetime | None:
    """When the step after `line` comes, now that the line has settled; None while it has not, or when all was taken back.

    `others` are the rows of the lines beside it: the wait is over only when nothing of the step went out.
    """
    if settled.state not in ENDED or settled.state == "CANCELLED":
        return None
    [upcoming, *_] = following(plan, line)
    goes_on = _came_to_nothing(settled, plan.fallback[upcoming.step - 1].unless)
    if goes_on and all(row is not None and row.state in _CAME_TO_NOTHING for row in others):
        return settled.updated_at
    return settled.updated_at + plan.fallback[line.step].after


def _came_to_nothing(row: Delivery, unless: Unless) -> bool:
    """A step that an answer ended goes on at once only to one that the same answer ends."""
    if row.state == "SKIPPED" and row.reason in ANSWERS:
        return is_answered(unless, row.reason)
    return row.state in _CAME_TO_NOTHING


def _twice(channels: Sequence[Channel]) -> set[Channel]:
    return {channel for channel in channels if channels.count(channel) > 1}
