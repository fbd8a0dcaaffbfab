"""Workers die by SIGKILL while notifications flow in by HTTP, Kafka and Redis: the short form of `make faults`.

The ledger check that finds nothing is then given the same three lists with one fault planted by hand, and must name it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import httpx2

from infrastructure.resources import Resources
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import DOORS, Doors, a_flow
from tests.faults.ledger_check import Call, Dump, ProducerLedger, check
from tests.faults.under_fire import Accepted, kills_under_load

TOTAL, MAIL_EVERY, KILLS = 900, 4, 5
CONCURRENCY = 8
QUOTA = 100  # of each door's 300 requests: what is over it is set aside, and planned behind the others
# A death may repeat what was between the provider's yes and our record of it: at most what one worker had under way.
MOST_DUPLICATES = KILLS * CONCURRENCY


async def test_nothing_is_lost_and_no_inbox_item_is_doubled(
    run: str,
    crew: Crew,
    api_of: Callable[..., Awaitable[httpx2.AsyncClient]],
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
    provider: httpx2.AsyncClient,
) -> None:
    """Every mail is accepted at once and answered late: a death in between is likely."""
    await provider.put("/faults/email", json={"mode": "slow", "delay_s": 0.2})
    crew.extra = {"WORKER_CONCURRENCY": str(CONCURRENCY), "PRODUCER_QUOTA_PER_MINUTE": str(QUOTA)}
    _, _, http = await asyncio.gather(crew.add(), crew.add(), api_of())
    flow = a_flow(run, TOTAL, doors=tuple(DOORS), mail_every=MAIL_EVERY)
    mails = Accepted(Path(variables["SANDBOX_LEDGER"]), run)
    await asyncio.gather(
        Doors(resources, ledger, http).hand_in(flow),
        kills_under_load(crew, ("consumers", "all"), KILLS, progress=mails, total=TOTAL // MAIL_EVERY, luck=Random(run)),
    )

    report = await judge.verdict(flow, since=time.monotonic(), note=f"kills={crew.kills} of at most {MOST_DUPLICATES}")
    items = {request.expected[0].delivery for request in flow}
    assert items.isdisjoint(report.duplicates)
    assert len(report.duplicates) <= MOST_DUPLICATES
    assert report.late == ()
    dump = await dump_of(variables, run)
    moved = sum('"moved_from":"normal"' in row["document"] for row in dump.notifications)
    judge.say(f"moved_back={moved}")
    assert moved > TOTAL / 3
    a_check_that_can_fail(judge, dump)


def a_check_that_can_fail(judge: Judge, dump: Dump) -> None:
    """One fault at a time, planted in what is really there."""
    calls = judge.calls()
    found = check(judge.ledger.path, calls, dump)
    mail, item, row = calls[0].delivery, dump.inbox[0]["delivery_id"], dump.deliveries[0]["delivery_id"]

    lost_mail = check(judge.ledger.path, [call for call in calls if call.delivery != mail], dump)
    assert lost_mail.wrongs == {"lost": (mail,), "contradictions": (f"{mail} SENT, but it never arrived",)}
    lost_item = check(judge.ledger.path, calls, replace(dump, inbox=dump.inbox[1:]))
    assert lost_item.lost == (item,)
    no_row = check(judge.ledger.path, calls, replace(dump, deliveries=dump.deliveries[1:]))
    assert no_row.unfinished == (row,)
    wrong_state = ({**dump.deliveries[0], "state": "FAILED"}, *dump.deliveries[1:])
    denied = check(judge.ledger.path, calls, replace(dump, deliveries=wrong_state))
    assert [text.partition(" ")[0] for text in denied.contradictions] == [row]
    doubled = check(judge.ledger.path, [*calls, calls[0]], dump)
    assert len(doubled.duplicates) == len(found.duplicates) + 1
    ghost = check(judge.ledger.path, [*calls, Call("dlv_nobodys", calls[0].address, calls[0].at)], dump)
    assert ghost.wrongs == {"ghosts": ("dlv_nobodys",)}
