"""Records gone from the log before their group could read them: said aloud, counted, and put where operators look."""

import structlog

from infrastructure.kafka.consuming.assignments import Assignments
from infrastructure.kafka.consuming.port import LogClient
from infrastructure.metrics import GAPS
from infrastructure.ports import Gap, GapLog

log = structlog.get_logger()


async def explain(books: Assignments, client: LogClient, group: str, gaps: GapLog) -> None:
    """Tells what is lost from markers of transactions. What cannot be recorded stays suspect and holds up its commit."""
    suspects = books.suspects
    if not suspects:
        return
    starts = await client.log_starts({suspect.partition for suspect in suspects})
    for suspect in suspects:
        topic, number = suspect.partition
        lost = range(suspect.missing.start, min(suspect.missing.stop, starts[suspect.partition]))
        if lost:
            await gaps.record(Gap(group, topic, number, lost.start, lost.stop))
            log.error("consumer.gap", group=group, topic=topic, partition=number, lost_from=lost.start, lost_to=lost.stop)
            GAPS.labels(group).inc(len(lost))
        books.explained(suspect)
