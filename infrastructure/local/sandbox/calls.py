import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Provider = Literal["email", "email_backup", "slack", "webhook", "sms", "web_push", "fcm", "apns"]

KEPT_IN_MEMORY = 10_000


class Answered(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: int
    body: str


class Call(BaseModel):
    """One request a provider received. `accepted` says whether a real one would have acted on it."""

    model_config = ConfigDict(frozen=True)

    n: int
    provider: Provider
    received_at: datetime
    delivery: str
    request: dict[str, JsonValue]
    mode: str
    accepted: bool
    answer: Answered | None


class CallLog:
    """Append-only. With a file, a call is on disk before the provider answers, so a killed sandbox forgets nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT_IN_MEMORY)
        self._file = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("a", encoding="utf-8")
        self._news = asyncio.Event()
        self._closed = False
        self.latest = 0

    def append(self, call: Call) -> None:
        if self._file is not None:
            self._file.write(call.model_dump_json() + "\n")
            self._file.flush()
        self._calls.append(call)
        self.latest = call.n
        self._wake()

    def recent(self, *, provider: Provider | None = None, delivery: str | None = None, limit: int = 100) -> list[Call]:
        """The newest first."""
        wanted = (
            call for call in reversed(self._calls) if provider in {None, call.provider} and delivery in {None, call.delivery}
        )
        return [call for call, _ in zip(wanted, range(limit), strict=False)]

    def clear(self) -> None:
        self._calls.clear()

    async def follow(self, after: int) -> AsyncIterator[Call]:
        """Every call after number `after`, then each as it comes, until following ends."""
        seen = after if after <= self.latest else 0  # a number from before a restart: begin anew
        while not self._closed:
            news = self._news
            for call in [call for call in self._calls if call.n > seen]:
                seen = call.n
                yield call
            await news.wait()

    def end_following(self) -> None:
        """Let the followers go home; what still comes in is recorded."""
        self._closed = True
        self._wake()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
