"""When a provider is left alone for a while: a circuit breaker as a value. Pure; times are monotonic seconds, handed in.

Source: M. Nygard, Release It!, "Circuit Breaker": closed, open for a while, then half open for one probe.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class BreakerRules:
    """Opens after so many failures in a row, for so long."""

    failures: int
    open_s: float


@dataclass(frozen=True)
class Breaker:
    failures: int = 0
    open_until_s: float | None = None
    probing: bool = False

    def is_open(self, now_s: float) -> bool:
        return self.open_until_s is not None and now_s < self.open_until_s

    def may_call(self, now_s: float) -> bool:
        """Closed, or half open and nobody probes yet."""
        return not self.is_open(now_s) and not self.probing

    def calling(self) -> "Breaker":
        """A call begins; while half open it is the one probe."""
        return replace(self, probing=self.open_until_s is not None)

    def succeeded(self) -> "Breaker":
        """The provider answered, whatever it said about this message."""
        return Breaker()

    def failed(self, now_s: float, rules: BreakerRules, jitter: float) -> "Breaker":
        """`jitter` in [0, 1) makes the pause up to a fifth longer, so that workers do not probe in one instant."""
        failures = self.failures + 1
        if failures < rules.failures and not self.probing:
            return replace(self, failures=failures)
        return Breaker(failures, now_s + rules.open_s * (1 + 0.2 * jitter))
