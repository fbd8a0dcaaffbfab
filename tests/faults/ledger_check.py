"""The independent ledger check: three lists made outside each other's reach, compared.

The producer's ledger (an id before it is sent, the acknowledgement after it), the provider's ledger (written before it
answers) and a dump of the store. Nothing of the product is imported: even its id recipes are written down once more, from
the design, so that a change of theirs is seen here.
"""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ENDED = frozenset({"SENT", "SKIPPED", "FAILED", "EXPIRED", "CANCELLED", "DELIVERED", "BOUNCED"})
DONE = frozenset({"SENT", "DELIVERED", "BOUNCED"})
UNKNOWN = "UNKNOWN"
Row = Mapping[str, Any]


def derived_id(prefix: str, *parts: str) -> str:
    """The design's section 4: base32 of the first 16 bytes of SHA-256 over the compact JSON array ["v1", …]."""
    compact = json.dumps(["v1", *parts], separators=(",", ":"), ensure_ascii=False).encode()
    return prefix + base64.b32encode(hashlib.sha256(compact).digest()[:16]).decode().rstrip("=").lower()


def derived_endpoint(address: str) -> str:
    """The same section: an address that came with the request is an endpoint by its hash."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Expected:
    """One delivery that a request asked for. Without an address its effect is an inbox item, else a provider's call."""

    delivery: str
    notification: str
    address: str = ""


