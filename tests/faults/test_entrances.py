"""The same request through every entrance at once: one notification per producer, and another body is refused at each."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import httpx2

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, REQUESTS, STREAM
from tests.faults.ledger_check import Expected, ProducerLedger, derived_id
from tests.kafka_log import document, records_of

TIMES = 5
HOOK = "/slack/services/T0/B0/local"  # where the default Slack target leads to here
ANA = "user:ana"
SHARED = {"LEGACY_PRODUCER": ANA, "BRIDGE_PRODUCER": ANA, "RAW_PRODUCERS": ANA}
PRODUCERS = {"http": ANA, "kafka": "kafka", "redis": "bridge", "legacy": "legacy"}


@dataclass(frozen=True)
class Entrances:
    """One request, as each of the four doors wants to hear it."""

    resources: Resources
    http: httpx2.AsyncClient
    token: str
    request_id: str
    message: str
    source: str = ""

    async def all_at_once(self, times: int = TIMES) -> None:
        ways = (self.by_http, self.by_kafka, self.by_redis, self.by_legacy)
        await asyncio.gather(*(way() for _ in range(times) for way in ways))

    async def by_http(self) -> int:
        return (await self.http.post("/api/v1/notifications", json=self.body)).status_code

    async def by_kafka(self) -> None:
        headers = {"ce_id": self.request_id} | ({"ce_source": self.source} if self.source else {})
        bare = {name: value for name, value in self.body.items() if name != "request_id"}
        await self.resources.publisher.publish(Outgoing(REQUESTS, None, json.dumps(bare).encode(), headers))

    async def by_redis(self) -> None:
        await self.resources.redis.xadd(STREAM, {"data": json.dumps(self.body)})

    async def by_legacy(self) -> int:
        stamp = str(int(time.time()))
        signature = hmac.new(self.token.encode(), stamp.encode(), hashlib.sha256).hexdigest()
        headers = {"token": self.token, "x-timestamp": stamp, "x-signature": signature, "idempotency-key": self.request_id}
        address = f"/publish/{ENVIRONMENT}"
        return (await self.http.post(address, params={"message": self.message}, headers=headers)).status_code

    @property
    def body(self) -> dict[str, object]:
        return {"to": [{"slack": "default"}], "message": self.message, "request_id": self.request_id}


def expected_of(producer: str, request_id: str) -> Expected:
    notification = derived_id("ntf_", ENVIRONMENT, producer, request_id)
    return Expected(derived_id("dlv_", notification, "slack:default", "slack", "default"), notification, HOOK)


def promise(ledger: ProducerLedger, *expected: Expected) -> None:
    for each in expected:
        ledger.sending(each.notification, [each])
        ledger.acknowledged(each.notification)


async def all_ended(resources: Resources, *expected: Expected) -> None:
    async def have() -> bool:
        rows = [row for each in expected for row in await resources.stores.deliveries.of(ENVIRONMENT, each.notification)]
        return len([row for row in rows if row.state == "SENT"]) == len(expected)

    await eventually(have)


async def verdicts(settings: Settings, request_id: str) -> list[tuple[str, str]]:
    """What the producers were told about a request: verdict, and where something was wrong."""
    records = [document(record) for record in await records_of(settings, f"notifications.{ENVIRONMENT}.receipts")]
    ours = [record for record in records if record["request_id"] == request_id]
    return [(record["verdict"], " ".join(error["pointer"] for error in record["errors"])) for record in ours]


async def test_a_producer_that_knocks_everywhere_at_once_sends_one_notification(
    run: str,
    crew: Crew,
    api_of: Callable[..., Awaitable[httpx2.AsyncClient]],
    resources: Resources,
    settings: Settings,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
) -> None:
    crew.extra = SHARED
    await crew.add()
    entrances = Entrances(resources, await api_of(**SHARED), variables["API_TOKEN"], run, f"Hello {run}", source=ANA)
    wanted = expected_of(ANA, run)
    promise(ledger, wanted)
    begun = time.monotonic()
    await entrances.all_at_once()
    await all_ended(resources, wanted)

    # every record is answered: one verdict for the first, and the same for its repeats
    async def all_answered() -> bool:
        return len(await verdicts(settings, run)) >= 2 * TIMES

    await eventually(all_answered)
    told = await verdicts(settings, run)
    assert {verdict for verdict, _ in told} <= {"accepted", "duplicate", "final"}

    other = replace(entrances, message=f"Other {run}")
    assert await other.by_http() == 409
    await asyncio.gather(other.by_kafka(), other.by_redis(), other.by_legacy())

    async def all_refused() -> bool:
        # over HTTP the caller was told at once; whatever a door let through is refused by route, with a receipt
        return (await verdicts(settings, run)).count(("rejected", "/request_id")) == 3

    await eventually(all_refused)
    report = await judge.compared(since=begun, note=f"records={len(told)}")
    assert report.duplicates == ()
    dump = await dump_of(variables, run)
    [stored] = dump.notifications
    assert f"Hello {run}" in stored["document"], "the first one counts"


async def test_four_producers_with_the_same_id_are_four_producers(
    run: str,
    crew: Crew,
    api_of: Callable[..., Awaitable[httpx2.AsyncClient]],
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
) -> None:
    await crew.add()
    entrances = Entrances(resources, await api_of(), variables["API_TOKEN"], run, f"Hello {run}")
    wanted = [expected_of(producer, run) for producer in PRODUCERS.values()]
    promise(ledger, *wanted)
    begun = time.monotonic()
    await entrances.all_at_once()
    await all_ended(resources, *wanted)
    report = await judge.compared(since=begun)
    assert report.duplicates == ()
    assert len(judge.calls()) == len(PRODUCERS)
