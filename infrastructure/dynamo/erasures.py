"""Who was erased and how far that has come: one row per person, under a keyed hash. deliver reads it as a mark."""

from datetime import datetime, timedelta
from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import ERASURES
from schemas.base import iso
from schemas.erasures import Erasure, ErasureCommand, Part

_TO_THE_MS = timedelta(milliseconds=1)  # what is written is cut: the moment itself is covered


def _read(item: Item) -> Erasure:
    return Erasure.model_validate(item)


class ErasureStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def get(self, environment: str, subject: str) -> Erasure | None:
        """A consistent read, batched with the others of the moment."""
        found = await self._dynamo.get(ERASURES.named(environment), {"subject": subject})
        return _read(found) if found else None

    async def begin(self, command: ErasureCommand, now: datetime) -> Erasure:
        """From now on the person is marked. The same command again finds how far it has come, an older one the newer."""
        fresh: dict[str, Any] = {
            "environment": command.environment,
            "erasure_id": command.erasure_id,
            "asked_at": iso(command.at),
            "erased_before": iso(now + _TO_THE_MS),
            "status": "UNDER_WAY",
            "parts": {},
            **dict.fromkeys(("done_at", "swept_at", "next_sweep_at")),
        }
        newer = "attribute_not_exists(#s_asked_at) OR #s_asked_at < :s_asked_at"
        try:
            return await self._update(command.environment, command.subject, fresh, newer)
        except ConditionFailed as failed:
            return _read(failed.item)

    async def finish(self, erasure: Erasure, part: Part, count: int) -> Erasure:
        """A part is done; how much it was stays on record."""
        return await self._note(erasure, {"parts": {**erasure.parts, part: count}})

    async def done(self, erasure: Erasure, now: datetime, next_sweep_at: datetime | None) -> Erasure:
        due = iso(next_sweep_at) if next_sweep_at else None
        return await self._note(erasure, {"status": "DONE", "done_at": iso(now), "next_sweep_at": due})

    async def swept(self, erasure: Erasure, now: datetime, next_sweep_at: datetime | None) -> Erasure:
        """Gone through once more; None says that it was the last time."""
        due = iso(next_sweep_at) if next_sweep_at else None
        return await self._note(erasure, {"swept_at": iso(now), "next_sweep_at": due})

    async def _note(self, erasure: Erasure, changes: dict[str, Any]) -> Erasure:
        """Unless a newer erasure of the same person has begun: then that one's progress is what counts."""
        condition, values = "#id = :id", {":id": erasure.erasure_id}
        try:
            return await self._update(
                erasure.environment, erasure.subject, changes, condition, values, {"#id": "erasure_id"}
            )
        except ConditionFailed as failed:
            return _read(failed.item)

    async def _update(
        self,
        environment: str,
        subject: str,
        changes: dict[str, Any],
        condition: str,
        values: Item | None = None,
        names: dict[str, str] | None = None,
    ) -> Erasure:
        table = ERASURES.named(environment)
        row = await self._dynamo.update(
            table, {"subject": subject}, changes, condition=condition, values=values, names=names
        )
        return _read(row)
