"""How far behind the channels are, as a story says."""

from collections.abc import Awaitable, Callable

from schemas.topics import Environment, Priority


class FakeBacklog:
    def __init__(self) -> None:
        self.waits_s: dict[tuple[str, Priority], float] = {}
        self.looks = 0
        self._before: dict[int, Callable[[], Awaitable[None]]] = {}

    def before_look(self, number: int, happens: Callable[[], Awaitable[None]]) -> None:
        """Something happens just before the answer to that look (from 1)."""
        self._before[number] = happens

    async def seconds(self, environment: Environment, channel: str, priority: Priority) -> float:
        self.looks += 1
        if self.looks in self._before:
            await self._before[self.looks]()
        return self.waits_s.get((channel, priority), 0.0)
