"""A worker that kills itself with SIGKILL at a chosen step of the protocol. The product is not changed and does not know.

`python -m tests.faults.failing_worker route --at before:routed --nth 2` dies right before it marks its second plan as
handed out; `after:` is right after the step has returned. `--list` prints the steps of every worker. With `--told-by FILE`
the step is read from that file whenever a step is reached, so that a worker can be warm before it gets its orders.
"""

import argparse
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from consumers import __main__ as consumers
from consumers import workers
from schemas import topics

MOMENTS = ("before", "after")
_EXTERNAL = ("claim", "send", "timer", "record", "publish.status", "commit")
STEPS: dict[str, tuple[str, ...]] = {
    "route": ("plan", "publish.delivery", "publish.status", "publish.receipts", "routed", "commit"),
    "expand": ("cursor", "publish.delivery", "skip", "publish.status", "timer", "rest", "take_back", "commit"),
    "deliver.in_app": ("item", "publish.status", "commit"),
    "deliver.email": _EXTERNAL,
    "deliver.slack": _EXTERNAL,
    "persist": ("row", "commit"),
    "schedule": ("publish.delivery", "delete"),
    "bridge": ("publish.requests", "xack"),
}

# step -> where it happens: module, class, method
_METHODS = {
    "claim": ("infrastructure.dynamo.deliveries", "DeliveryStore", "claim"),
    "record": ("infrastructure.dynamo.deliveries", "DeliveryStore", "settle"),
    "rest": ("infrastructure.dynamo.deliveries", "DeliveryStore", "rest"),
    "skip": ("infrastructure.dynamo.deliveries", "DeliveryStore", "record_if_absent"),
    "cursor": ("infrastructure.dynamo.expansions", "ExpansionStore", "advance"),
    "take_back": ("consumers.cancelling", "Canceller", "take_back"),
    "row": ("infrastructure.dynamo.deliveries", "DeliveryStore", "record"),
    "plan": ("infrastructure.dynamo.notifications", "NotificationStore", "put_if_absent"),
    "routed": ("infrastructure.dynamo.notifications", "NotificationStore", "mark_routed"),
    "item": ("infrastructure.dynamo.inbox", "InboxStore", "put_if_absent"),
    "timer": ("infrastructure.dynamo.timers", "TimerStore", "put"),
    "delete": ("infrastructure.dynamo.timers", "TimerStore", "delete"),
    "commit": ("infrastructure.kafka.consuming.aiokafka_client", "AiokafkaClient", "commit"),
    "xack": ("infrastructure.redis.streams", "StreamGroup", "acknowledge"),
}
_PROVIDERS = (
    ("infrastructure.channels.email", "SmtpProvider", "send"),
    ("infrastructure.channels.slack", "SlackWebhook", "send"),
)
_PUBLISHER = ("infrastructure.kafka.producer", "KafkaPublisher", "publish")


@dataclass
class Orders:
    """When to die: at the nth passing of a moment, counted from when the orders came."""

    at: str = ""
    nth: int = 1
    told_by: Path | None = None
    passed: dict[str, int] = field(default_factory=dict)

    def reached(self, moment: str) -> None:
        """Counts the moment, and ends the process if it is the one."""
        if self.told_by is not None and self.told_by.exists():
            self.at, _, nth = self.told_by.read_text(encoding="utf-8").partition(" ")
            self.nth = int(nth)
        if moment != self.at:
            return
        self.passed[moment] = self.passed.get(moment, 0) + 1
        if self.passed[moment] == self.nth:
            print(f"failpoint {moment}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


Step = Callable[..., str]
Method = Callable[..., Awaitable[Any]]


def _watched(method: Method, step_of: Step, orders: Orders) -> Method:
    @wraps(method)
    async def watched(*args: Any, **named: Any) -> Any:
        step = step_of(*args)
        orders.reached(f"before:{step}")
        found = await method(*args, **named)
        orders.reached(f"after:{step}")
        return found

    return watched


def _watch(place: tuple[str, str, str], step_of: Step, orders: Orders) -> None:
    """A place that is not there any more is an error, not a step that is never reached."""
    module, name, method = place
    owner = getattr(import_module(module), name)
    setattr(owner, method, _watched(getattr(owner, method), step_of, orders))


def published(_: object, record: Any) -> str:
    """The step's name by the kind of Kafka topic: whatever is for a channel is a delivery."""
    kind = record.topic.removeprefix(f"notifications.{topics.environment_of(record.topic)}.").partition(".")[0]
    return f"publish.{kind}" if kind in {"requests", "status", "receipts", "quarantine", "dlq"} else "publish.delivery"


def watch_every_step(orders: Orders) -> None:
    for step, place in _METHODS.items():
        _watch(place, lambda *_, step=step: step, orders)
    for place in _PROVIDERS:
        _watch(place, lambda *_: "send", orders)
    _watch(_PUBLISHER, published, orders)


def leave_out(name: str) -> None:
    """`all` is then all the others."""
    workers.NAMES = tuple(each for each in workers.NAMES if each != name)


def show_steps() -> None:
    for worker, steps in STEPS.items():
        print(worker, *(f"{moment}:{step}" for step in steps for moment in MOMENTS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worker", nargs="?", default="all")
    parser.add_argument("--at", default="", metavar="MOMENT:STEP")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--told-by", type=Path, metavar="FILE")
    parser.add_argument("--but", default="", metavar="WORKER", help="with `all`: leave this one out")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    if asked.list:
        show_steps()
        return
    watch_every_step(Orders(asked.at, asked.nth, asked.told_by))
    leave_out(asked.but)
    consumers.main(asked.worker)


if __name__ == "__main__":
    main()
