"""What people have chosen, in memory. One contract suite (tests/contract) runs against this and the real store."""

# pylint: disable=super-init-not-called  # there is no client behind it

import asyncio

from infrastructure.dynamo.preferences import PreferenceStore
from schemas.preference_changes import PreferenceCommand, Verdict
from schemas.preferences import Preferences
from tests.fakes.stores import Outage


class FakePreferences(PreferenceStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.chosen: dict[tuple[str, str], Preferences] = {}
        self.verdicts: dict[tuple[str, str, str], Verdict] = {}
        self._outage = outage or Outage()

    async def get(self, environment: str, person: str) -> Preferences:
        self._outage.touch("preferences.get")
        return self.chosen.get((environment, person), Preferences())

    async def verdict(self, environment: str, person: str, change_id: str) -> Verdict | None:
        return self.verdicts.get((environment, person, change_id))

    async def _write(self, command: PreferenceCommand, before: Preferences, after: Preferences, verdict: Verdict) -> bool:
        await asyncio.sleep(0)  # as over a wire: others write in between
        self._outage.write("preferences.apply")
        key = (command.environment, command.person)
        same = self.chosen.get(key, Preferences()).version == before.version
        if (*key, command.change_id) in self.verdicts or not (same or after == before):
            return False
        self.verdicts[(*key, command.change_id)] = verdict
        self.chosen[key] = after if after != before else self.chosen.get(key, before)
        return True
