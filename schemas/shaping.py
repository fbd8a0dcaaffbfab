"""How fast a provider is called: the generic cell rate algorithm as a value. Pure; times are monotonic seconds, handed in.

Source: ITU-T I.371, annex A (GCRA, virtual scheduling).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pace:
    """At most `per_s` calls a second over any longer time, and a second's worth of them at once."""

    per_s: float
    due_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long the next call has to wait."""
        return max(0.0, self.due_s - now_s - 1.0)

    def taken(self, now_s: float) -> "Pace":
        """The pace after a call was let through, at once or after its wait."""
        return replace(self, due_s=max(self.due_s, now_s) + 1.0 / self.per_s)
