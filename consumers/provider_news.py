"""Tells operators, again and again, how this worker sees the providers of its channel."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

from infrastructure.redis.provider_board import TOLD_EVERY_S, ProviderBoard
from schemas.outcomes import Unavailable
from schemas.providers import ProviderSeen

log = structlog.get_logger()


class ProviderNews:
    """Redis away costs operators a look, never a delivery."""

    alive = True

    def __init__(
        self,
        board: ProviderBoard,
        environment: str,
        channel: str,
        look: Callable[[], tuple[ProviderSeen, ...]],
        every_s: float = TOLD_EVERY_S,
    ) -> None:
        self._board = board
        self._of = environment, channel, f"{socket.gethostname()}-{os.getpid()}"
        self._look = look
        self._every_s = every_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._board.tell(*self._of, self._look())
            except Unavailable as error:
                log.debug("providers.not_told", reason=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_s)
        with suppress(Unavailable):
            await self._board.forget(*self._of)

    def stop(self) -> None:
        self._stopping.set()
