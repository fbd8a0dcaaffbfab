"""Worker processes die by SIGKILL while 2,000 notifications flow in by HTTP, Kafka and Redis. Nothing is lost.

Checked from three sides: what the producers were told, what the provider recorded before it answered, what the store holds.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import ENDED
from tests.e2e.flow import ENVIRONMENT, PEOPLE, Figures, Sent, accepted_mails, compare, requests
from tests.eventually import LOOK_EVERY_S, eventually
from tests.product import answers_ready, start_module
from tests.tokens import bearer, token_of

TOTAL, MAILS, KILLS = 2000, 250, 7
CONCURRENCY = 8
# A death may repeat what was between the provider's yes and our record of it: at most what one worker had under way.
MOST_DUPLICATES = KILLS * CONCURRENCY
SETTLED_BETWEEN_KILLS, MOST_BETWEEN_KILLS_S = 40, 12
OWN = {
    "ENVIRONMENTS": ENVIRONMENT,
    "DEFAULT_ENVIRONMENT": ENVIRONMENT,
    "KAFKA_SESSION_TIMEOUT_S": "6",
    "WORKER_CONCURRENCY": str(CONCURRENCY),
    "LOW_STOCK_SOURCE": "channel",  # the stream has no environment in its name: it is left to the other workers
}


@dataclass
class Workers:
    """Two processes that share the work; a killed one is started again at once."""

    start: Callable[[str], Awaitable[Child]]
    running: list[Child] = field(default_factory=list)
    started: int = 0
    kills: int = 0

    async def add(self) -> Child:
        self.started += 1
        child = await self.start(f"uat-worker-{self.started}")
        self.running.append(child)
        return child

    async def kill_oldest(self) -> None:
        """In the middle of its work: once it has settled some of what just came in, or has had time enough to."""
        victim = self.running.pop(0)
        enough = _settled_by(victim) + SETTLED_BETWEEN_KILLS
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_BETWEEN_KILLS_S):
                while _settled_by(victim) < enough:
                    await asyncio.sleep(LOOK_EVERY_S)
        victim.process.kill()
        await victim.process.wait()
        self.kills += 1
        await self.add()


def _settled_by(child: Child) -> int:
    return child.output.count('"delivery.settled"')


@pytest.fixture
async def uat(settings: Settings) -> None:
    """Kafka topics and tables of an environment that only this test uses."""
    own = settings.model_copy(update={"environments": (ENVIRONMENT,), "default_environment": ENVIRONMENT})
    await create_topics(own)
    await create_tables(own)


@pytest.fixture
async def workers(processes: Processes, variables: Mapping[str, str], uat: None) -> AsyncIterator[Workers]:
    async def start(name: str) -> Child:
        return await start_module(
            processes, name, "consumers", "all", variables=variables, extra={**OWN, "WORKER_PORT": str(any_free_port())}
        )

    two = Workers(start)
    await asyncio.gather(two.add(), two.add())
    yield two
    for child in two.running:
        await child.stop()


@pytest.fixture
async def door(processes: Processes, variables: Mapping[str, str], uat: None, sandbox: object) -> AsyncIterator[str]:
    """The API of this environment."""
    port = str(any_free_port())
    child = await start_module(processes, "uat-api", "api", variables=variables, extra={**OWN, "PORT": port})
    await child.until(lambda: answers_ready(port))
    yield f"http://localhost:{port}"
    await child.stop()


@pytest.fixture
async def slow_mail(sandbox: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Every mail is accepted at once and answered late: a death in between is likely."""
    (await sandbox.put("/faults/email", json={"mode": "slow", "delay_s": 0.2})).raise_for_status()
    yield
    (await sandbox.put("/faults/email", json={"mode": "ok"})).raise_for_status()


