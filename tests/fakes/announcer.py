"""Redis's side of wake-ups in memory."""

from collections.abc import Sequence

from infrastructure.redis.live import Announcer
from schemas.live import ItemChange


class FakeAnnouncer(Announcer):
    """Keeps who was woken."""

    # pylint: disable-next=super-init-not-called  # there is no Redis behind it
    def __init__(self) -> None:
        self.woken: list[tuple[str, str]] = []

    async def inbox_changed(self, environment: str, person: str) -> None:
        self.woken.append(("inbox", person))

    async def changed(self, environment: str, person: str, change: ItemChange, ids: Sequence[str]) -> None:
        self.woken.append((change, person))

    async def erased(self, environment: str, person: str) -> None:
        self.woken.append(("erased", person))

    async def verdict_known(self, environment: str, change_id: str) -> None:
        self.woken.append(("verdict", change_id))

    async def outcome_known(self, environment: str, notification_id: str) -> None:
        self.woken.append(("outcome", notification_id))
