"""Worker processes of one run: started, killed, stopped, frozen."""

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from tests.faults.flow import ENVIRONMENT
from tests.product import answers_ready, start_module

OWN = {
    "ENVIRONMENTS": ENVIRONMENT,
    "DEFAULT_ENVIRONMENT": ENVIRONMENT,
    "KAFKA_SESSION_TIMEOUT_S": "6",
    "DELIVERY_LEASE_S": "3",
    "PROVIDER_TIMEOUT_S": "1",
    "RETRY_SCHEDULE_S": "0.2,0.5,1,2,4,8",
    "BREAKER_OPEN_S": "1",
    "TYPES_DIR": "tests/faults/types",
    "LOW_STOCK_SOURCE": "channel",  # the stream has no environment in its name: it is left to the other workers
}


@dataclass
class Crew:
    """Starts workers of the product, several of one name if wanted, and knows them all."""

    processes: Processes
    variables: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    running: list[Child] = field(default_factory=list)
    everybody: list[Child] = field(default_factory=list)
    kills: int = 0

    async def add(self, *module: str) -> Child:
        """A worker process that is ready; `consumers all` unless told otherwise."""
        child, port = await self.start(*module)
        await child.until(lambda: answers_ready(port))
        return child

    async def start(self, *module: str) -> tuple[Child, str]:
        """The process and the port on which it will say that it is ready."""
        port = str(any_free_port())
        told = {**OWN, **self.extra, "WORKER_PORT": port}
        name = f"{module[1] if module else 'all'}-{port}"
        child = await start_module(
            self.processes, name, *(module or ("consumers", "all")), variables=self.variables, extra=told
        )
        self.running.append(child)
        self.everybody.append(child)
        return child, port

    async def kill(self, child: Child) -> None:
        """As a machine dies: nothing is finished, nobody is told."""
        child.process.kill()
        await self.buried(child)

    async def buried(self, child: Child) -> None:
        """Waits for a worker that dies by itself."""
        await child.process.wait()
        self.running.remove(child)
        self.kills += 1

    async def stop(self, child: Child) -> float:
        """SIGTERM; returns how long the worker took to leave."""
        begun = time.monotonic()
        child.process.terminate()
        code = await asyncio.wait_for(child.process.wait(), 40)
        self.running.remove(child)
        assert code == 0, f"exit code {code}. {child.end_of_log()}"
        return time.monotonic() - begun

    async def stop_all(self) -> None:
        for child in self.running:
            child.process.send_signal(signal.SIGCONT)
        await asyncio.gather(*(child.stop() for child in self.running))
        self.running.clear()

    async def forget_dead(self, worker: str) -> None:
        """Tells the broker at once what it would find out after the session time-out: the group's members are gone."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.variables["KAFKA_BOOTSTRAP_SERVERS"])
        await admin.start()
        try:
            group = f"{ENVIRONMENT}.{worker}"
            coordinator = await admin.find_coordinator(group)
            for answer in await admin.describe_consumer_groups([group]):
                for _, _, _, _, _, members in answer.groups:
                    for member in members:
                        await admin._send_request(LeaveGroupRequest(group, member[0]), coordinator)
        finally:
            await admin.close()


def settled_by(child: Child) -> int:
    return child.output.count('"delivery.settled"')
