from datetime import datetime

from infrastructure.dynamo.api_keys import ApiKeyStore, ChangedMeanwhile
from schemas.api_keys import ApiKey
from tests.fakes.stores import Outage


class FakeKeys(ApiKeyStore):
    """The table with its one condition: a change is written only over the row that was read."""

    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[str, ApiKey] = {}
        self.reads = self.uses = 0
        self._outage = outage or Outage()

    async def get(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        self._outage.touch("keys.get")
        return self.rows.get(key_id)

    async def add(self, key: ApiKey) -> None:
        self._outage.write("keys.add")
        self.rows[key.key_id] = key

    async def change(self, changed: ApiKey) -> ApiKey:
        self._outage.write("keys.change")
        found = self.rows[changed.key_id]
        if found.version != changed.version:
            raise ChangedMeanwhile
        update = {"version": found.version + 1, "last_used_at": found.last_used_at}
        self.rows[changed.key_id] = changed.model_copy(update=update)
        return self.rows[changed.key_id]

    async def note_use(self, key: ApiKey, now: datetime) -> None:
        self._outage.write("keys.note_use")
        found = self.rows[key.key_id]
        if found.last_used_at == key.last_used_at:
            self.uses += 1
            self.rows[key.key_id] = found.model_copy(update={"last_used_at": now})

    async def all_of(self, environment: str) -> list[ApiKey]:
        found = [key for key in self.rows.values() if key.environment == environment]
        return sorted(found, key=lambda key: key.created_at)
