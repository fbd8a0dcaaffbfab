"""In front of every worker that reads what other workers wrote: what somebody else wrote there goes to quarantine."""

import structlog

from consumers.burial import put_away
from infrastructure.kafka.sealing import is_ours
from infrastructure.ports import Handler, Publisher, Received

log = structlog.get_logger()


class Sealed:
    """A handler that only ever sees records of our own workers."""

    def __init__(self, handler: Handler, keys: tuple[bytes, ...], publisher: Publisher) -> None:
        self._handler = handler
        self._keys = keys
        self._publisher = publisher

    async def handle(self, record: Received) -> None:
        if is_ours(record, self._keys):
            await self._handler.handle(record)
            return
        await put_away(self._publisher, record, "not_ours")
        log.error("record.not_ours", at=str(record.position))

    async def bury(self, record: Received, error: Exception) -> None:
        await self._handler.bury(record, error)
