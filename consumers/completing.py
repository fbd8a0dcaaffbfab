"""A timer asks whether everything planned for a notification has ended; whatever ends puts it."""

from datetime import UTC, datetime, timedelta

from infrastructure.dynamo.timers import TimerStore
from schemas import cloudevents, topics
from schemas.events import Completion
from schemas.timers import Timer
from schemas.topics import Environment

COMPLETION_TYPE = "carillon.completion.v1"
_EVERY, _EVERY_OF_AN_AUDIENCE = timedelta(seconds=1), timedelta(minutes=1)
"""Whatever ends within such a step shares a timer. The answer for an audience reads every row of its ledger."""
_AFTER_A_STEP = timedelta(seconds=1)
_REMEMBERED = 1_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Completing:
    """Remembers which timers stand: the next of a hundred thousand ends need not put the same again."""

    def __init__(self, timers: TimerStore) -> None:
        self._timers = timers
        self._covered: dict[tuple[Environment, str], datetime] = {}

    async def ask(self, environment: Environment, notification_id: str, *, is_audience: bool) -> None:
        """Until a timer stands that cannot have fired yet: one that is just firing may have looked too early."""
        every = _EVERY_OF_AN_AUDIENCE if is_audience else _EVERY
        while datetime.now(UTC) >= self._covered.get((environment, notification_id), _LONG_AGO):
            timer = _timer(environment, notification_id, datetime.now(UTC), every)
            await self._timers.put(timer)
            if datetime.now(UTC) < timer.due_at:
                self._remember(environment, notification_id, timer.due_at - _AFTER_A_STEP)
                return

    def _remember(self, environment: Environment, notification_id: str, until: datetime) -> None:
        """To the end of its step, a second before it is due: the clock of whoever fires it may be a little ahead."""
        self._covered.pop((environment, notification_id), None)
        self._covered[environment, notification_id] = until
        if len(self._covered) > _REMEMBERED:
            del self._covered[next(iter(self._covered))]


def _timer(environment: Environment, notification_id: str, now: datetime, every: timedelta) -> Timer:
    """Due a second after the step of now: deliveries that end together put the same timer."""
    steps = int(now.timestamp() // every.total_seconds())
    due = datetime.fromtimestamp((steps + 1) * every.total_seconds(), UTC) + _AFTER_A_STEP
    asked = Completion(environment=environment, notification_id=notification_id)
    name = f"final#{notification_id}"
    return Timer(
        environment=environment,
        timer_id=name,
        due_at=due,
        topic=topics.status(environment),
        key=notification_id,
        value=asked.model_dump_json(),
        headers=cloudevents.event_headers(
            COMPLETION_TYPE, event_id=f"{name}#{int(due.timestamp())}", source="persist", time=due
        ),
    )
