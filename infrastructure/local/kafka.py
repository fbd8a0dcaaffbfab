"""A real Apache Kafka broker: KRaft, broker and controller in one process, one or several of them on loopback."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.java import FOR_TESTS, java
from infrastructure.local.ports import LOOPBACK
from infrastructure.local.processes import Child, Processes, listens

CLUSTER_ID = "Y2FyaWxsb24tbG9jYWwhIQ"  # 16 bytes in base64url, as Kafka wants them: "carillon-local!!"
STARTED = "Kafka Server started"

LOG4J2 = """\
Configuration:
  status: error
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d{ISO8601} %p %c{1} %m%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: out
    Logger:
      - name: kafka.server.KafkaRaftServer  # says when the broker is ready
        level: info
"""


@dataclass(frozen=True)
class Node:
    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def vote(self) -> str:
        return f"{self.number}@{LOOPBACK}:{self.controller_port}"


def server_properties(node: Node, cluster: Sequence[Node]) -> str:
    """Kafka's own names: https://kafka.apache.org/43/configuration/broker-configs/."""
    replicas = min(len(cluster), 3)
    in_sync = max(1, replicas - 1)
    return "\n".join(
        (
            "process.roles=broker,controller",
            f"node.id={node.number}",
            # A fixed list rather than --standalone: the ports may be others on the next start.
            f"controller.quorum.voters={','.join(each.vote for each in cluster)}",
            f"listeners=PLAINTEXT://{node.address},CONTROLLER://{LOOPBACK}:{node.controller_port}",
            f"advertised.listeners=PLAINTEXT://{node.address}",
            "controller.listener.names=CONTROLLER",
            f"log.dirs={node.folder / 'data'}",
            "auto.create.topics.enable=false",
            f"default.replication.factor={replicas}",
            f"min.insync.replicas={in_sync}",
            f"offsets.topic.replication.factor={replicas}",
            "offsets.topic.num.partitions=4",
            f"transaction.state.log.replication.factor={replicas}",
            f"transaction.state.log.min.isr={in_sync}",
            "transaction.state.log.num.partitions=1",
            f"share.coordinator.state.topic.replication.factor={replicas}",
            f"share.coordinator.state.topic.min.isr={in_sync}",
            "group.initial.rebalance.delay.ms=0",
            # After kill -9 the old session has to lapse before a new broker serves: 4 s with these, else 12 s.
            "broker.session.timeout.ms=2000",
            "broker.heartbeat.interval.ms=500",
            # A laptop's disk is finite: per partition at most 256 MiB, and a week.
            "log.retention.hours=168",
            "log.retention.bytes=268435456",
            "log.segment.bytes=67108864",
            "log.cleaner.dedupe.buffer.size=2097152",
            "",
        )
    )


async def start_kafka(
    processes: Processes, node: Node, cluster: Sequence[Node], *, classpath: str, java_flags: Sequence[str] = ()
) -> Child:
    """Formats the folder on its first start, and returns when the broker serves."""
    properties = node.folder / "server.properties"
    properties.write_text(server_properties(node, cluster))
    log4j2 = node.folder / "log4j2.yaml"
    log4j2.write_text(LOG4J2)
    quiet = f"-Dlog4j2.configurationFile={log4j2}"
    name = "kafka" if len(cluster) == 1 else f"kafka-{node.number}"
    if not (node.folder / "data" / "meta.properties").exists():
        await _format(processes, f"{name}-format", properties, quiet=quiet, classpath=classpath)
    child = await processes.start(
        name,
        java("-Xmx512m", quiet, *java_flags, classpath=classpath, main="kafka.Kafka", arguments=[properties]),
        cwd=node.folder,
    )

    async def serves() -> bool:
        return STARTED in child.output and await listens(node.port)

    await child.until(serves)
    return child


async def _format(processes: Processes, name: str, properties: Path, *, quiet: str, classpath: str) -> None:
    arguments: list[str | Path] = ["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", properties]
    storage_tool = java(quiet, *FOR_TESTS, classpath=classpath, main="kafka.tools.StorageTool", arguments=arguments)
    await processes.run_to_end(name, storage_tool, cwd=properties.parent)
