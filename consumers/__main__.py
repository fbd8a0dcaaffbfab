"""`python -m consumers NAME`: one worker, or all of them. Several copies of one name share its work."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import structlog
import typer
from pydantic import ValidationError

from consumers.health import health_server
from consumers.workers import NAMES, Named, workers_of
from infrastructure.catalogue import BrokenCatalogue
from infrastructure.kafka.consuming.member import HandlerBuriesEverything
from infrastructure.logs import configure_logs
from infrastructure.resources import open_resources
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

log = structlog.get_logger()

_AFTER_DRAINING_S = (
    13.0  # a last commit and leaving the group take 10 s at most; the grace period is 15 s longer than a drain
)


async def work(name: str, settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then drains, commits and leaves the groups; a second signal ends it at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_resources(settings) as resources:
        workers = workers_of(name, resources)
        log.info("workers.started", workers=[each.name for each in workers])
        await _run(workers, settings, stopping)
    log.info("workers.stopped")


async def _run(workers: Sequence[Named], settings: Settings, stopping: asyncio.Event) -> None:
    running = [asyncio.create_task(each.worker.run(), name=each.name) for each in workers]
    async with _health(workers, settings):
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait([told, *running], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)
        _end_for_certain(settings.drain_timeout_s + _AFTER_DRAINING_S)
        for each in workers:
            each.worker.stop()
        await asyncio.wait(running)  # all of them, also when one has crashed: the others still drain and commit
        for task in running:
            task.result()


def _end_for_certain(after_s: float) -> None:
    """A client that swallows its cancellation would keep the process for ever; what is settled is committed by then."""

    def end() -> None:
        log.error("workers.stop_forced", after_s=after_s)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(os.EX_SOFTWARE)

    timer = threading.Timer(after_s, end)
    timer.daemon = True  # a process that ends by itself does not wait for it
    timer.start()


@contextlib.asynccontextmanager
async def _health(workers: Sequence[Named], settings: Settings) -> AsyncIterator[None]:
    if not settings.worker_port:
        yield
        return
    server = health_server(workers, settings.host, settings.worker_port)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)  # its tracebacks would print local values


@app.command()
def main(
    name: Annotated[str, typer.Argument(help=f"Which worker: all, {', '.join(NAMES)}.")] = "all",
) -> None:
    """Run a worker of Carillon. Settings come from the environment; see .env.example."""
    if name != "all" and name not in NAMES:
        raise typer.BadParameter(f"no worker is named {name}; there are: all, {', '.join(NAMES)}")
    try:
        settings = Settings()
        configure_logs(settings)
        asyncio.run(work(name, settings))
    except (ValidationError, BrokenCatalogue, Unavailable) as error:
        sys.exit(f"The worker cannot start: {error}")
    except HandlerBuriesEverything as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app()
