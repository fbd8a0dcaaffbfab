"""What was sent to a person for later and rests whole in a timer: taken away, or sent on without them."""

from datetime import UTC, datetime

from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.schedules import Entry, ScheduleStore, of_person, of_producer
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from schemas import cloudevents
from schemas.erasures import ERASED, Erasure, is_covered
from schemas.events import FieldError, Receipt
from schemas.legacy import from_any
from schemas.plan import Unplanned
from schemas.requests import NotificationRequest, PersonTarget, read_object
from schemas.seal import seal
from schemas.timers import Timer

_PAGE = 100
_WHY = (FieldError(pointer="/to", detail="the person it was for has been erased"),)


class Unscheduling:
    def __init__(
        self,
        schedules: ScheduleStore,
        notifications: NotificationStore,
        timers: TimerStore,
        reporter: Reporter,
        key: bytes,
    ) -> None:
        self._schedules = schedules
        self._notifications = notifications
        self._timers = timers
        self._reporter = reporter
        self._key = key

    async def forget(self, erasure: Erasure, person: str) -> int:
        """Everything accepted before; how many there were."""
        owner, after, count = of_person(person), " ", 0
        while True:
            entries = await self._schedules.page(erasure.environment, owner, after=after, limit=_PAGE)
            for entry in entries:
                if await self._forget(erasure, person, entry):
                    await self._schedules.remove(erasure.environment, (owner,), entry)
                    count += 1
            if len(entries) < _PAGE:
                return count
            after = entries[-1].place

    async def _forget(self, erasure: Erasure, person: str, entry: Entry) -> bool:
        """False for what came later. What has left its timer is for whoever reads the mark."""
        note = await self._notifications.unplanned(erasure.environment, entry.notification_id)
        if note is None or note.timer_id is None or note.due_at is None:
            return True
        timer = await self._timers.get(erasure.environment, note.timer_id, note.due_at)
        if timer is None:
            await self._note_without(erasure, person, entry, note)
            return True
        if not is_covered(erasure.erased_before, _accepted_at(timer)):
            return False
        request = NotificationRequest.model_validate(from_any(read_object(timer.value.encode())))
        others = tuple(each for each in request.to if not (isinstance(each, PersonTarget) and each.user == person))
        if others:
            await self._timers.put(self._rewritten(timer, request.model_copy(update={"to": others}), erasure, person))
            await self._note_without(erasure, person, entry, note)
        else:
            await self._refuse(erasure, entry, note, timer)
        return True

    async def _note_without(self, erasure: Erasure, person: str, entry: Entry, note: Unplanned) -> None:
        left = note.model_copy(update={"people": tuple(each for each in note.people if each != person)})
        await self._notifications.note_unplanned(erasure.environment, entry.notification_id, left)

    async def _refuse(self, erasure: Erasure, entry: Entry, note: Unplanned, timer: Timer) -> None:
        """Its producer hears why; the timer goes last, for it leads here again when somebody dies in between."""
        now = datetime.now(UTC)
        receipt = Receipt(
            producer=note.producer,
            request_id=note.request_id,
            notification_id=None,
            verdict="rejected",
            errors=_WHY,
            at=now,
        )
        await self._reporter.receipt(erasure.environment, receipt)
        refused = note.model_copy(update={"status": "REJECTED", "reason": ERASED, "errors": _WHY, "people": ()})
        await self._notifications.note_unplanned(erasure.environment, entry.notification_id, refused)
        await self._schedules.remove(erasure.environment, (of_producer(note.producer),), entry)
        await self._timers.delete(timer)

    def _rewritten(self, timer: Timer, request: NotificationRequest, erasure: Erasure, person: str) -> Timer:
        """Under its old id and time. What an entrance of ours had sealed is sealed again, or route would not know it."""
        value, headers = request.model_dump_json(exclude_unset=True), dict(timer.headers)
        if cloudevents.SEAL in headers:
            ids = headers.get("ce_id", ""), headers.get("ce_source", "")
            headers[cloudevents.SEAL] = seal(self._key, timer.topic, *ids, value.encode())
        key = erasure.subject if timer.key == person else timer.key
        return timer.model_copy(update={"value": value, "headers": headers, "key": key})


def _accepted_at(timer: Timer) -> datetime:
    try:
        return datetime.fromisoformat(timer.headers[cloudevents.ACCEPTED_AT])
    except (KeyError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
