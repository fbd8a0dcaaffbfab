"""What people have chosen, and the verdict on every change: both written in one transaction, under a person's key."""

import asyncio
import base64
import hashlib
from collections.abc import Iterable
from datetime import timedelta

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import EXPIRES, PREFERENCES
from schemas.outcomes import Unavailable
from schemas.preference_changes import PreferenceCommand, Verdict, judge
from schemas.preferences import Preferences

_CHOSEN = "chosen"
_CHANGE = "change#"
VERDICT_KEPT = timedelta(days=14)
"""Longer than the commands' Kafka topic keeps them (7 days): what can be read again still finds its verdict."""
_TRIES = 20


class PreferenceStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def get(self, environment: str, person: str) -> Preferences:
        """A consistent read, batched with the others of the moment; whoever chose nothing has version 0."""
        row = await self._dynamo.get(PREFERENCES.named(environment), {"person": person, "entry": _CHOSEN})
        return Preferences.model_validate_json(row["document"]) if row else Preferences()

    async def get_many(self, environment: str, people: Iterable[str]) -> dict[str, Preferences]:
        """Of those who have chosen something."""
        wanted = tuple(people)
        found = await asyncio.gather(*(self.get(environment, person) for person in wanted))
        return {person: chosen for person, chosen in zip(wanted, found, strict=True) if chosen.version}

    async def verdict(self, environment: str, person: str, change_id: str) -> Verdict | None:
        """None while the change has not been judged."""
        row = await self._dynamo.get(PREFERENCES.named(environment), {"person": person, "entry": _CHANGE + change_id})
        return Verdict.model_validate_json(row["verdict"]) if row else None

    async def apply(self, command: PreferenceCommand) -> Verdict:
        """Judges a command once: the same command again finds its verdict and changes nothing."""
        environment, person = command.environment, command.person
        for _ in range(_TRIES):
            chosen, known = await asyncio.gather(
                self.get(environment, person), self.verdict(environment, person, command.change_id)
            )
            if known is not None:
                return known
            verdict, after = judge(command, chosen)
            if await self._write(command, chosen, after, verdict):
                return verdict
        raise Unavailable("the preferences of one person are changed by too many at once")

    async def _write(self, command: PreferenceCommand, before: Preferences, after: Preferences, verdict: Verdict) -> bool:
        """False when somebody was faster: at this person's preferences, or at this very command."""
        table = PREFERENCES.named(command.environment)
        row: Item = {
            "person": command.person,
            "entry": _CHANGE + command.change_id,
            "verdict": verdict.model_dump_json(),
            EXPIRES: int((command.at + VERDICT_KEPT).timestamp()),
        }
        if after == before:
            try:
                await self._dynamo.put(table, row, unless_exists="entry")
            except ConditionFailed:
                return False
            return True
        writes = [
            self._dynamo.put_if(table, row, "attribute_not_exists(entry)"),
            self._dynamo.put_if(table, _row(command.person, after), *_unchanged(before)),
        ]
        return await self._dynamo.transact(writes, _token(command, before))


def _row(person: str, chosen: Preferences) -> Item:
    document = chosen.model_dump_json(exclude_defaults=True)
    return {"person": person, "entry": _CHOSEN, "version": chosen.version, "document": document}


def _unchanged(before: Preferences) -> tuple[str, Item]:
    """The condition that nobody has changed them since they were read."""
    if before.version == 0:
        return "attribute_not_exists(entry)", {}
    return "version = :seen", {":seen": before.version}


def _token(command: PreferenceCommand, before: Preferences) -> str:
    """DynamoDB takes the same transaction under the same token once, so one whose answer was lost may be sent again."""
    named = f"{command.person}#{command.change_id}#{before.version}".encode()
    return base64.b32encode(hashlib.sha256(named).digest()).decode()[:32]
