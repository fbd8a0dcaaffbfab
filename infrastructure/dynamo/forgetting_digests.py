"""A person's windows without them: what they gathered is taken out, and what nobody is in any more is taken away."""

import secrets
from datetime import datetime

from infrastructure.dynamo.client import Dynamo, encode
from infrastructure.dynamo.digests import DigestStore
from infrastructure.dynamo.tables import DIGESTS
from schemas.digests import Window
from schemas.erasures import is_covered
from schemas.topics import Environment


class ForgettingDigests:
    def __init__(self, dynamo: Dynamo, digests: DigestStore) -> None:
        self._dynamo = dynamo
        self._digests = digests

    async def window(
        self, environment: Environment, window_id: str, person: str, erased_before: datetime, now: datetime
    ) -> None:
        """Closed first, so that nobody joins what is taken away. Its panes stay shut until they expire: they name nobody."""
        window = await self._digests.find(environment, window_id)
        if window is None or window.line.bare or window.series.recipient != person:
            return
        closed = await self._digests.close(window, window.closed_at or now)
        left = 0
        async for page in self._digests.pages(closed):
            gone = [event for event in page if is_covered(erased_before, event.accepted_at)]
            for event in gone:
                await self._delete(environment, window_id, f"event#{event.order}")
            left += len(page) - len(gone)
        if not left:
            await self._close_the_series(window)
            await self._delete(environment, window_id, "head")

    async def _close_the_series(self, window: Window) -> None:
        """Unless a newer window of theirs has opened."""
        newest = {
            "TableName": DIGESTS.named(window.environment),
            "Key": encode({"window": window.series.id, "entry": "current"}),
            "ConditionExpression": "window_id = :this",
            "ExpressionAttributeValues": encode({":this": window.window_id}),
        }
        await self._dynamo.transact([{"Delete": newest}], secrets.token_hex(16))

    async def _delete(self, environment: Environment, window_id: str, entry: str) -> None:
        await self._dynamo.delete_soon(DIGESTS.named(environment), {"window": window_id, "entry": entry})
