import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import JsonValue

from infrastructure.local.sandbox.calls import Answered, Call, CallLog, Provider
from infrastructure.local.sandbox.faults import ACCEPTING, HTTP_STATUS, SILENT, SMTP_STATUS, Fault, FaultBoard


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    media_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    refused: bool = False  # Slack's Web API says no with status 200

    @property
    def accepts(self) -> bool:
        return self.status < 300 and not self.refused

    @classmethod
    def json(cls, status: int, body: JsonValue) -> "Answer":
        return cls(status, json.dumps(body), "application/json")


Refuse = Callable[[int], Answer]
"""How a provider words a refusal with this status."""


@dataclass(frozen=True, slots=True)
class Reception:
    """Where every provider's calls come in: looks up the fault, records, and says what to answer."""

    calls: CallLog
    faults: FaultBoard

    def receive(
        self, provider: Provider, delivery: str, request: dict[str, JsonValue], *, normal: Answer, refuse: Refuse
    ) -> tuple[Fault, Answer]:
        """Recorded on return; the answer is for the caller to give, or to withhold when the fault is silent."""
        fault = self.faults.take(provider)
        answer = _answer(provider, fault, normal, refuse)
        told = None if fault.mode in SILENT else Answered(status=answer.status, body=answer.body)
        self.calls.append(
            Call(
                n=self.calls.latest + 1,
                provider=provider,
                received_at=datetime.now(UTC),
                delivery=delivery,
                request=request,
                mode=fault.mode,
                accepted=fault.mode in ACCEPTING and normal.accepts,
                answer=told,
            )
        )
        return fault, answer


def _answer(provider: Provider, fault: Fault, normal: Answer, refuse: Refuse) -> Answer:
    usual = (SMTP_STATUS if provider in ("email", "email_backup") else HTTP_STATUS).get(fault.mode)
    if usual is None:
        return normal
    refused = refuse(fault.status or usual)
    if fault.retry_after_s is None:
        return refused
    headers = {**refused.headers, "Retry-After": str(fault.retry_after_s)}
    return replace(refused, headers=headers)
