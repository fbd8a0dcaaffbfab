"""The lag report as a plain table: a line per group, and below it each partition that has something to say."""

from collections.abc import Iterable, Sequence

import typer

from schemas.lag import GroupLag, PartitionLag, Status, seconds

COLOURS = {Status.OK: typer.colors.GREEN, Status.UNKNOWN: typer.colors.BLUE, Status.BEHIND: typer.colors.YELLOW}
HEAD = ("GROUP", "STATUS", "LAG", "OLDEST", "CLEARS IN", "MEMBERS")
NUMBERS = {"LAG", "OLDEST", "CLEARS IN", "MEMBERS"}


def table(report: Sequence[GroupLag]) -> str:
    """Fit for a terminal and for grep; names come from the cluster, so control characters are shown, never sent."""
    if not report:
        return "No consumer group keeps offsets on this cluster, or none has the names asked for."
    rows = [_cells(one) for one in report]
    widths = [max(len(row[column]) for row in (HEAD, *rows)) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths)]
    for one, row in zip(report, rows, strict=True):
        colour = COLOURS.get(one.status, typer.colors.RED)
        lines.append(_line(row, widths).replace(one.status.value, typer.style(one.status.value, fg=colour), 1))
        lines.extend(f"    {sentence}" for sentence in _sentences(one))
    return "\n".join(lines)


def _cells(one: GroupLag) -> tuple[str, ...]:
    lag = "unknown" if one.lag is None else f"{one.lag:,}"
    clears = "-" if one.eta_s is None or one.lag == 0 else seconds(one.eta_s)
    oldest = "-" if one.lag_s is None or one.lag == 0 else seconds(one.lag_s)
    members = "unknown" if one.state == "Unknown" else str(len(one.members))
    return plain(one.group), one.status.value, lag, oldest, clears, members


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if name in NUMBERS else cell.ljust(width)
        for name, cell, width in zip(HEAD, cells, widths, strict=True)
    )
    return "  ".join(aligned).rstrip()


def _sentences(one: GroupLag) -> Iterable[str]:
    if not one.partitions:
        yield one.rule
    for partition in one.partitions:
        if partition.status is not Status.OK or partition.lag:
            yield _sentence(partition)


def _sentence(one: PartitionLag) -> str:
    owner = plain(one.owner or "nobody")
    return f"{plain(one.topic)}[{one.partition}] {one.status.value}: {one.rule} (owner: {owner})"


def plain(text: str) -> str:
    """A terminal obeys escape sequences, and a client may call itself whatever it likes."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
