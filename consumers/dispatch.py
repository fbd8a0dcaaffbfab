"""The one place that decides about providers: which one, whether now, how long, and what follows when it fails.

Adapters say what happened; retries between attempts are the schedule's. Here: time budget, circuit breaker, rest after
throttling, pace, calls under way per destination, and failover from one provider of a channel to the next.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from consumers.places import Places
from consumers.provider_line import LONGEST_WAIT_S, Limits, ProviderLine, soon
from infrastructure.ports import Content, Provider, ReadsBack
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Ambiguous, CannotTell, Dead, Deferred, Found, NotFound, Outcome, Policy, ReadBack, Retry, Sent
from schemas.providers import ProviderSeen
from schemas.shaping import Pace

log = structlog.get_logger()

_LATER_S = (300.0, 600.0)


class Dispatcher:
    """The sender of one channel in one worker; also the gate that holds the channel while all its providers are out."""

    def __init__(
        self,
        providers: Sequence[Provider],
        limits: Limits,
        paces: dict[str, float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._lines = [
            ProviderLine(each, limits, Pace(paces[each.name]) if each.name in paces else None) for each in providers
        ]
        self._places = Places(limits.destination_in_flight, min(LONGEST_WAIT_S, limits.timeout_s / 4), clock=clock)

    @property
    def reads_back(self) -> bool:
        return any(isinstance(line.provider, ReadsBack) for line in self._lines)

    def seen(self) -> tuple[ProviderSeen, ...]:
        """How its providers look from here, for operators."""
        return tuple(line.seen(self._clock()) for line in self._lines)

    def closed_for_s(self) -> float:
        """Seconds for which nothing can be sent; 0 again when it lasts so long that records had better rest in timers."""
        now_s = self._clock()
        if not self._lines or not all(line.is_out(now_s) for line in self._lines):
            return 0.0
        return 0.0 if self._are_out_for_long(now_s) else 1.0

    def _are_out_for_long(self, now_s: float) -> bool:
        """Since none of them has answered: a probe that finds one still out changes nothing about that."""
        since = [line.out_since_s for line in self._lines]
        return all(each is not None and now_s - each >= self._limits.out_s for each in since)

    async def send(self, delivery: DeliveryRecord, address: str, content: Content, policy: Policy) -> Outcome:
        """One attempt, by the first provider that can, within the attempt's time."""
        serving = [(line, to) for line in self._lines if (to := line.provider.destination(address)) is not None]
        if not serving:
            return Dead("no_such_target") if self._lines else Retry("no_provider_configured")
        began_s, tried, waits = self._clock(), list[tuple[str, Outcome]](), list[Deferred]()
        for line, destination in serving:
            if self._clock() - began_s + self._limits.timeout_s > self._limits.attempt_s:
                break
            outcome = await self._call(line, destination, delivery, address, content)
            if isinstance(outcome, Deferred):
                waits.append(outcome)
                continue
            tried.append((line.provider.name, outcome))
            if not _goes_on(outcome, policy):
                break
        return _summary(tried) if tried else self._all_wait(waits)

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        """Found, if any provider shows it; not found, if every one that may have taken it was looked through."""
        found: list[ReadBack] = []
        for line in self._lines:
            if line.provider.destination(address) is not None:
                found.append(await self._look(line.provider, delivery, address, since))
        shown = next((answer for answer in found if isinstance(answer, Found)), None)
        if shown is not None:
            return shown
        return NotFound() if found and all(isinstance(answer, NotFound) for answer in found) else CannotTell()

    async def _look(self, provider: Provider, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        if not isinstance(provider, ReadsBack):
            return CannotTell()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await provider.look(delivery, address, since)
        except TimeoutError:
            return CannotTell()
        except Exception:  # pylint: disable=broad-exception-caught  # a look that crashes has not told anything
            log.exception("provider.look_crashed", provider=provider.name)
            return CannotTell()

    async def _call(
        self, line: ProviderLine, destination: str, delivery: DeliveryRecord, address: str, content: Content
    ) -> Outcome:
        async with self._places.one(f"{line.provider.name}:{destination}") as may:
            refused = line.not_now(destination, self._clock()) if may else Deferred("destination_busy", soon())
            if refused is not None:
                return refused
            with line.calling(self._clock()) as wait_s:
                await asyncio.sleep(wait_s)
                outcome = await self._bounded(line.provider, delivery, address, content)
                line.ended(destination, outcome, self._clock())
            return outcome

    async def _bounded(self, provider: Provider, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await provider.send(delivery, address, content)
        except TimeoutError:
            return Ambiguous("timeout")
        except Exception as error:  # pylint: disable=broad-exception-caught  # an adapter's bug must not repeat for ever
            log.exception("provider.crashed", provider=provider.name)
            return Ambiguous(f"crash:{type(error).__name__}")

    def _all_wait(self, waits: Sequence[Deferred]) -> Outcome:
        """What waited in vain for hours comes back less often: its records rest in timers by now."""
        if not waits:
            return Deferred("no_time_left", soon())
        first = min(waits, key=lambda each: each.wait)
        if not self._are_out_for_long(self._clock()):
            return first
        return replace(first, wait=timedelta(seconds=random.uniform(*_LATER_S)))  # noqa: S311


def _goes_on(outcome: Outcome, policy: Policy) -> bool:
    """Whether the next provider is tried in the same attempt. In doubt only where a double is allowed."""
    return isinstance(outcome, Retry) or (isinstance(outcome, Ambiguous) and policy == "at_least_once")


def _summary(tried: Sequence[tuple[str, Outcome]]) -> Outcome:
    """The last word, with the trail of the providers before it; doubt about one of them stays doubt."""
    name, last = tried[-1]
    if isinstance(last, Sent):
        return replace(last, provider=name)
    if len(tried) == 1:
        return last
    trail = "; ".join(f"{who}: {_reason(what)}" for who, what in tried)
    if any(isinstance(what, Ambiguous) for _, what in tried):
        return Ambiguous(trail)
    if isinstance(last, Dead):
        return Dead(trail, last.gone)
    wishes = [what.asked for _, what in tried if isinstance(what, Retry)]
    return Retry(trail, min((wish for wish in wishes if wish is not None), default=None) if all(wishes) else None)


def _reason(outcome: Outcome) -> str:
    return "sent" if isinstance(outcome, Sent) else outcome.reason
