"""One provider as this worker sees it: whether it may be called now, and how its calls have gone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from infrastructure.metrics import PROVIDER_CALLS, PROVIDER_OUT
from infrastructure.ports import Provider
from schemas.breaker import Breaker, BreakerRules
from schemas.outcomes import Ambiguous, Dead, Deferred, Outcome, Retry, Sent
from schemas.providers import ProviderSeen, ProviderState
from schemas.shaping import Pace

log = structlog.get_logger()

_SOON_S = (1.0, 3.0)
_THROTTLED = ("http_429", "smtp_421", "slack_ratelimited", "slack_rate_limited")
LONGEST_WAIT_S = 1.0


@dataclass(frozen=True)
class Limits:
    """What holds for every provider of a worker; times in seconds."""

    timeout_s: float
    attempt_s: float
    breaker: BreakerRules
    out_s: float
    destination_in_flight: int
    longest_rest_s: float


class ProviderLine:
    def __init__(self, provider: Provider, limits: Limits, pace: Pace | None) -> None:
        self.provider = provider
        self._limits = limits
        self._pace = pace
        self._breaker = Breaker()
        self._rests: dict[str, float] = {}
        self.out_since_s: float | None = None
        PROVIDER_OUT.labels(provider.name).set(0)

    def is_out(self, now_s: float) -> bool:
        return self._breaker.is_open(now_s)

    def seen(self, now_s: float) -> ProviderSeen:
        """For operators."""
        until_s = self._breaker.open_until_s
        state: ProviderState = "in" if until_s is None else "out" if self.is_out(now_s) else "probing"
        return ProviderSeen(
            provider=self.provider.name,
            state=state,
            failures=self._breaker.failures,
            out_for_s=None if self.out_since_s is None else now_s - self.out_since_s,
            tried_again_in_s=None if until_s is None else max(0.0, until_s - now_s),
            resting=sum(rests_s > now_s for rests_s in self._rests.values()),
        )

    def not_now(self, destination: str, now_s: float) -> Deferred | None:
        """Why it is not called at this moment, if so."""
        if not self._breaker.may_call(now_s):
            left_s = (self._breaker.open_until_s or now_s) - now_s
            return Deferred("provider_out", soon(max(left_s, 0.0)))
        if (rests_s := self._rests.get(destination, 0.0) - now_s) > 0:
            return Deferred("provider_throttles", soon(rests_s))
        if self._pace is not None and self._pace.wait_s(now_s) > LONGEST_WAIT_S:
            return Deferred("rate", soon(self._pace.wait_s(now_s)))
        return None

    @contextmanager
    def calling(self, now_s: float) -> Iterator[float]:
        """A call is let through; gives the seconds it has to wait for its turn."""
        self._breaker = self._breaker.calling()
        wait_s = 0.0
        if self._pace is not None:
            wait_s = self._pace.wait_s(now_s)
            self._pace = self._pace.taken(now_s)
        try:
            yield wait_s
        finally:
            self._breaker = replace(self._breaker, probing=False)  # also when the worker stops in the middle

    def ended(self, destination: str, outcome: Outcome, now_s: float) -> None:
        """Learns from a call. Throttling and refusals of one message are answers: the provider is there."""
        PROVIDER_CALLS.labels(self.provider.name, type(outcome).__name__.lower()).inc()
        if is_trouble(outcome):
            self._breaker = self._breaker.failed(now_s, self._limits.breaker, random.random())  # noqa: S311
        else:
            self._breaker = self._breaker.succeeded()
        if isinstance(outcome, Retry) and outcome.reason in _THROTTLED:
            self._rest(destination, outcome.asked, now_s)
        self._notice(now_s)

    def _rest(self, destination: str, asked: timedelta | None, now_s: float) -> None:
        """As long as it asked; a wish beyond what we would ever wait is not believed, and tried again like an outage."""
        asked_s = asked.total_seconds() if asked is not None else _SOON_S[0]
        rest_s = asked_s if asked_s <= self._limits.longest_rest_s else self._limits.breaker.open_s
        self._rests = {where: until_s for where, until_s in self._rests.items() if until_s > now_s}
        self._rests[destination] = now_s + rest_s

    def _notice(self, now_s: float) -> None:
        """Out from when its breaker opens until a call is answered; the probes in between are part of it."""
        is_out, was_out = self._breaker.open_until_s is not None, self.out_since_s is not None
        if is_out == was_out:
            return
        self.out_since_s = now_s if is_out else None
        PROVIDER_OUT.labels(self.provider.name).set(is_out)
        log.warning("provider.out" if is_out else "provider.back", provider=self.provider.name)


def is_trouble(outcome: Outcome) -> bool:
    """Whether an outcome says something about the provider rather than about the message or our pace."""
    match outcome:
        case Ambiguous():
            return True
        case Retry(reason):
            return reason not in _THROTTLED
        case Sent() | Dead() | Deferred():
            return False


def soon(after_s: float = 0.0) -> timedelta:
    """A little later than that, spread so that what waited together does not come back together."""
    return timedelta(seconds=after_s + random.uniform(*_SOON_S))  # noqa: S311
