"""Many requests in one call: each is judged and accepted by itself, and each gets its own verdict."""

import asyncio
from collections.abc import Sequence
from typing import Any

from api.intake import Acceptance, Intake, Submission, invalid, read_request, submission_of
from api.problems import Problem
from api.wiring import ApiResources
from infrastructure.auth.user import User
from schemas.events import FieldError
from schemas.requests import CancelRequest

AT_ONCE = 32  # of one batch; the rest of the house keeps its connections


class Batch:
    """One caller's batch. `base_id` (the `Idempotency-Key` of the call) numbers the requests that bring no id."""

    def __init__(self, house: ApiResources, caller: User, base_id: str | None, traceparent: str) -> None:
        self._served = house.settings.default_environment, house.settings.environments
        self._intake = Intake(house)
        self._caller, self._base_id, self._traceparent = caller, base_id, traceparent
        self._places = asyncio.Semaphore(AT_ONCE)

    async def accept(self, requests: Sequence[bytes]) -> list[dict[str, Any]]:
        """A verdict per request, in their order."""
        judged = [self._judge(number, request) for number, request in enumerate(requests)]
        same: dict[str, list[int]] = {}
        for number, each in enumerate(judged):
            same.setdefault(each.notification_id if isinstance(each, Submission) else f"#{number}", []).append(number)
        verdicts: dict[int, dict[str, Any]] = {}

        async def in_turn(numbers: list[int]) -> None:
            for number in numbers:  # under one id the first counts, and the next sees that it does
                async with self._places:
                    verdicts[number] = {"index": number, **await self._settle(judged[number])}

        await asyncio.gather(*map(in_turn, same.values()))
        return [verdicts[number] for number in range(len(judged))]

    def _judge(self, number: int, request: bytes) -> Submission | Problem:
        try:
            asked = read_request(request)
            if isinstance(asked, CancelRequest):
                return invalid((FieldError(pointer="/cancel", detail="is not for batches; send it by itself"),))
            own_id = None if asked.request_id or not self._base_id else f"{self._base_id}:{number}"
            return submission_of(asked, own_id, self._caller, *self._served)
        except Problem as problem:
            return problem

    async def _settle(self, judged: Submission | Problem) -> dict[str, Any]:
        if isinstance(judged, Problem):
            return refused(judged)
        try:
            return taken(await self._intake.accept(judged, self._traceparent))
        except Problem as problem:
            return refused(problem)


def taken(acceptance: Acceptance) -> dict[str, Any]:
    return {"status": 202, "data": acceptance.described(), "replayed": acceptance.replayed, "error": None}


def refused(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "data": None, "replayed": False, "error": problem.members()}
