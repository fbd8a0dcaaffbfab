"""Who was erased, in memory. One contract suite (tests/contract) runs against this and the real store."""

# pylint: disable=super-init-not-called  # there is no client behind it

from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Item
from infrastructure.dynamo.erasures import ErasureStore
from schemas.erasures import Erasure
from tests.fakes.stores import Outage


class FakeErasures(ErasureStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str], Item] = {}
        self._outage = outage or Outage()

    async def get(self, environment: str, subject: str) -> Erasure | None:
        self._outage.touch("erasures.get")
        found = self.rows.get((environment, subject))
        return Erasure.model_validate(found) if found else None

    async def _update(
        self,
        environment: str,
        subject: str,
        changes: dict[str, Any],
        condition: str,
        values: Item | None = None,
        names: dict[str, str] | None = None,
    ) -> Erasure:
        """`begin` asks for what is newer, every other step for the very erasure it goes on with."""
        self._outage.write("erasures")
        found = self.rows.get((environment, subject))
        if "asked_at" in changes:
            fits = found is None or found["asked_at"] < changes["asked_at"]
        else:
            fits = found is not None and found["erasure_id"] == (values or {})[":id"]
        if not fits:
            raise ConditionFailed(found or {})
        row = {"subject": subject, **(found or {}), **changes}
        self.rows[environment, subject] = {name: value for name, value in row.items() if value is not None}
        return Erasure.model_validate(self.rows[environment, subject])
