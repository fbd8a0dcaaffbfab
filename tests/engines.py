"""The running broker, store and Redis, for tests of what happens when one of them dies and comes back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infrastructure.local.addresses import Addresses
from infrastructure.local.jars import fetch_jars
from infrastructure.local.java import FOR_TESTS
from infrastructure.local.kafka import Node, start_kafka
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.local.valkey import start_valkey


@dataclass(frozen=True)
class Engines:
    processes: Processes
    root: Path
    addresses: Addresses

    async def kill(self, name: Literal["kafka", "valkey"]) -> None:
        """With -9, and until it is gone."""
        child = self._child(name)
        child.process.kill()
        await child.process.wait()
        self.processes.children.remove(child)

    async def start_kafka_again(self) -> None:
        """With its data, at the same address."""
        node = Node(1, self.addresses.kafka_port, any_free_port(), self.root / "kafka")
        await start_kafka(self.processes, node, [node], classpath=fetch_jars().kafka, java_flags=FOR_TESTS)

    async def start_valkey_empty(self) -> None:
        await start_valkey(self.processes, self.addresses.redis_port, self.root / "valkey", persistent=False)

    def _child(self, name: str) -> Child:
        return next(child for child in self.processes.children if child.name == name)