async def test_nothing_is_lost_and_no_inbox_item_is_doubled(
    resources: Resources,
    variables: Mapping[str, str],
    workers: Workers,
    door: str,
    slow_mail: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flow = requests(TOTAL, MAILS)
    told = await under_fire(flow, workers, resources, variables, door)
    assert told == Counter({"http": 667, "kafka": 667, "redis": 666}), "every request was acknowledged to its producer"

    not_final = await still_open(flow, resources)
    in_app = compare((f"{sent.person} {sent.inbox_item}" for sent in flow), await inbox_items(resources))
    ledger = Path(variables["SANDBOX_LEDGER"])
    mails = compare((sent.mail for sent in flow if sent.with_mail), accepted_mails(ledger))
    with capsys.disabled():
        print(f"\n{workers.kills} x kill -9 in {TOTAL} notifications: in_app {in_app}")
        print(f"{MAILS} of them by e-mail too: {mails} (at most {MOST_DUPLICATES} may be doubled)")
    assert len(not_final) == 0, "every delivery has its final state in the ledger"
    assert in_app == Figures(lost=0, duplicates=0, unknown=0)
    assert (mails.lost, mails.unknown) == (0, 0)
    assert mails.duplicates <= MOST_DUPLICATES


def test_the_check_itself_sees_what_is_missing_doubled_or_nobodys() -> None:
    assert compare(["a", "b", "c"], ["a", "b", "b", "x"]) == Figures(lost=1, duplicates=1, unknown=1)


async def under_fire(
    flow: Sequence[Sent], workers: Workers, resources: Resources, variables: Mapping[str, str], door: str
) -> Counter[str]:
    """Wave after wave, a worker killed in each but the last; returns how many each door has acknowledged."""
    told: Counter[str] = Counter()
    size = len(flow) // (KILLS + 1)
    for begin in range(0, len(flow), size):
        sending = asyncio.create_task(send(flow[begin : begin + size], resources, variables, door))
        if workers.kills < KILLS:
            await workers.kill_oldest()
        told += await sending
    return told


async def send(flow: Sequence[Sent], resources: Resources, variables: Mapping[str, str], door: str) -> Counter[str]:
    """All of it through its doors, side by side; returns how many each door has acknowledged."""
    permits = asyncio.Semaphore(24)
    headers = bearer(await token_of(variables, "ana"))
    async with httpx2.AsyncClient(base_url=door, headers=headers, timeout=30) as http:

        async def through(sent: Sent) -> str:
            async with permits:
                match sent.door:
                    case "http":
                        await by_http(http, sent)
                    case "kafka":
                        value = json.dumps(sent.body).encode()
                        await resources.publisher.publish(Outgoing(topics.requests(ENVIRONMENT), sent.person, value))
                    case _:
                        await resources.redis.xadd(f"notifications:{ENVIRONMENT}", {"data": json.dumps(sent.body)})
            return sent.door

        return Counter(await asyncio.gather(*map(through, flow)))


async def by_http(http: httpx2.AsyncClient, sent: Sent) -> None:
    """As the API tells its callers: an unknown outcome is repeated under the same request id."""
    while (answer := await http.post("/api/v1/notifications", json=sent.body)).status_code == 503:
        await asyncio.sleep(0.1)
    assert answer.status_code == 202, answer.text
    assert answer.json()["data"]["notification_id"] == sent.notification_id


async def still_open(flow: Sequence[Sent], resources: Resources) -> list[Sent]:
    """What has deliveries that are in no final state, or none of ours, even when there was time for all."""
    permits = asyncio.Semaphore(16)
    left = list(flow)

    async def is_open(sent: Sent) -> bool:
        async with permits:
            rows = await resources.stores.deliveries.of(ENVIRONMENT, sent.notification_id)
        return {row.delivery_id for row in rows if row.state in ENDED} != sent.deliveries

    async def none_is_left() -> bool:
        nonlocal left
        still = await asyncio.gather(*map(is_open, left))
        left = [sent for sent, is_still in zip(left, still, strict=True) if is_still]
        return not left

    with suppress(AssertionError):
        await eventually(none_is_left, within_s=60)
    return left


async def inbox_items(resources: Resources) -> list[str]:
    """Every item of every reader, as the reader's own list shows it."""
    shown = await asyncio.gather(
        *(resources.stores.inbox.newest(ENVIRONMENT, person, before=None, limit=TOTAL) for person in PEOPLE)
    )
    return [f"{item.person} {item.id}" for items in shown for item in items]
