"""Child processes that never outlive us, each with a log of its own."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infrastructure.local.ports import LOOPBACK

STOP_GRACE_S = 10.0
POLL_S = 0.02
LAST_LINES = 20
PR_SET_PDEATHSIG = 1  # prctl(2)

HAS_PDEATHSIG = sys.platform == "linux"

_LIBC = ctypes.CDLL(None, use_errno=True)


class CannotStart(Exception):
    """Something of the local stack could not be started; the text is for the person and says what to do."""


@dataclass(frozen=True)
class Child:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end_of_log(self) -> str:
        lines = "\n".join(self.output.splitlines()[-LAST_LINES:])
        return f"Its log ({self.log}) ends:\n{lines}"

    async def until(self, ready: Callable[[], Awaitable[bool]], *, within_s: float = 60) -> None:
        """Returns when the child is ready; raises with the end of its log when it dies or takes too long."""
        try:
            async with asyncio.timeout(within_s):
                while not await ready():
                    if not self.is_alive:
                        raise CannotStart(f"{self.name} stopped while starting. {self.end_of_log()}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError as slow:
            raise CannotStart(f"{self.name} was not ready within {within_s:.0f} s. {self.end_of_log()}") from slow

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for whatever of its process group is left after the grace."""
        if self.is_alive:
            self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class Processes:
    """Starts children and, on the way out, stops them in reverse order."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self.children: list[Child] = []

    async def __aenter__(self) -> Self:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self.children):
            await child.stop()

    async def start(
        self, name: str, argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> Child:
        """Must be called on the main thread: Linux ties the child's life to the thread that made it (prctl(2))."""
        log = _fresh_log(self._log_folder / f"{name}.log")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *_tied_to_us(argv),
                cwd=cwd,
                env=env,
                stdin=_lifeline(),
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the children in order
                preexec_fn=_die_with(os.getpid()) if HAS_PDEATHSIG else None,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    async def run_to_end(
        self, name: str, argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """For a step that has to succeed before the next."""
        step = await self.start(name, argv, cwd=cwd, env=env)
        code = await step.process.wait()
        self.children.remove(step)
        if code:
            raise CannotStart(f"{name} failed with exit code {code}. {step.end_of_log()}")

    async def first_death(self) -> Child:
        """Waits until one of the children ends, whatever the reason."""
        waits = {asyncio.ensure_future(child.process.wait()): child for child in self.children}
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return waits[ended.pop()]


async def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _fresh_log(log: Path) -> Path:
    """The log of the run before is kept beside it: it says why that run ended."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


async def together(*starts: Coroutine[Any, Any, Any]) -> None:
    """Runs them side by side; the first that fails cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except BaseExceptionGroup as problems:
        raise problems.exceptions[0] from None


def end_with_parent() -> None:
    """Asks Linux for a SIGTERM when whoever started this process dies; elsewhere it does nothing."""
    if HAS_PDEATHSIG:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _die_with(parent: int) -> Callable[[], None]:
    def tie() -> None:
        # SIGKILL, since nothing can refuse it; every engine here keeps its data through one.
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return tie


def _tied_to_us(argv: Sequence[str | Path]) -> Sequence[str | Path]:
    """Where prctl is missing (macOS) lifeline.py watches a pipe from us and stops the child when it closes."""
    return argv if HAS_PDEATHSIG else [sys.executable, Path(__file__).with_name("lifeline.py"), *argv]


def _lifeline() -> int:
    return asyncio.subprocess.DEVNULL if HAS_PDEATHSIG else asyncio.subprocess.PIPE
