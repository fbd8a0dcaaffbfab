"""When silence is a stall, and when it is only quiet."""

from infrastructure.kafka.consuming.port import Partition
from infrastructure.kafka.consuming.stalls import StallWatch

TP = Partition("orders", 0)


def test_records_that_wait_too_long_are_a_stall() -> None:
    watch = StallWatch(60)
    assert watch.look(0, {TP: 5}, {TP: 9}, ()) == []
    assert watch.look(59, {TP: 5}, {TP: 12}, ()) == []
    assert watch.look(60, {TP: 5}, {TP: 12}, ()) == [TP]


def test_a_position_that_moves_is_none() -> None:
    watch = StallWatch(60)
    watch.look(0, {TP: 5}, {TP: 9}, ())
    watch.look(50, {TP: 6}, {TP: 9}, ())
    assert watch.look(100, {TP: 6}, {TP: 9}, ()) == []
    assert watch.look(110, {TP: 6}, {TP: 9}, ()) == [TP]


def test_the_first_record_after_a_quiet_hour_is_none() -> None:
    watch = StallWatch(60)
    watch.look(0, {TP: 5}, {TP: 5}, ())
    assert watch.look(3600, {TP: 5}, {TP: 6}, ()) == []


def test_what_we_hold_back_ourselves_is_none_and_starts_again_afterwards() -> None:
    watch = StallWatch(60)
    watch.look(0, {TP: 5}, {TP: 9}, ())
    assert watch.look(70, {TP: 5}, {TP: 9}, {TP}) == []
    assert watch.look(80, {TP: 5}, {TP: 9}, ()) == []
    assert watch.look(140, {TP: 5}, {TP: 9}, ()) == [TP]


def test_a_partition_whose_position_never_becomes_known_is_a_stall() -> None:
    watch = StallWatch(60)
    watch.look(0, {TP: None}, {TP: 0}, ())
    assert watch.look(60, {TP: None}, {TP: 0}, ()) == [TP]
