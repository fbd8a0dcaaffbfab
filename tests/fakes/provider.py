"""A provider that remembers what it was given and answers from a script."""

import asyncio

from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Outcome, Sent


class RecordingProvider:
    """Answers the script's outcomes in turn (or crashes), then always `Sent`; waits while it is closed."""

    channel = "email"

    def __init__(self, *script: Outcome | Exception, name: str = "recording") -> None:
        self.name = name
        self.script = list(script)
        self.sent: list[tuple[DeliveryRecord, str, Content]] = []
        self.called = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    def destination(self, address: str) -> str | None:
        return address.rpartition("@")[2]

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        self.sent.append((delivery, address, content))
        self.called.set()
        await self.open.wait()
        outcome = self.script.pop(0) if self.script else Sent(answer="250 OK", provider_id=f"p-{len(self.sent)}")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
