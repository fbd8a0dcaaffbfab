"""Records between our own workers carry a keyed hash, so that nobody else's can pass for them."""

from collections.abc import Sequence

from infrastructure.ports import Outgoing, Publisher, Received
from schemas.cloudevents import SEAL, text_headers
from schemas.events import Position
from schemas.seal import is_sealed, seal


class SealingPublisher:
    """Seals what has no seal yet; a request of an entrance keeps the one that names its producer."""

    def __init__(self, publisher: Publisher, key: bytes) -> None:
        self._publisher = publisher
        self._key = key

    async def publish(self, record: Outgoing) -> Position:
        mark = seal(self._key, record.topic, "", "", record.value or b"")
        sealed = Outgoing(record.topic, record.key, record.value, {SEAL: mark, **record.headers})
        return await self._publisher.publish(sealed)


def is_ours(record: Received, keys: Sequence[bytes]) -> bool:
    """Whether one of our workers published it."""
    mark = text_headers(record.headers).get(SEAL, "")
    return bool(mark) and any(is_sealed(key, mark, record.topic, "", "", record.value or b"") for key in keys)
