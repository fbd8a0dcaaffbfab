"""A timer asks whether everything planned for a notification has ended; whatever ends puts it."""

from datetime import UTC, datetime, timedelta

from infrastructure.dynamo.timers import TimerStore
from schemas import cloudevents, topics
from schemas.events import Completion
from schemas.timers import Timer
from schemas.topics import Environment

COMPLETION_TYPE = "carillon.completion.v1"
_EVERY_S, _EVERY_S_OF_AN_AUDIENCE = 1, 15
"""Whatever ends within so many seconds shares a timer. The answer for an audience reads every row of its ledger."""


async def ask_whether_it_ended(
    timers: TimerStore, environment: Environment, notification_id: str, *, is_audience: bool
) -> None:
    """Until a timer stands that cannot have fired yet: one that is just firing may have looked too early."""
    every = timedelta(seconds=_EVERY_S_OF_AN_AUDIENCE if is_audience else _EVERY_S)
    while True:
        timer = _timer(environment, notification_id, datetime.now(UTC), every)
        await timers.put(timer)
        if datetime.now(UTC) < timer.due_at:
            return


def _timer(environment: Environment, notification_id: str, now: datetime, every: timedelta) -> Timer:
    """Due a second after the next full step: deliveries that end together put the same timer."""
    steps = int(now.timestamp() // every.total_seconds())
    due = datetime.fromtimestamp((steps + 1) * every.total_seconds(), UTC) + timedelta(seconds=1)
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
