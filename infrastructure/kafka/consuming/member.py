"""The life of one client: join, poll, keep the books, drain, leave. What it cannot go on with ends it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from infrastructure.kafka.consuming.assignments import Assignments, Commit
from infrastructure.kafka.consuming.budgets import Budgets
from infrastructure.kafka.consuming.burial_limit import BurialLimit
from infrastructure.kafka.consuming.deadlines import within
from infrastructure.kafka.consuming.gaps import explain
from infrastructure.kafka.consuming.port import ClientFailed, CommitRefused, LogClient, Partition, Tenure
from infrastructure.kafka.consuming.settling import Settler, Work
from infrastructure.kafka.consuming.watch import Watch
from infrastructure.ports import GapLog, Gate, Handler, Received
from schemas.outcomes import Unavailable
from schemas.topics import PRIORITIES, Priority, priority_of

log = structlog.get_logger()

POLL_S = 0.25
POLL_HELD_BACK_S = 0.05  # what is held back is let go on between two polls: a long one would leave its places empty
BOOKS_EVERY_S = 0.5
ANSWER_S = 5.0  # what one question to the broker may take
STOP_S = 5.0


class HandlerBuriesEverything(Exception):
    """The worker stops: its handler crashes on whatever comes, and going on would empty the log into quarantine."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"{group} stopped: its handler crashed on every record and nobody's got through. What was buried lies in "
            "quarantine, the rest waits in Kafka: find handler.crashed in the log, repair the cause, start the worker again."
        )


@dataclass(frozen=True)
class Terms:
    """Under which a member works; times in seconds."""

    group: str
    concurrency: int
    drain_s: float
    stall_s: float
    rejoin_s: float


