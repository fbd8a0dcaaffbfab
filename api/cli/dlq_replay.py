"""`carillon dlq replay`: a dry run first; then slowly, on record, and as often as one likes."""

import json
import shlex
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from api.cli.looks import a_look
from api.cli.names import name_of
from api.cli.replaying import DeliveriesOf, Found, Named, Records, Task, refused_again
from api.cli.workbench import (
    By,
    Channel,
    Json,
    Reason,
    Since,
    Text,
    Until,
    Where,
    Workbench,
    at_the_bench,
    moment,
    refuse,
    whoever,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these; else what the options describe.")]
Quarantine = Annotated[bool, typer.Option("--quarantine", help="Records in quarantine instead of deliveries.")]
State = Annotated[str, typer.Option("--state", help="FAILED, UNKNOWN (may arrive twice then) or PENDING.")]
Notification = Annotated[str, typer.Option("--notification", help="Only deliveries of this one: ntf_…")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would be done; so it is without --yes and --expect.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it.")]
Expect = Annotated[int | None, typer.Option("--expect", min=0, help="Do it if it is just so many.")]
Rate = Annotated[float, typer.Option("--rate", min=0.1, max=1000, help="At most so many a second.")]
Again = Annotated[bool, typer.Option("--again", help="Also records that were replayed or discarded before.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=600, help="Seconds to look out for what is refused again.")]


def replay(
    names: Names = None,
    quarantine: Quarantine = False,
    state: State = "FAILED",
    channel: Channel = "",
    reason: Reason = "",
    text: Text = "",
    since: Since = "",
    until: Until = "",
    notification: Notification = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    expect: Expect = None,
    rate: Rate = 50,
    again: Again = False,
    wait: Wait = 3,
    by: By = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Deliveries are attempted once more; records go back to the Kafka topic they came from. Shows, and does only on demand.

    Repeating it does no harm: what is on its way or was sent is left alone. Ctrl-C stops it; run it again to go on.

    Exit code 0: done, or shown. 1: something was refused, or it is not as many as expected. 2: the store or Kafka is away.
    """
    latest = moment(until) or datetime.now(UTC)
    if names:
        task: Task = Named([(name, name_of(name)) for name in names], again)
    elif quarantine:
        task = Records(reason, text, moment(since), latest, again)
    else:
        task = DeliveriesOf(a_look(state, channel, reason, moment(since), latest), notification)
    do = (yes or expect is not None) and not dry_run
    carry_through(Work(task, whoever(by) if do else "", rate, wait), expect, latest, environment, do=do, as_json=as_json)


def carry_through(work: "Work", expect: int | None, latest: datetime, environment: str, *, do: bool, as_json: bool) -> None:
    """Shows what a task would do; does it only on demand, and only to as many as were expected."""

    async def replaying(bench: Workbench) -> dict[str, Any] | None:
        found = await work.find(bench)
        if not as_json:
            typer.echo("\n".join(found.lines))
        if expect is not None and found.total != expect:
            raise refuse(f"{found.total} match now, not {expect}. Nothing was done.")
        if not found.whole:
            raise refuse(f"There are more than {found.total}: narrow it with --channel, --reason, --since or --until.")
        if not do or not found.total:
            return found.document | {"dry_run": True}
        return found.document | {"dry_run": False} | await work.carry_out(bench, found.total)

    try:
        answer = at_the_bench(replaying, environment)
    except KeyboardInterrupt:
        raise refuse(f"Stopped after {work.results.total()}; the others are as they were. Run it again to go on.") from None
    _conclude(answer or {}, latest, as_json=as_json)


def _conclude(answer: dict[str, Any], latest: datetime, *, as_json: bool) -> None:
    problems = answer.get("problems", [])
    if as_json:
        typer.echo(json.dumps(answer))
    elif answer["dry_run"]:
        typer.echo(_how_to_go_on(answer["total"], latest))
    else:
        said = ", ".join(f"{count} {result}" for result, count in sorted(answer["results"].items()))
        typer.echo(f"Done: {said}.")
    if problems:
        raise refuse("\n".join(problems))


def _how_to_go_on(total: int, latest: datetime) -> str:
    if not total:
        return "There is nothing to do."
    given = [part for part in sys.argv[1:] if part != "--dry-run"]
    pinned = [] if any(part.startswith("--until") for part in given) else ["--until", latest.isoformat()]
    command = shlex.join(["carillon", *given, *pinned, "--expect", str(total)])
    return f"A dry run: nothing was changed. To do it:\n  {command}"


class Work:
    """A task being carried out; `results` can be read at any time, also after it was broken off."""

    def __init__(self, task: Task, by: str, rate: float, wait: float) -> None:
        self.results: Counter[str] = Counter()
        self._task = task
        self._by = by
        self._rate = rate
        self._wait = wait

    async def find(self, bench: Workbench) -> Found:
        return await self._task.find(bench)

    async def carry_out(self, bench: Workbench, total: int) -> dict[str, Any]:
        began = datetime.now(UTC)
        progress = _Progress(total)
        problems: list[str] = []
        async for result, problem in self._task.carry_out(bench, self._by, self._rate):
            self.results[result] += 1
            problems += [problem] if problem else []
            progress.tell(self.results.total())
        problems += await refused_again(bench, self._task.put_back, began, self._wait)
        return {"results": dict(self.results), "problems": problems}


class _Progress:
    """A line a second on standard error, for work that takes long."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._told_at = time.monotonic()

    def tell(self, done: int) -> None:
        if time.monotonic() - self._told_at >= 1:
            self._told_at = time.monotonic()
            typer.echo(f"{done} of {self._total}", err=True)
