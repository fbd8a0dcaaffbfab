"""Names of people who are to be forgotten: as keyed hashes where they stay, encrypted where they travel."""

import asyncio
import base64
from datetime import datetime

from infrastructure.auth.box import EncryptedBox
from infrastructure.dynamo.erasures import ErasureStore
from infrastructure.settings import Settings
from schemas.erasures import ErasureCommand, pseudonym
from schemas.topics import Environment


class Pseudonyms:
    """Under the first key; after a rotation what was written under the second is still understood."""

    def __init__(self, *secrets: str) -> None:
        self._keys = tuple(secret.encode() for secret in secrets if secret)
        self._box = EncryptedBox(*secrets)

    @classmethod
    def of(cls, settings: Settings) -> "Pseudonyms":
        return cls(settings.app_secret_key.get_secret_value(), settings.app_secret_key_previous.get_secret_value())

    def all(self, environment: str, person: str) -> tuple[str, ...]:
        """Every name the person may be marked under, the current one first."""
        return tuple(pseudonym(key, environment, person) for key in self._keys)

    def command(self, environment: Environment, person: str, erasure_id: str, at: datetime) -> ErasureCommand:
        subject = self.all(environment, person)[0]
        sealed = base64.b64encode(self._box.seal(person.encode(), subject.encode())).decode()
        to_the_ms = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as it is written
        return ErasureCommand(environment=environment, erasure_id=erasure_id, subject=subject, sealed=sealed, at=to_the_ms)

    def person_of(self, command: ErasureCommand) -> str:
        """Raises `Unreadable` when the key it was sealed under is gone."""
        return self._box.open(base64.b64decode(command.sealed), command.subject.encode()).decode()


class Marks:
    """Asked before anything goes out to a person."""

    def __init__(self, erasures: ErasureStore, pseudonyms: Pseudonyms) -> None:
        self._erasures = erasures
        self._pseudonyms = pseudonyms

    def names(self, environment: str, person: str) -> tuple[str, ...]:
        return self._pseudonyms.all(environment, person)

    async def erased_before(self, environment: str, person: str) -> datetime | None:
        """Read consistently, in one batch with whatever else is read at this moment; None for whoever never was erased."""
        found = await asyncio.gather(*(self._erasures.get(environment, name) for name in self.names(environment, person)))
        return max((each.erased_before for each in found if each is not None), default=None)
