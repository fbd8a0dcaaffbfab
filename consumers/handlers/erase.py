"""erase: forgets a person, part by part. Whoever goes on where another died finds in the row which parts are done."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from consumers.burial import crash, put_away
from consumers.parts import Parts, Whose
from infrastructure.auth.box import Unreadable
from infrastructure.dynamo.erasures import ErasureStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.erasing import Pseudonyms
from infrastructure.metrics import ERASURES
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import topics
from schemas.erasures import PARTS, SWEPT, ErasureCommand
from schemas.timers import Timer

log = structlog.get_logger()

_SOON = timedelta(seconds=1)
_AFTER_A_CRASH = timedelta(minutes=15)


class Erase:
    def __init__(
        self,
        erasures: ErasureStore,
        pseudonyms: Pseudonyms,
        parts: Parts,
        timers: TimerStore,
        announcer: Announcer,
        publisher: Publisher,
        sweeps_s: Sequence[float],
    ) -> None:
        self._erasures = erasures
        self._pseudonyms = pseudonyms
        self._parts = parts
        self._timers = timers
        self._announcer = announcer
        self._publisher = publisher
        self._sweeps = tuple(timedelta(seconds=after_s) for after_s in sweeps_s)

    async def handle(self, record: Received) -> None:
        try:
            command = ErasureCommand.model_validate_json(record.value or b"")
            person = self._pseudonyms.person_of(command)
        except (ValueError, Unreadable):
            await put_away(self._publisher, record, "unreadable")
            log.exception("erasure.unreadable", at=str(record.position))
            return
        if command.environment != topics.environment_of(record.topic):
            await put_away(self._publisher, record, "other_environment")
            return
        with structlog.contextvars.bound_contextvars(subject=command.subject, erasure=command.erasure_id):
            erasure = await self._erasures.begin(command, datetime.now(UTC))
            if erasure.status == "UNDER_WAY":
                await self._carry_out(command, Whose(record, erasure, person))
            elif command.sweep and erasure.erasure_id == command.erasure_id:
                await self._sweep(command, Whose(record, erasure, person))
            await self._announcer.verdict_known(command.environment, command.erasure_id)

    async def bury(self, record: Received, error: Exception) -> None:
        """Somebody waits to be forgotten: it is tried again later, when whoever is on duty has looked."""
        await put_away(self._publisher, record, crash(error))
        try:
            command = ErasureCommand.model_validate_json(record.value or b"")
        except ValueError:
            return
        again = datetime.now(UTC) + _AFTER_A_CRASH
        await self._timers.put(_timer(command, f"again#{record.position}", again))

    async def _carry_out(self, command: ErasureCommand, whose: Whose) -> None:
        erasure = whose.erasure
        for part in PARTS:
            if part not in erasure.parts:
                count = await self._parts.forget(part, whose)
                erasure = await self._erasures.finish(erasure, part, count)
                log.info("erasure.part_done", part=part, count=count)
        due = await self._rest(command, sweep=1)
        await self._erasures.done(erasure, datetime.now(UTC), due)
        await self._announcer.erased(command.environment, whose.person)
        ERASURES.labels("done").inc()
        log.info("erasure.done", **erasure.parts)

    async def _sweep(self, command: ErasureCommand, whose: Whose) -> None:
        """What was under way when the mark was set, or lay in Kafka, has left a trace since; it is gone afterwards."""
        counts = {part: await self._parts.forget(part, whose) for part in SWEPT}
        due = await self._rest(command, sweep=command.sweep + 1)
        await self._erasures.swept(whose.erasure, datetime.now(UTC), due)
        ERASURES.labels("swept").inc()
        log.info("erasure.swept", sweep=command.sweep, last=due is None, **counts)

    async def _rest(self, command: ErasureCommand, sweep: int) -> datetime | None:
        """Until its next sweep; None after the last. The person's name stays encrypted in the timer."""
        if sweep > len(self._sweeps):
            return None
        due = max(command.at + self._sweeps[sweep - 1], datetime.now(UTC) + _SOON)
        await self._timers.put(_timer(command.model_copy(update={"sweep": sweep}), f"sweep#{sweep}", due))
        return due


def _timer(command: ErasureCommand, name: str, due: datetime) -> Timer:
    return Timer(
        environment=command.environment,
        timer_id=f"erasure#{command.erasure_id}#{name}",
        due_at=due,
        topic=topics.erasures(command.environment),
        key=command.subject,
        value=command.model_dump_json(),
    )
