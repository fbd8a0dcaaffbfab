"""preferences: applies what people change. A command that is read again finds its verdict and changes nothing."""

from datetime import UTC, datetime, timedelta

import structlog

from consumers.burial import crash, put_away
from consumers.waking import Waking
from infrastructure.dynamo.preferences import PreferenceStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.erasing import Marks
from infrastructure.metrics import PREFERENCE_CHANGES
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import topics
from schemas.erasures import is_covered
from schemas.preference_changes import PreferenceCommand
from schemas.timers import Timer

log = structlog.get_logger()

_LOOK_AGAIN = timedelta(minutes=1)


class ApplyPreferences:
    def __init__(
        self,
        preferences: PreferenceStore,
        announcer: Announcer,
        publisher: Publisher,
        timers: TimerStore,
        waking: Waking,
        marks: Marks,
    ) -> None:
        self._preferences = preferences
        self._marks = marks
        self._timers = timers
        self._waking = waking
        self._announcer = announcer
        self._publisher = publisher

    async def handle(self, record: Received) -> None:
        try:
            command = PreferenceCommand.model_validate_json(record.value or b"")
        except ValueError:
            await put_away(self._publisher, record, "unreadable")
            log.exception("preference.unreadable", at=str(record.position))
            return
        if command.environment != topics.environment_of(record.topic):
            await put_away(self._publisher, record, "other_environment")
            return
        if is_covered(await self._marks.erased_before(command.environment, command.person), command.at):
            log.info("preference.of_nobody", change=command.change_id)  # its verdict is gone with its person
            return
        verdict = await self._preferences.apply(command)
        if verdict.result == "applied" and command.change.moves_what_waits:
            await self._move_what_waits(record, command)
        await self._announcer.verdict_known(command.environment, command.change_id)
        PREFERENCE_CHANGES.labels(verdict.result).inc()
        log.info("preference.judged", result=verdict.result, version=verdict.version, change=command.change_id)

    async def _move_what_waits(self, record: Received, command: PreferenceCommand) -> None:
        """All of theirs that rests asks again when to go out. Once more after a while: by then the index has caught up, and
        whoever had read the old choice has written what they let rest."""
        again_at = command.at + _LOOK_AGAIN
        if datetime.now(UTC) < again_at:
            await self._timers.put(
                Timer(
                    environment=command.environment,
                    timer_id=f"look-again#{command.change_id}",
                    due_at=again_at,
                    topic=record.topic,
                    key=command.person,
                    value=(record.value or b"").decode(),
                )
            )
        woken = await self._waking.wake(command.environment, command.person)
        log.info("preference.moved_what_waits", count=woken)

    async def bury(self, record: Received, error: Exception) -> None:
        await put_away(self._publisher, record, crash(error))
