"""The call of a provider: bounded in time, and whatever an adapter raises becomes an outcome."""

import asyncio
from datetime import datetime

import structlog

from infrastructure.ports import Channel, Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Ambiguous, CannotTell, Outcome, Policy, ReadBack

log = structlog.get_logger()


class Dispatcher:
    reads_back = False

    def __init__(self, channel: Channel, provider_timeout_s: float) -> None:
        self._channel = channel
        self._provider_timeout_s = provider_timeout_s

    async def send(self, delivery: DeliveryRecord, address: str, content: Content, policy: Policy) -> Outcome:
        try:
            async with asyncio.timeout(self._provider_timeout_s):
                return await self._channel.send(delivery, address, content)
        except TimeoutError:
            return Ambiguous("timeout")
        except Exception as error:  # pylint: disable=broad-exception-caught  # an adapter's bug must not repeat for ever
            log.exception("channel.crashed")
            return Ambiguous(f"crash:{type(error).__name__}")

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        return CannotTell()
