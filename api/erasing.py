"""Having a person forgotten: a command through Kafka, carried out by its own group, and waited for a little."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog

from api.problems import Problem
from api.status import next_wakeup
from infrastructure.dynamo.erasures import ErasureStore
from infrastructure.erasing import Pseudonyms
from infrastructure.ports import Outgoing, Publisher
from schemas import cloudevents, topics
from schemas.erasures import Erasure, ErasureCommand
from schemas.ids import new_request_id
from schemas.outcomes import Unavailable
from schemas.topics import Environment

log = structlog.get_logger()

WAIT_S = 2.0
COMMAND_TYPE = "carillon.erasure.v1"


class Erasing:
    """`publisher` seals, so that nobody else can have somebody forgotten."""

    def __init__(self, erasures: ErasureStore, pseudonyms: Pseudonyms, publisher: Publisher) -> None:
        self._erasures = erasures
        self._pseudonyms = pseudonyms
        self._publisher = publisher

    async def look(self, environment: Environment, person: str) -> Erasure | None:
        """How far the newest erasure of this person has come."""
        names = self._pseudonyms.all(environment, person)
        found = [each for each in [await self._erasures.get(environment, name) for name in names] if each is not None]
        return max(found, key=lambda each: each.asked_at, default=None)

    def command(self, environment: Environment, person: str) -> ErasureCommand:
        return self._pseudonyms.command(environment, person, new_request_id(), datetime.now(UTC))

    async def ask(self, command: ErasureCommand, *, by: str) -> None:
        """Raises `Problem` 503 when Kafka did not take it; then it may be asked again."""
        headers = cloudevents.event_headers(COMMAND_TYPE, event_id=command.erasure_id, source="api", time=command.at)
        topic, value = topics.erasures(command.environment), command.model_dump_json().encode()
        try:
            await self._publisher.publish(Outgoing(topic, command.subject, value, headers))
        except Unavailable as error:
            log.warning("erasure.not_acknowledged", reason=str(error), erasure=command.erasure_id)
            detail = "Kafka did not acknowledge in time, so the outcome is unknown. Ask again: that does no harm."
            raise Problem(503, "Outcome unknown", detail, type="outcome_unknown", headers={"Retry-After": "2"}) from error
        log.info("erasure.asked", erasure=command.erasure_id, subject=command.subject, by=by)

    async def done(
        self, command: ErasureCommand, woken: "asyncio.Queue[str]", within_s: float | None = None
    ) -> Erasure | None:
        """None when it takes longer. Woken by Redis; looks without being woken now and then."""
        try:
            async with asyncio.timeout(within_s or WAIT_S):
                while True:
                    found = await self._erasures.get(command.environment, command.subject)
                    if found is not None and found.status == "DONE" and found.asked_at >= command.at:
                        return found
                    await next_wakeup(woken)
        except TimeoutError:
            return None


def shown_erasure(found: Erasure) -> dict[str, Any]:
    """`complete`: even what lay in Kafka at that time has gone since."""
    return {
        "erasure_id": found.erasure_id,
        "status": found.status,
        "asked_at": found.asked_at,
        "erased_before": found.erased_before,
        "erased": found.parts,
        "done_at": found.done_at,
        "swept_at": found.swept_at,
        "next_sweep_at": found.next_sweep_at,
        "complete": found.status == "DONE" and found.next_sweep_at is None,
    }
