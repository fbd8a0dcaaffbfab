"""Changing somebody's preferences: a command through Kafka, carried out by its own group, and waited for."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog

from api.problems import Problem
from api.status import next_wakeup
from api.wiring import ApiResources
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Outgoing
from infrastructure.redis.live import verdict_channel
from infrastructure.resources import seal_keys
from schemas import cloudevents, topics
from schemas.ids import new_request_id
from schemas.outcomes import Unavailable
from schemas.preference_changes import MAX_CHOICES, Change, PreferenceCommand, Setting, Verdict
from schemas.topics import Environment

log = structlog.get_logger()

WAIT_S = 2.0
COMMAND_TYPE = "carillon.preference.v1"


class Changing:
    """One person's preferences in one environment."""

    def __init__(self, house: ApiResources, environment: Environment, person: str) -> None:
        self._house = house
        self._environment = environment
        self._person = person

    async def change(self, change: Change, expected: int | None = None) -> tuple[str, Verdict | None]:
        """The change's id and its verdict, None when that is not known in time.

        Raises `Problem`: 503 when Kafka did not take it, 412 when it was made upon another version, 422 when it may not be.
        """
        await self._refuse_mandatory(change)
        command = self._command(change, expected)
        async with self._house.wakeups.listen(verdict_channel(self._environment, command.change_id)) as judged:
            await self._publish(command)
            verdict = await self._judged(command.change_id, judged)
        return command.change_id, _accepted(verdict)

    async def tell(self, change: Change) -> None:
        """The same without waiting for the verdict; raises `Problem` 503 when Kafka did not take it."""
        await self._publish(self._command(change))

    def _command(self, change: Change, expected: int | None = None) -> PreferenceCommand:
        return PreferenceCommand(
            environment=self._environment,
            person=self._person,
            change_id=new_request_id(),
            expected=expected,
            change=change,
            at=datetime.now(UTC),
        )

    async def _refuse_mandatory(self, change: Change) -> None:
        """Their owner learns of it now; the rules would not heed such a choice anyway."""
        mandatory = self._house.settings.mandatory_categories
        off = [
            (number, await self._category_of(each)) for number, each in enumerate(change.settings) if each.enabled is False
        ]
        errors = [
            {"pointer": f"/choices/{number}", "detail": f"{category} is mandatory: it cannot be switched off"}
            for number, category in off
            if category in mandatory
        ]
        if errors:
            detail = "A mandatory category cannot be switched off."
            raise Problem(422, "Mandatory", detail, type="mandatory_category", errors=errors)

    async def _category_of(self, setting: Setting) -> str | None:
        if setting.level != "type":
            return setting.name if setting.level == "category" else None
        kind = await self._house.catalogue.type_now(self._environment, setting.name)
        return kind.category if kind else None

    async def _publish(self, command: PreferenceCommand) -> None:
        topic, value = topics.preferences(self._environment), command.model_dump_json(exclude_unset=True).encode()
        headers = cloudevents.event_headers(COMMAND_TYPE, event_id=command.change_id, source="api", time=command.at)
        publisher = SealingPublisher(self._house.publisher, seal_keys(self._house.settings)[0])
        try:
            await publisher.publish(Outgoing(topic, self._person, value, headers))
        except Unavailable as error:
            log.warning("preference.not_acknowledged", reason=str(error), change=command.change_id)
            detail = "Kafka did not acknowledge in time, so the outcome is unknown. Read your preferences, then repeat."
            raise Problem(503, "Outcome unknown", detail, type="outcome_unknown", headers={"Retry-After": "2"}) from error

    async def _judged(self, change_id: str, judged: "asyncio.Queue[str]") -> Verdict | None:
        """Woken by Redis; looks without being woken now and then, because a wake-up may be lost."""
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    await next_wakeup(judged)
                    found = await self._house.stores.preferences.verdict(self._environment, self._person, change_id)
                    if found is not None:
                        return found
        except TimeoutError:
            return None


def _accepted(verdict: Verdict | None) -> Verdict | None:
    if verdict is not None and verdict.result == "version_mismatch":
        detail = f"Your preferences have changed since: they are at version {verdict.version}. Read them, then repeat."
        raise Problem(412, "Changed meanwhile", detail, type="version_mismatch", headers={"ETag": f'"{verdict.version}"'})
    if verdict is not None and verdict.result == "too_many_choices":
        raise Problem(422, "Too many choices", f"One person may have {MAX_CHOICES} choices.", type="too_many_choices")
    return verdict


def pending(change_id: str) -> dict[str, Any]:
    """What a 202 says."""
    return {"change_id": change_id, "status": "ACCEPTED"}
