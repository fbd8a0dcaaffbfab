"""Deliveries in trouble and records in quarantine as lines for a terminal; whatever a sender wrote is made harmless."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.cli.lag_table import plain
from api.shown import shown_groups


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns as wide as they need to be; numbers to the right."""
    cells = [tuple(plain(str(cell)) for cell in row) for row in (head, *rows)]
    numbers = [all(isinstance(row[column], int) for row in rows) for column in range(len(head))] if rows else []
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers or [False] * len(head), strict=True)
        ).rstrip()
        for row in cells
    ]


def groups(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """How many of each channel and reason, the largest group first."""
    rows = [(group["count"], group["channel"], group["reason"]) for group in shown_groups(counts)]
    return table(("COUNT", "CHANNEL", "REASON"), rows)


def deliveries(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line each, with the name by which `carillon dlq` takes it."""
    head = ("WHEN", "STATE", "CHANNEL", "REASON", "ATTEMPTS", "TO", "ID")
    return table(
        head,
        [
            (
                when(row["updated_at"]),
                row["state"] + ("?" if row["doubtful"] else ""),
                row["channel"],
                row["reason"] or "",
                row["attempt"] + 1,
                row["recipient"],
                f"{row['notification_id']}/{row['delivery_id']}",
            )
            for row in rows
        ],
    )


def holds(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line each, with the name by which `carillon holds release` takes it."""
    head = ("HELD SINCE", "UNTIL", "CHANNEL", "REASON", "TO", "ID")
    return table(
        head,
        [
            (
                when(row["updated_at"]),
                when(row["next_at"] or ""),
                row["channel"],
                row["reason"],
                row["recipient"],
                f"{row['notification_id']}/{row['delivery_id']}",
            )
            for row in rows
        ],
    )


def entries(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("WHEN", "REASON", "SIZE", "ORIGIN", "ID", "")
    return table(
        head,
        [
            (when(each["at"]), each["reason"], each["size"], each["origin"], place(each["position"]), remark(each))
            for each in shown
        ],
    )


def place(position: Mapping[str, Any]) -> str:
    return f"{position['partition']}/{position['offset']}"


def remark(entry: Mapping[str, Any]) -> str:
    """What a person did with it, or whose replay it is."""
    mark = entry["mark"]
    said = []
    if mark:
        unfinished = mark["kind"] == "replayed" and not mark.get("to")
        said.append(f"{'replay begun' if unfinished else mark['kind']} by {mark['by']}")
    if entry["replay_of"]:
        said.append(f"refused again: a replay of {entry['replay_of']}")
    return ", ".join(said)


def whole(entry: Mapping[str, Any]) -> list[str]:
    """One record in quarantine with all that its sender wrote."""
    value = entry["value"]
    text = value["text"] if value["text"] is not None else f"base64 {value['base64']}" if value["base64"] else "(none)"
    lines = [
        f"{place(entry['position'])}  {entry['reason']}  {when(entry['at'])}  {entry['size']} bytes  from {entry['origin']}",
        *(f"  {error['pointer'] or '(record)'}: {error['detail']}" for error in entry["errors"]),
        f"  {said}" if (said := remark(entry)) else "",
        f"  cannot be replayed: {why}" if (why := entry["cannot_be_replayed"]) else "",
        f"  key    {entry['key']}",
        *(f"  header {name}: {value}" for name, value in sorted(entry["headers"].items())),
        f"  value  {text}" + ("  … (only the beginning)" if value["truncated"] else ""),
    ]
    return [plain(line) for line in lines if line]


def when(moment: str) -> str:
    """RFC 3339 cut to seconds; the zone is always UTC."""
    return moment[:19].replace("T", " ")
