"""What a hanging or throttled channel, a hot producer and a hot recipient cost everybody else: their work beside and alone.

`python -m tests.bench.fairness --rounds 3 --requests 400 --flood 2`. Alone and beside take turns in one run, figures are
medians of the rounds, `ratio` is beside over alone: 1 is no cost at all. What is hot lies in Kafka before the others' first
request, `flood` times as much as theirs. A store in memory, and one worker process with everything.
"""

import argparse
import asyncio
import json
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from infrastructure.ports import Outgoing
from schemas import topics
from schemas.ids import notification_id
from tests.bench.house import House, laid_out
from tests.bench.running import written
from tests.bench.whole_way import settled

ENVIRONMENT: topics.Environment = "dev"
ROUNDS, REQUESTS, FLOOD = 3, 400, 2
PEOPLE, WINDOW = 100, 200
HOT_QUOTA = 100
TROUBLES = {"a hanging channel": "hang", "a throttled channel": "throttle"}
SETTINGS = {
    "RAW_PRODUCERS": "shop,hot",
    "PRODUCER_QUOTAS": json.dumps({"hot": HOT_QUOTA}),
    "PROVIDER_TIMEOUT_S": "3",
}

Step = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True)
class Crowd:
    """Who sends how much to whom; what it sends is known by its ids."""

    house: House
    requests: int
    flood: int

    async def send(self, producer: str, count: int, body: dict[str, Any], person: str = "bench-{}") -> list[str]:
        """All of it at once, as Kafka takes it."""
        mark = uuid.uuid4().hex[:8]
        for first in range(0, count, WINDOW):
            numbers = range(first, min(first + WINDOW, count))
            records = (_record(producer, f"{mark}-{number}", body, person.format(number % PEOPLE)) for number in numbers)
            await asyncio.gather(*(self.house.running.resources.publisher.publish(record) for record in records))
        return [notification_id(ENVIRONMENT, producer, f"{mark}-{number}") for number in range(count)]

    async def others(self) -> list[str]:
        return await self.send("shop", self.requests, {"channels": ["in_app"]})

    async def mails(self) -> list[str]:
        """To many domains, so that no single destination is what holds them up."""
        mark = uuid.uuid4().hex[:6]
        return await self.send("shop", self.requests // 2, {"channels": ["email"]}, "mail-{0}@d{0}-" + mark + ".example")

    async def hot_producer(self) -> list[str]:
        return await self.send("hot", self.requests * self.flood, {"channels": ["in_app"]}, "other-{}")

    async def hot_recipient(self) -> list[str]:
        return await self.send("shop", self.requests * self.flood, {"channels": ["in_app"]}, "hot")

    async def behave(self, mode: str) -> None:
        async with httpx2.AsyncClient(base_url=self.house.variables["SANDBOX_URL"]) as sandbox:
            (await sandbox.put("/faults/email", json={"mode": mode})).raise_for_status()


def _record(producer: str, request_id: str, body: dict[str, Any], person: str) -> Outgoing:
    to = [{"email": person}] if "@" in person else person
    value = json.dumps({"to": to, "message": "Hi", **body, "request_id": request_id}).encode()
    return Outgoing(topics.requests(ENVIRONMENT), person, value, {"ce_source": producer})


async def fairness(
    rounds: int = ROUNDS, requests: int = REQUESTS, flood: int = FLOOD, only: str = ""
) -> AsyncIterator[dict[str, object]]:
    async with laid_out(persistent=False, **SETTINGS) as house:
        await house.workers()
        crowd = Crowd(house, requests, flood)
        await _per_second(house, crowd.others)  # warm
        beside = dict.fromkeys(TROUBLES, crowd.mails) | {
            "a hot recipient": crowd.hot_recipient,
            "a hot producer": crowd.hot_producer,
        }
        for what, step in beside.items():
            if only in what:
                yield await _side_by_side(what, house, crowd, rounds, step)


async def _side_by_side(what: str, house: House, crowd: Crowd, rounds: int, beside: Step) -> dict[str, object]:
    """What is beside was sent first, so the others begin behind it. A channel in trouble is compared with a healthy one."""
    alone, together = list[float](), list[float]()
    for _ in range(rounds):
        if what in TROUBLES:
            healthy = await beside()
            alone.append(await _per_second(house, crowd.others))
            await settled(house.running, ENVIRONMENT, healthy)
            await crowd.behave(TROUBLES[what])
            waiting = await beside()
            together.append(await _per_second(house, crowd.others))
            await crowd.behave("ok")
        else:
            alone.append(await _per_second(house, crowd.others))
            waiting = await beside()
            together.append(await _per_second(house, crowd.others))
        await settled(house.running, ENVIRONMENT, waiting)
    return {
        "figure": f"others beside {what}",
        "rounds": rounds,
        "requests": crowd.requests,
        "flood": crowd.flood,
        "alone_per_second": round(statistics.median(alone), 1),
        "beside_per_second": round(statistics.median(together), 1),
        "ratio": round(statistics.median(together) / statistics.median(alone), 2),
    }


async def _per_second(house: House, step: Step) -> float:
    began = time.perf_counter()
    wanted = await step()
    await settled(house.running, ENVIRONMENT, wanted)
    return len(wanted) / (time.perf_counter() - began)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--requests", type=int, default=REQUESTS)
    arguments.add_argument("--flood", type=int, default=FLOOD, help="so many times the others' requests lie before theirs")
    arguments.add_argument("--only", default="", help="a word of the figure's name")
    chosen = arguments.parse_args()
    asyncio.run(written(fairness(chosen.rounds, chosen.requests, chosen.flood, chosen.only)))
