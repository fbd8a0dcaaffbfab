from infrastructure.ports import Gap
from schemas.outcomes import Unavailable


class FakeGaps:
    """Keeps every gap; refuses while it is away."""

    def __init__(self) -> None:
        self.recorded: list[Gap] = []
        self.is_away = False

    async def record(self, gap: Gap) -> None:
        if self.is_away:
            raise Unavailable("quarantine is away")
        self.recorded.append(gap)
