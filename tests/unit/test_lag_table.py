"""What the terminal shows."""

from api.cli.lag_table import plain, table
from schemas.lag import Sample, group_lag, partition_lag

NOON = 1_800_000_000.0


def test_a_group_in_trouble_shows_the_rule_that_fired() -> None:
    samples = [Sample(NOON, 0, 7, 9, NOON - 190)]
    partition = partition_lag("orders", 0, samples, owner=None, abandoned=True)
    head, row, sentence = table([group_lag("billing", "Empty", [], [partition])]).splitlines()
    assert head.split() == ["GROUP", "STATUS", "LAG", "OLDEST", "CLEARS", "IN", "MEMBERS"]
    assert "billing" in row
    assert "3 m 10 s" in row
    assert sentence == "    orders[0] STOPPED: no member reads this partition, and 2 records wait (owner: nobody)"


def test_a_name_cannot_send_escape_sequences_to_the_terminal() -> None:
    assert plain("\x1b[31mevil\n") == "\N{REPLACEMENT CHARACTER}[31mevil\N{REPLACEMENT CHARACTER}"


def test_a_cluster_without_groups_is_told_in_words() -> None:
    assert table([]).startswith("No consumer group")