@dataclass(frozen=True)
class ProducerLedger:
    """Append-only: what a producer is about to hand over, and what it was then told."""

    path: Path

    def sending(self, notification: str, deliveries: Iterable[Expected]) -> None:
        wanted = [{"delivery": each.delivery, "address": each.address} for each in deliveries]
        self._append({"said": "sending", "notification": notification, "deliveries": wanted})

    def acknowledged(self, notification: str) -> None:
        self._append({"said": "acknowledged", "notification": notification})

    def _append(self, line: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Call:
    """One request that a provider would have acted on."""

    delivery: str
    address: str
    at: datetime


@dataclass(frozen=True)
class Dump:
    """Plain rows of the store, as it holds them."""

    deliveries: tuple[Row, ...] = ()
    inbox: tuple[Row, ...] = ()
    notifications: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Commit:
    """A partition: up to where its group has committed, and the first of its records that has not been settled."""

    partition: str
    committed: int
    settled: int


@dataclass(frozen=True)
class Report:
    """What does not agree, by id. `duplicates` has an id once per call too many."""

    lost: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    committed_too_far: tuple[str, ...] = ()
    acknowledged: int = 0

    @property
    def most_per_delivery(self) -> int:
        """The calls too many of the delivery that has most of them."""
        return max(Counter(self.duplicates).values(), default=0)

    @property
    def wrongs(self) -> dict[str, tuple[str, ...]]:
        """What no policy permits; duplicates and unknowns have bounds, which are the caller's."""
        names = ("lost", "foreign", "ghosts", "unfinished", "contradictions", "committed_too_far")
        return {name: found for name in names if (found := getattr(self, name))}

    def __str__(self) -> str:
        return f"lost={len(self.lost)} dup={len(self.duplicates)} unknown={len(self.unknown)}"


@dataclass
class _Claims:
    """The producer's side: what may exist, and what must."""

    expected: dict[str, Expected] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    @property
    def notifications(self) -> set[str]:
        return {each.notification for each in self.expected.values()}

    @property
    def owed(self) -> list[Expected]:
        return [each for each in self.expected.values() if each.notification in self.told]


def read_producers(path: Path) -> _Claims:
    claims = _Claims()
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if line["said"] == "acknowledged":
            claims.told.add(line["notification"])
            continue
        for wanted in line["deliveries"]:
            claims.expected[wanted["delivery"]] = Expected(wanted["delivery"], line["notification"], wanted["address"])
    return claims


def read_calls(path: Path, run: str) -> list[Call]:
    """The accepted calls of one run, known by its name in the call; a provider's ledger is everybody's."""
    calls = []
    for text in path.read_text(encoding="utf-8").splitlines():
        if run in text and (line := json.loads(text))["accepted"]:
            # a mail that lost its header of ours still has its Message-ID: <id@domain>
            delivery = line["delivery"].strip("<>").partition("@")[0]
            calls.append(Call(delivery, _address(line["request"]), datetime.fromisoformat(line["received_at"])))
    return calls


def _address(request: Row) -> str:
    """Whom a call reaches: the mailbox, else the path of the provider's interface with its text."""
    if "to" in request:
        to = request["to"]
        return str(to[0] if isinstance(to, list) else to)
    return str(request.get("path", ""))


def check(producers: Path, calls: Iterable[Call], dump: Dump, commits: Iterable[Commit] = ()) -> Report:
    """Compares the three; pure but for reading the producer's file."""
    claims = read_producers(producers)
    seen: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        seen[call.delivery].append(call)
    rows = {row["delivery_id"]: row for row in dump.deliveries}
    items = Counter(row["delivery_id"] for row in dump.inbox if "withdrawn_at" not in row)  # a tombstone is no item
    effects = Counter({delivery: len(found) for delivery, found in seen.items()}) + items
    return Report(
        lost=tuple(each.delivery for each in claims.owed if _is_lost(effects[each.delivery], rows.get(each.delivery))),
        duplicates=tuple(
            delivery for delivery, count in effects.items() if delivery in claims.expected for _ in range(count - 1)
        ),
        late=tuple(call.delivery for found in seen.values() for call in found[1:] if _is_late(call, rows)),
        foreign=tuple(call.delivery for found in seen.values() for call in found if _is_foreign(call, claims.expected)),
        unknown=tuple(delivery for delivery, row in rows.items() if row["state"] == UNKNOWN),
        ghosts=tuple(_ghosts(claims, effects, dump)),
        unfinished=tuple(each.delivery for each in claims.owed if _is_unfinished(rows.get(each.delivery))),
        contradictions=tuple(_contradictions(rows, effects)),
        committed_too_far=tuple(each.partition for each in commits if each.committed > each.settled),
        acknowledged=len(claims.told),
    )


def _is_lost(effects: int, row: Row | None) -> bool:
    """Nobody got it, and the store does not say so either: no row, or one that claims success."""
    return effects == 0 and (row is None or row["state"] in DONE)


def _is_unfinished(row: Row | None) -> bool:
    return row is None or row["state"] not in ENDED | {UNKNOWN}


def _is_late(call: Call, rows: Mapping[str, Row]) -> bool:
    """A repeat that came after the store already knew the end: no death of a worker explains it."""
    row = rows.get(call.delivery)
    return row is not None and row["state"] in ENDED and call.at > datetime.fromisoformat(row["updated_at"])


def _is_foreign(call: Call, expected: Mapping[str, Expected]) -> bool:
    """The right id at the wrong address: somebody got what was meant for another."""
    wanted = expected.get(call.delivery)
    return wanted is not None and wanted.address != call.address


def _ghosts(claims: _Claims, effects: Iterable[str], dump: Dump) -> Iterable[str]:
    """What exists anywhere although no producer asked for it."""
    deliveries = {*effects, *(row["delivery_id"] for row in dump.deliveries)}
    notifications = {row["notification_id"] for row in dump.notifications}
    yield from sorted(deliveries - claims.expected.keys())
    yield from sorted(notifications - claims.notifications)


def _contradictions(rows: Mapping[str, Row], effects: Mapping[str, int]) -> Iterable[str]:
    """The store says one thing and the world another. A repeat contradicts nothing: it is counted as a duplicate."""
    for delivery, row in rows.items():
        happened, state = effects.get(delivery, 0), row["state"]
        if state in DONE and not happened:
            yield f"{delivery} {state}, but it never arrived"
        if state in ENDED - DONE and happened:
            yield f"{delivery} {state} ({row.get('reason')}), but it arrived"
