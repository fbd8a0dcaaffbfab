"""A claim is taken over after it stood unchanged for a full lease on our own clock, whatever other clocks say."""

from datetime import timedelta

from consumers.leases import Leases

LEASE = timedelta(seconds=45)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_full_lease_from_when_we_first_saw_it() -> None:
    clock = Clock()
    leases = Leases(LEASE, clock=clock)
    assert leases.left("a") == LEASE
    clock.now_s += 30
    assert (leases.left("a"), leases.left("b")) == (timedelta(seconds=15), LEASE)
    clock.now_s += 15
    assert not leases.left("a")
    assert leases.left("b") == timedelta(seconds=30), "a claim that changed hands begins anew"


def test_forgetting_costs_time_and_nothing_else() -> None:
    clock = Clock()
    leases = Leases(LEASE, clock=clock)
    leases.left("first")
    for number in range(50_000):
        leases.left(str(number))
    clock.now_s += 45
    assert leases.left("first") == LEASE
