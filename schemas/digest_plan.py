"""Which deliveries of a plan are gathered: decided once with the plan, and stored in it. Pure."""

from collections.abc import Collection, Mapping

from pydantic import ValidationError

from schemas.caps import Full
from schemas.digest_terms import LONGEST, ChoiceLevel, Digest, Terms, chosen_for, terms_of
from schemas.plan import Plan, PlannedDelivery
from schemas.preferences import Preferences
from schemas.requests import NotificationRequest
from schemas.topics import Priority
from schemas.types import NotificationType


class CannotGather(ValueError):
    """What the request says of its digest and what its type says do not make one; `pointer` names the field."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


def agreed(request: NotificationRequest, kind: NotificationType) -> Digest | None:
    """The request's word before its type's, field by field; raises `CannotGather`."""
    if request.digest is False:
        return None
    if not isinstance(request.digest, Digest):
        return kind.digest
    if kind.steps_for(request):
        raise CannotGather(
            "/digest", 'its fallback follows what a person does with this one item; say "fallback": [] to gather it'
        )
    try:
        digest = request.digest.over(kind.digest)
    except ValidationError as error:
        raise CannotGather("/digest", f"together with what its type says: {error.errors()[0]['msg']}") from error
    if digest.window is None and not digest.by_choice:
        raise CannotGather("/digest/window", "neither the request nor its type says how long a window lasts")
    return digest


Lines = tuple[PlannedDelivery, ...]


def gathered(
    plan: Plan,
    lines: Lines,
    priority: Priority,
    digest: Digest | None,
    chosen: Mapping[str, Preferences],
    mandatory: Collection[str],
) -> Lines:
    """The lines with their digests; `priority` is what they go with. The urgent and the mandatory wait for nothing, and
    what has a fallback goes by itself: its steps follow what a person does with this one item."""
    if digest is None or not _may_wait(plan, priority, mandatory):
        return lines
    return tuple(line if line.skipped else _line(plan, line, digest, chosen.get(line.recipient)) for line in lines)


def over_cap(
    plan: Plan, lines: Lines, priority: Priority, full: Mapping[str, Full], digest: Digest | None, mandatory: Collection[str]
) -> Lines:
    """What would go by itself to these people is skipped, rests until there is room, or is gathered, as the cap that is full
    says; what is gathered anyway stays."""
    may_gather = _may_wait(plan, priority, mandatory)
    return tuple(
        _over(line, full[line.recipient], digest, may_gather=may_gather)
        if line.goes_by_itself and line.recipient in full
        else line
        for line in lines
    )


def _over(line: PlannedDelivery, full: Full, digest: Digest | None, *, may_gather: bool) -> PlannedDelivery:
    if full.cap.over == "hold":
        return line.model_copy(update={"capped": True})
    if full.cap.over == "drop" or not may_gather:
        return line.model_copy(update={"skipped": full.reason})
    window = min((digest.window if digest else None) or full.cap.window, LONGEST)
    terms = terms_of((digest or Digest()).model_copy(update={"window": window, "by_choice": False}), None)
    return line.model_copy(update={"digest": terms})


def _may_wait(plan: Plan, priority: Priority, mandatory: Collection[str]) -> bool:
    return priority != "urgent" and plan.category not in mandatory and not plan.fallback


def _line(plan: Plan, line: PlannedDelivery, digest: Digest, chosen: Preferences | None) -> PlannedDelivery:
    choices = chosen if chosen is not None and not line.bare else Preferences()
    return line.model_copy(update={"digest": terms_for(digest, choices, plan.type, plan.category, line.channel)})


def terms_for(digest: Digest, chosen: Preferences, kind: str, category: str, channel: str) -> Terms | None:
    """How this person wants it; None is at once."""
    names: dict[ChoiceLevel, str] = {"type": kind.partition("@")[0], "category": category, "global": ""}
    return terms_of(digest, chosen_for(chosen.digests, names, channel))
