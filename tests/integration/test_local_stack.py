import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import boto3
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from mypy_boto3_dynamodb import DynamoDBClient
from redis.asyncio import Redis

from infrastructure.local import processes as processes_module
from infrastructure.local.addresses import Addresses, Elsewhere
from infrastructure.local.java import FOR_TESTS
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import CannotStart, Processes
from infrastructure.local.stack import local_stack, only_one
from infrastructure.local.wiring import choose_ports, keep_secrets

TOPIC = "kept"
LEFT = (b"a record", b"a value", [{"id": {"S": "an item"}}])

PARENT = """
import asyncio, sys
from pathlib import Path
from infrastructure.local.processes import Processes

async def main():
    async with Processes(Path(sys.argv[1])) as processes:
        child = await processes.start("child", [sys.executable, "-c", CHILD], cwd=Path.cwd())
        async def said(): return child.output != ""
        await child.until(said)
        print(child.process.pid, flush=True)
        await asyncio.sleep(600)

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
"""

STACK = """
import asyncio, sys
from pathlib import Path
from infrastructure.local.java import FOR_TESTS
from infrastructure.local.stack import local_stack

async def main():
    async with local_stack(Path(sys.argv[1]), persistent=True, java_flags=FOR_TESTS) as addresses:
        print(addresses.kafka_port, addresses.dynamodb_port, addresses.redis_port, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def a_parent(program: str, folder: Path) -> tuple[asyncio.subprocess.Process, list[int]]:
    """A process with children, and the numbers it said when they were up."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(folder), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    return parent, [int(number) for number in (await parent.stdout.readline()).split()]


async def killed(parent: asyncio.subprocess.Process) -> Sequence[psutil.Process]:
    """The descendants that outlive a kill -9 of their parent."""
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.kill()
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=5)
    return alive


def dynamodb_of(addresses: Addresses) -> DynamoDBClient:
    env = addresses.environment()
    return boto3.client(
        "dynamodb",
        endpoint_url=env["AWS_ENDPOINT_URL_DYNAMODB"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def leave_an_item(addresses: Addresses) -> None:
    dynamodb = dynamodb_of(addresses)
    dynamodb.create_table(
        TableName=TOPIC,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName=TOPIC, Item={"id": {"S": "an item"}})


async def leave_something(addresses: Addresses) -> None:
    env = addresses.environment()
    admin = AIOKafkaAdminClient(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], acks="all") as producer:
        await producer.send_and_wait(TOPIC, b"a record")
    async with Redis.from_url(env["REDIS_URL"]) as redis:
        await redis.set("kept", "a value")
    await asyncio.to_thread(leave_an_item, addresses)


async def found_again(addresses: Addresses) -> tuple[object, object, object]:
    env = addresses.environment()
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest")
    async with consumer, Redis.from_url(env["REDIS_URL"]) as redis:
        record = await asyncio.wait_for(consumer.getone(), 15)
        items = await asyncio.to_thread(dynamodb_of(addresses).scan, TableName=TOPIC)
        return record.value, await redis.get("kept"), items["Items"]


async def test_a_second_start_finds_the_data_of_the_first_although_the_ports_are_others(tmp_path: Path) -> None:
    async with local_stack(tmp_path, persistent=True, java_flags=FOR_TESTS) as first:
        await leave_something(first)
    async with local_stack(tmp_path, persistent=True, java_flags=FOR_TESTS) as second:
        assert second.kafka_port != first.kafka_port
        assert await found_again(second) == LEFT


async def test_nothing_of_the_stack_listens_beyond_loopback(tmp_path: Path) -> None:
    async with local_stack(tmp_path, persistent=False, java_flags=FOR_TESTS) as addresses:
        listening = {
            connection.laddr.port: connection.laddr.ip.removeprefix("::ffff:")
            for child in psutil.Process().children(recursive=True)
            for connection in child.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert {addresses.kafka_port, addresses.dynamodb_port, addresses.redis_port} <= listening.keys()
    assert set(listening.values()) == {"127.0.0.1"}


async def test_kill_9_of_the_parent_leaves_no_engine_behind_and_loses_no_data(tmp_path: Path) -> None:
    parent, ports = await a_parent(STACK, tmp_path)
    await leave_something(Addresses(*ports))
    assert await killed(parent) == []
    async with local_stack(tmp_path, persistent=True, java_flags=FOR_TESTS) as addresses:
        assert await found_again(addresses) == LEFT


async def test_a_child_that_ignores_sigterm_does_not_outlive_its_parent_either(tmp_path: Path) -> None:
    parent, _ = await a_parent(f"{PARENT}\nasyncio.run(main())", tmp_path)
    assert await killed(parent) == []


async def test_the_lifeline_does_what_prctl_does_where_there_is_none(tmp_path: Path) -> None:
    pretend_macos = "import infrastructure.local.processes as p; p.HAS_PDEATHSIG = False"
    parent, _ = await a_parent(f"{PARENT}\n{pretend_macos}\nasyncio.run(main())", tmp_path)
    assert await killed(parent) == []


async def test_a_child_that_ignores_sigterm_is_killed_when_its_grace_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "STOP_GRACE_S", 0.2)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    async with Processes(tmp_path) as processes:
        child = await processes.start("stubborn", [sys.executable, "-c", stubborn], cwd=tmp_path)

        async def said() -> bool:
            return "on" in child.output

        await child.until(said)
    assert child.process.returncode == -signal.SIGKILL


async def test_a_child_that_dies_while_starting_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with Processes(tmp_path) as processes:
        child = await processes.start("frail", [sys.executable, "-c", "raise SystemExit('no disk')"], cwd=tmp_path)
        with pytest.raises(CannotStart, match=r"(?s)frail stopped while starting.*no disk"):
            await child.until(never)


def test_a_busy_port_is_said_in_a_sentence_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is busy.*PORT={port + 1} make run"):
            choose_ports({"PORT": str(port)}, Elsewhere())


def test_a_port_asked_for_by_name_is_never_swapped_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match="KAFKA_PORT"):
            choose_ports({"PORT": str(any_free_port()), "KAFKA_PORT": str(port)}, Elsewhere())


@pytest.mark.parametrize("nonsense", ["0", "65536", "eight", "-1", "80 80"])
def test_a_port_that_is_none_is_refused(nonsense: str) -> None:
    with pytest.raises(CannotStart, match="is no port"):
        choose_ports({"PORT": nonsense}, Elsewhere())


def test_a_second_start_in_the_same_folder_is_told_who_is_there(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(CannotStart, match=f"process {os.getpid()}"), only_one(tmp_path):
        pass


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    first = keep_secrets(path)
    assert keep_secrets(path) == first
    assert len(set(first.values())) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_parts_that_run_elsewhere_are_known_by_their_usual_variables() -> None:
    elsewhere = Elsewhere({"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "AWS_PROFILE": "work", "REDIS_URL": ""})
    assert (elsewhere.kafka, elsewhere.dynamodb, elsewhere.redis) == ("KAFKA_BOOTSTRAP_SERVERS", "AWS_PROFILE", None)