class Member:
    """One client with its own books and lanes. Nothing of it outlives it but the memory of burials."""

    def __init__(
        self,
        terms: Terms,
        client: LogClient,
        handler: Handler,
        gate: Gate,
        gaps: GapLog,
        limit: BurialLimit,
        ready: asyncio.Event,
    ) -> None:
        self._terms = terms
        self._client = client
        self._gate = gate
        self._gaps = gaps
        self._failure: Exception | None = None
        self._settling_books = asyncio.Lock()
        self.books = Assignments()
        self.settler = Settler(terms.group, handler, limit, self._finished)
        self.lanes: Budgets[Work] = Budgets(self.settler.settle, terms.concurrency)
        self.watch = Watch(client, stall_s=terms.stall_s, rejoin_s=terms.rejoin_s, answer_s=ANSWER_S)
        self.held_back: frozenset[Partition] = frozenset()
        self.progress_at = self.turned_at = time.monotonic()
        self._ready = ready

    async def run(self, stopping: asyncio.Event) -> None:
        """Until it is told to stop; raises what this client cannot go on with. Leaves the group either way."""
        tasks = [
            asyncio.create_task(self._poll_for_ever()),
            asyncio.create_task(self._watch_for_ever()),
            asyncio.create_task(_until(stopping)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await self._leave()
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()

    # -- reading

    async def _poll_for_ever(self) -> None:
        await self._client.start(self)
        books_at = time.monotonic()
        while True:
            self._hold_back()
            for partition, records in (await self._client.poll(self._wait_s)).items():
                self.take(partition, records)
            self.watch.polled_at = self.turned_at = time.monotonic()
            self._check()
            if self.turned_at - books_at >= BOOKS_EVERY_S:
                await self.settle_books()
                books_at = time.monotonic()

    @property
    def _wait_s(self) -> float:
        return POLL_HELD_BACK_S if self.held_back else POLL_S

    def take(self, partition: Partition, records: Sequence[Received]) -> None:
        now = time.monotonic()
        for record in records:
            epoch = self.books.take(partition, record.offset, now)
            if epoch is None:
                return
            key = record.key if record.key is not None else record.offset
            self.lanes.add(partition, key, Work(record, partition, epoch))

    def _finished(self, work: Work) -> None:
        self.progress_at = time.monotonic()
        self.books.finish(work.partition, work.epoch, work.record.offset)

    def _hold_back(self) -> None:
        """Pauses what has enough waiting, and everything while the gate is closed; resumes what no longer is."""
        if not self.books.is_open:
            return
        held_up = self.lanes.held_up(self.books.in_flight())
        wanted = self.books.held if self._gate.closed_for_s() > 0 else held_up
        if wanted - self.held_back:
            self._client.pause(wanted - self.held_back)
        if self.held_back - wanted:
            self._client.resume(self.held_back - wanted)
        self.held_back = wanted

    def positions(self) -> Mapping[Partition, int | None]:
        return self._client.positions()

    @property
    def paused(self) -> tuple[Priority, ...]:
        found = {priority_of(tp.topic) for tp in self.held_back}
        return tuple(priority for priority in PRIORITIES if priority in found)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.settler.given_up.is_set():
            raise HandlerBuriesEverything(self._terms.group)

    # -- the books

    async def settle_books(self) -> None:
        """Compares, explains, commits: in this order, so that nothing lost is passed over in silence."""
        async with self._settling_books:
            await self._compare()
            try:
                await within(2 * ANSWER_S, explain(self.books, self._client, self._terms.group, self._gaps))
            except Unavailable as error:
                log.warning("consumer.gap_not_recorded", group=self._terms.group, reason=str(error))
            commit = self.books.commit_to_make()
            if commit is not None:
                await self._commit(commit)

    async def _compare(self) -> None:
        epoch = self.books.to_compare
        if epoch is None:
            return
        held = self.books.held
        committed = await within(ANSWER_S, self._client.committed(held))
        starts = await within(ANSWER_S, self._client.log_starts(held))
        self.books.compare(epoch, committed, starts)

    async def _commit(self, commit: Commit) -> None:
        try:
            await within(ANSWER_S, self._client.commit(commit.generation, commit.offsets))
        except CommitRefused as error:
            # the group moved on without us: what is uncommitted comes again to its new owner
            log.warning("commit.refused", group=self._terms.group, epoch=commit.epoch, reason=str(error))
            return
        self.books.committed(commit)

    # -- between two assignments: what is raised here the client may swallow, so it is kept

    async def revoked(self) -> None:
        """Every rebalance takes everything: drain, commit, forget."""
        if not self.books.held:
            return
        self.books.close()
        try:
            await self._drain()
        except Exception as error:  # pylint: disable=broad-exception-caught
            log.warning("rebalance.drain_failed", group=self._terms.group, error=repr(error))
            self._failure = ClientFailed(f"draining for a rebalance: {error!r}")
        self.books.forget()

    async def assigned(self, tenure: Tenure) -> None:
        self.books.assign(tenure)
        self.held_back = frozenset()
        self._ready.set()
        log.info("partitions.assigned", group=self._terms.group, partitions=len(tenure.partitions), epoch=self.books.epoch)

    async def _drain(self) -> None:
        if not await self.lanes.drained(self._terms.drain_s):
            log.warning("drain.incomplete", group=self._terms.group, in_flight=sum(self.books.in_flight().values()))
            await self.lanes.abandon()
        if self.books.held:
            await self.settle_books()

    async def _leave(self) -> None:
        """Drain, commit, leave; a client that does not let go is left behind (aio-libs/aiokafka#773)."""
        self.books.close()
        try:
            await self._drain()
        except (ClientFailed, TimeoutError) as error:
            log.warning("consumer.last_commit_failed", group=self._terms.group, error=repr(error))
        finally:
            self.books.forget()
            await self._let_go()

    async def _let_go(self) -> None:
        try:
            await within(STOP_S, self._client.stop())
        except (ClientFailed, TimeoutError) as error:
            log.warning("consumer.stop_abandoned", group=self._terms.group, error=repr(error))

    async def _watch_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.watch.every_s)
            self.turned_at = time.monotonic()
            await self.watch.look(self.books.held if self.books.is_open else (), self.held_back)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
