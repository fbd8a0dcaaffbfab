"""preferences: applies what people change. A command that is read again finds its verdict and changes nothing."""

import structlog

from consumers.burial import crash, put_away
from infrastructure.dynamo.preferences import PreferenceStore
from infrastructure.metrics import PREFERENCE_CHANGES
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import topics
from schemas.preference_changes import PreferenceCommand

log = structlog.get_logger()


class ApplyPreferences:
    def __init__(self, preferences: PreferenceStore, announcer: Announcer, publisher: Publisher) -> None:
        self._preferences = preferences
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
        verdict = await self._preferences.apply(command)
        await self._announcer.verdict_known(command.environment, command.change_id)
        PREFERENCE_CHANGES.labels(verdict.result).inc()
        log.info("preference.judged", result=verdict.result, version=verdict.version, change=command.change_id)

    async def bury(self, record: Received, error: Exception) -> None:
        await put_away(self._publisher, record, crash(error))
