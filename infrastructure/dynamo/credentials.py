"""AWS credentials for aiodynamo from botocore's own chain, which also knows web identity and SSO."""

import asyncio
from typing import Any

from aiodynamo.credentials import Credentials, Key
from aiodynamo.http.types import HttpImplementation
from botocore.session import Session


class BotocoreCredentials(Credentials):
    """Resolves and refreshes as boto3 does; a refresh may block, so it runs in a thread."""

    def __init__(self) -> None:
        self._found: Any = None

    async def get_key(self, http: HttpImplementation) -> Key | None:
        if self._found is None:
            self._found = await asyncio.to_thread(Session().get_credentials)
        if self._found is None:
            return None
        if getattr(self._found, "refresh_needed", lambda: False)():
            frozen = await asyncio.to_thread(self._found.get_frozen_credentials)
        else:
            frozen = self._found.get_frozen_credentials()
        return Key(frozen.access_key, frozen.secret_key, frozen.token)

    def invalidate(self) -> bool:
        self._found = None
        return True

    def is_disabled(self) -> bool:
        return False
