"""`make run`: the local stack, the stand-ins for providers and logins, the workers and the API, until Ctrl-C."""

import asyncio
import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from infrastructure.local.addresses import Elsewhere, write_private
from infrastructure.local.ports import LOOPBACK
from infrastructure.local.processes import CannotStart, Child, Processes, end_with_parent, together
from infrastructure.local.push_keys import push_variables
from infrastructure.local.stack import only_one, start_stack
from infrastructure.local.story import as_line, follow
from infrastructure.local.welcome import after_ready
from infrastructure.local.wiring import (
    RunPorts,
    choose_ports,
    keep_secrets,
    local_variables,
    login_variables,
    outside_variables,
)

# The playground looks several times a second at the way of a notification; RATE_LIMIT_PER_MINUTE of one's own wins.
PLAYFUL_LIMIT = "2000"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(root: Path) -> int:
    """The exit code: 0 when a person stopped it, 1 when something failed (said in a sentence)."""
    try:
        return asyncio.run(_until_stopped(root))
    except CannotStart as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1


async def _until_stopped(root: Path) -> int:
    serving = asyncio.create_task(_serve(root))
    for stop in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(stop, _stop_once, serving)
    if "MAKELEVEL" in os.environ:
        end_with_parent()  # started by make: when it is killed, nobody is left to press Ctrl-C
    try:
        await serving
    except asyncio.CancelledError:
        print("Stopped. The data stays in .local/ for the next start; `make clean` removes it.")
    return 0


def _stop_once(serving: asyncio.Task[None]) -> None:
    """A second Ctrl-C changes nothing: stopping in order has its own deadline."""
    if not serving.cancelling():
        print("\nStopping …", flush=True)
        serving.cancel()


async def _serve(root: Path) -> None:
    local = root / ".local"
    outside = outside_variables(root, os.environ)
    elsewhere = Elsewhere(outside)
    with only_one(local):
        ports = choose_ports(outside, elsewhere)
        kept = keep_secrets(local / "secrets.env")
        async with Processes(local / "log") as processes:
            began = time.monotonic()
            print("Starting Kafka, DynamoDB Local and Valkey …", flush=True)
            addresses = await start_stack(
                processes, local, persistent=True, ports=ports.stack, elsewhere=elsewhere, progress=_show_download
            )
            variables = local_variables(ports, addresses, elsewhere, kept)
            variables |= push_variables(local / "push", variables["SANDBOX_URL"], outside)
            write_private(local / "stack.env", variables)
            print(f"They serve after {time.monotonic() - began:.1f} s. Starting Carillon …", flush=True)
            env = {"RATE_LIMIT_PER_MINUTE": PLAYFUL_LIMIT, **outside, **variables, "PYTHONUNBUFFERED": "1"}
            # The stand-in for logins keeps its own values, also while real logins are used and it idles.
            await together(
                _start_stand_ins(processes, root, {**env, **login_variables(ports, kept)}),
                processes.run_to_end("demo", _module("infrastructure.local.demo"), cwd=root, env=env),
            )
            workers = await _start_carillon(processes, root, env, ports)
            await after_ready(variables, _notes(elsewhere), local / "log")
            await _watch(processes, workers)


async def _start_stand_ins(processes: Processes, root: Path, env: Mapping[str, str]) -> None:
    services = await processes.start("services", _module("infrastructure.local.services"), cwd=root, env=env)
    await services.until(lambda: _said_ready(services))


async def _start_carillon(processes: Processes, root: Path, env: Mapping[str, str], ports: RunPorts) -> Child:
    """Workers and API side by side; gives the workers, whose log tells of deliveries."""
    workers = await processes.start("consumers", _module("consumers", "all"), cwd=root, env=env)
    api = await processes.start("api", _module("api"), cwd=root, env=env)
    await together(
        workers.until(lambda: _is_ready(ports.workers)),
        api.until(lambda: _is_ready(ports.api)),
    )
    return workers


async def _watch(processes: Processes, workers: Child) -> None:
    """Tells each delivery as it settles, until a child dies: then everything stops."""
    telling = asyncio.create_task(_tell(workers.log))
    try:
        dead = await processes.first_death()
    finally:
        telling.cancel()
    raise CannotStart(f"{dead.name} ended with exit code {dead.process.returncode}, so all stops. {dead.end_of_log()}")


async def _tell(log: Path) -> None:
    async for logged in follow(log):
        if line := as_line(logged):
            print(line, flush=True)


async def _said_ready(child: Child) -> bool:
    return "ready" in child.output.splitlines()


async def _is_ready(port: int) -> bool:
    return await asyncio.to_thread(_answers_ready, port)


def _answers_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    return False


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _notes(elsewhere: Elsewhere) -> list[str]:
    parts = {
        "Kafka": elsewhere.kafka,
        "DynamoDB": elsewhere.dynamodb,
        "Redis": elsewhere.redis,
        "Logins": elsewhere.identity_provider,
        "Mail": elsewhere.mail,
    }
    return [f"{part:<11} runs elsewhere, as {variable} says" for part, variable in parts.items() if variable]


def _show_download(done: int, total: int) -> None:
    print(f"\rDownloading jars: {done / 1e6:.0f} of {total / 1e6:.0f} MB", end="\n" if done == total else "", flush=True)
