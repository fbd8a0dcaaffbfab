"""What the wrapper needs of a Kafka client, and nothing more: another client is one more file like `aiokafka_client.py`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from infrastructure.ports import Received


class Partition(NamedTuple):
    topic: str
    number: int


class ClientFailed(Exception):
    """This client is of no more use: the wrapper replaces it."""


class CommitRefused(Exception):
    """The group has moved on from the assignment this commit belongs to: its records come again to their new owner."""


@dataclass(frozen=True)
class Tenure:
    """What the group gave this member, and the generation under which it may commit for it."""

    generation: int
    partitions: frozenset[Partition]


class Listener(Protocol):
    """Told by the client between two assignments. Whatever it raises may be swallowed by the client."""

    async def revoked(self) -> None:
        """Everything held is taken away. Until this returns, commits of the old tenure still count."""

    async def assigned(self, tenure: Tenure) -> None:
        """Comes before any record of the new tenure is given out; its partitions are not paused."""


class LogClient(Protocol):
    """One member of one group. Where it fails for good it raises `ClientFailed`."""

    async def start(self, listener: Listener) -> None:
        """Joins the group; returns after the first assignment."""

    async def poll(self, wait_s: float) -> Mapping[Partition, Sequence[Received]]:
        """New records of the present tenure, each partition in order, after at most this wait unless a rebalance is on.

        A group without a committed offset begins at the log start; so does one whose committed offset is not there any more.
        """

    def pause(self, partitions: Iterable[Partition]) -> None: ...
    def resume(self, partitions: Iterable[Partition]) -> None: ...

    async def commit(self, generation: int, offsets: Mapping[Partition, int]) -> None:
        """One attempt, sent under this generation or not at all; raises `CommitRefused` when the group has moved on."""

    async def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, int | None]: ...
    async def log_starts(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]: ...
    async def log_ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """The offset after the last record that can be read: an open transaction holds it back."""

    def positions(self) -> Mapping[Partition, int | None]:
        """The next offset of each partition held, None while it is not known; asks nobody."""

    @property
    def joined(self) -> bool:
        """Whether this member believes to be in the group, with an assignment."""

    async def stop(self) -> None:
        """Leaves the group and closes every connection; commits nothing."""
