"""Workers killed with -9 in the middle of their work, again and again, and replaced each time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.eventually import LOOK_EVERY_S
from tests.faults.crew import Crew

LONGEST_BETWEEN_KILLS_S = 20


@dataclass
class Accepted:
    """How many calls of one run the providers have accepted; reads on where it left off."""

    ledger: Path
    run: str
    count: int = 0
    _read: int = 0

    def __call__(self) -> int:
        with self.ledger.open("rb") as file:
            file.seek(self._read)
            news = file.read()
        whole = news[: news.rfind(b"\n") + 1]
        self._read += len(whole)
        self.count += sum(self.run.encode() in line and b'"accepted":true' in line for line in whole.splitlines())
        return self.count


async def kills_under_load(
    crew: Crew, module: tuple[str, ...], kills: int, *, progress: Callable[[], int], total: int, luck: Random
) -> None:
    """Spread evenly over the work: the n-th kill when n of its parts are done, or when that takes too long."""
    for number in range(1, kills + 1):
        await _reached(progress, total * number // (kills + 1))
        await crew.kill(luck.choice(crew.running))
        await crew.start(*module)


async def standstill(progress: Callable[[], int], *, of_s: float, within_s: float) -> None:
    """Until nothing more comes for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            seen = -1
            while seen != (seen := progress()):
                await asyncio.sleep(of_s)


async def _reached(progress: Callable[[], int], wanted: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_BETWEEN_KILLS_S):
            while progress() < wanted:
                await asyncio.sleep(LOOK_EVERY_S)
