"""Requests that wait for their time before they are routed: where they are listed, and their one timer."""

from datetime import datetime

from consumers.arrivals import Arrival, Moved
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.schedules import Entry, ScheduleStore, of_person, of_producer
from infrastructure.dynamo.timers import TimerStore
from schemas.plan import Unplanned
from schemas.recipients import people_named
from schemas.requests import NotificationRequest
from schemas.schedules import first_moment, last_moment


class Schedules:
    def __init__(self, notifications: NotificationStore, schedules: ScheduleStore, timers: TimerStore) -> None:
        self._notifications = notifications
        self._schedules = schedules
        self._timers = timers

    async def as_moved(self, arrival: Arrival) -> NotificationRequest:
        """The request with the time that is in force: its sender may have moved it since."""
        if arrival.request.send_at is None:
            return arrival.request
        moved_to = await self._notifications.moved_to(arrival.environment, arrival.notification_id)
        return arrival.request.model_copy(update={"send_at": moved_to}) if moved_to else arrival.request

    async def listed(self, environment: str, notification_id: str, producer: str, request: NotificationRequest) -> None:
        """Put where its sender finds it, and each person it names; what is not so any more is passed over there."""
        if request.send_at is not None:
            owners = (of_producer(producer), *map(of_person, people_named(request)))
            await self._schedules.put(environment, owners, Entry(notification_id, last_moment(request.send_at)))

    async def note(self, arrival: Arrival, request: NotificationRequest, timer_id: str, now: datetime) -> None:
        """What can be looked up until it is routed. Listed first: what is listed and is not there is passed over."""
        if request.send_at is None:
            return
        await self.listed(arrival.environment, arrival.notification_id, arrival.producer, request)
        note = Unplanned(
            status="SCHEDULED",
            producer=arrival.producer,
            request_id=arrival.request_id,
            at=now,
            due_at=first_moment(request.send_at),
            send_at=request.send_at,
            timer_id=timer_id,
            people=people_named(request),
        )
        await self._notifications.note_unplanned(arrival.environment, arrival.notification_id, note)

    async def move(self, moved: Moved) -> None:
        """Its timer to the new time: the new one first. One that has fired meanwhile meets the new time in the row."""
        environment, notification_id = moved.environment, moved.notification_id
        note = await self._notifications.unplanned(environment, notification_id)
        if note is None or note.timer_id is None or note.due_at is None or note.send_at is None:
            return
        owners = (of_producer(note.producer), *map(of_person, note.people))
        after = note.model_copy(update={"send_at": moved.send_at, "due_at": first_moment(moved.send_at)})
        timer = await self._timers.get(environment, note.timer_id, note.due_at)
        if timer is not None:
            await self._timers.put(timer.model_copy(update={"due_at": after.due_at}))
        await self._schedules.put(environment, owners, Entry(notification_id, last_moment(moved.send_at)))
        await self._notifications.note_unplanned(environment, notification_id, after)
        if timer is not None and after.due_at != note.due_at:
            await self._timers.delete(timer)
        if after.send_at != note.send_at:
            await self._schedules.remove(environment, owners, Entry(notification_id, last_moment(note.send_at)))
