"""What rows look like once a person in them is forgotten. Pure: the same row again changes nothing."""

from datetime import datetime

from schemas.audiences import Progress
from schemas.deliveries import Delivery, Step
from schemas.erasures import ERASED
from schemas.plan import Notification, PlannedDelivery
from schemas.requests import Message, NotificationRequest, PersonTarget, Target

GONE = "[erased]"
_LAST = "\U0010ffff"  # behind every name


def is_only_for(notification: Notification, person: str) -> bool:
    """Whether nobody else was a recipient, so that its content is this person's alone."""
    others = any(line.recipient != person for line in notification.plan.lines)
    return notification.plan.audience is None and not others and bool(notification.plan.lines)


def without(notification: Notification, person: str, pseudonym: str) -> Notification:
    """The row without the person. What was said to others as well stays theirs; ids stay, so that nothing is sent anew."""
    request = without_target(notification.request, person, pseudonym)
    if is_only_for(notification, person):
        request = _without_content(request)
    lines = tuple(_without_line(line, person, pseudonym) for line in notification.plan.lines)
    is_theirs = notification.producer.partition(":")[2] == person
    return notification.model_copy(
        update={
            "request": request,
            "plan": notification.plan.with_lines(lines),
            "producer": pseudonym if is_theirs else notification.producer,
        }
    )


def without_target(request: NotificationRequest, person: str, pseudonym: str) -> NotificationRequest:
    """The address that was given for them goes with their name."""

    def target(each: Target) -> Target:
        is_theirs = isinstance(each, PersonTarget) and each.user == person
        return PersonTarget(user=pseudonym) if is_theirs else each

    return request.model_copy(update={"to": tuple(target(each) for each in request.to)})


def _without_content(request: NotificationRequest) -> NotificationRequest:
    message = Message(body=GONE) if request.message is not None else None
    return request.model_copy(update={"message": message, "variables": {}, "metadata": {}})


def _without_line(line: PlannedDelivery, person: str, pseudonym: str) -> PlannedDelivery:
    """A line that has no row yet, a later step of a fallback for instance, has ended here."""
    if line.recipient != person:
        return line
    changes = {"recipient": pseudonym, "address": None, "endpoint": "", "skipped": line.skipped or ERASED}
    return line.model_copy(update=changes)


def forgotten(row: Delivery, pseudonym: str, now: datetime) -> Delivery:
    """A row of the ledger without its person. What still waited ends here; what is under way is left to its worker.

    What providers answered goes too: mail servers like to repeat the address.
    """
    history = tuple(_without_answer(step) for step in row.history)
    changes = {
        "recipient": pseudonym,
        "kept_shard": row.shard,
        "answer": None,
        "provider_id": None,
        "devices": None,
        "history": history,
        "version": row.version + 1,
    }
    if row.state in ("RETRY", "PENDING"):
        ended = {"state": "SKIPPED", "reason": ERASED, "next_at": None, "updated_at": now}
        changes |= ended | {"history": (*history, Step(event="skipped", at=now, attempt=row.attempt, reason=ERASED))}
    return row.model_copy(update=changes)


def _without_answer(step: Step) -> Step:
    return step.model_copy(update={"answer": None, "provider_id": None, "note": None})


def walked_past(progress: Progress, person: str) -> Progress:
    """A walk that has ended at this very person: it has ended, so what counts is only that it is past everybody.

    One that is still going on names them until its next page.
    """
    if not progress.done:
        return progress
    named = [name for name in ("cursor", "page_to", "taken_back_to") if getattr(progress, name) == person]
    return progress.model_copy(update=dict.fromkeys(named, _LAST))
